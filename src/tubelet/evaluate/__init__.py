"""How well a model does on a set of videos: views, predictions that are stored, and figures computed from those."""

from tubelet.callable_module import make_callable
from tubelet.evaluate.device import autocast, resolve_device, resolve_precision
from tubelet.evaluate.evaluator import evaluate, evaluate_clips, model_classes, predict_views
from tubelet.evaluate.metrics import ClassMetrics, HeadMetrics, JointMetrics, compute_metrics
from tubelet.evaluate.predictions import VideoPrediction, load_predictions
from tubelet.evaluate.results import Evaluation, VideoFailure
from tubelet.evaluate.views import format_views, parse_views

__all__ = [
    "ClassMetrics",
    "Evaluation",
    "HeadMetrics",
    "JointMetrics",
    "VideoFailure",
    "VideoPrediction",
    "autocast",
    "compute_metrics",
    "evaluate",
    "evaluate_clips",
    "format_views",
    "load_predictions",
    "model_classes",
    "parse_views",
    "predict_views",
    "resolve_device",
    "resolve_precision",
]

make_callable(__name__)
