"""How well a model does on a set of videos: views, predictions that are stored, and figures computed from those."""

from tubelet.callable_module import make_callable
from tubelet.evaluate.calibration import Calibration, ReliabilityBin, fit_temperature
from tubelet.evaluate.compare import Comparison, Pair, compare
from tubelet.evaluate.cost import EvaluationCost
from tubelet.evaluate.device import autocast, resolve_device, resolve_precision
from tubelet.evaluate.evaluator import evaluate, evaluate_clips, model_classes, predict_views
from tubelet.evaluate.intervals import Bootstrap, Interval, Resampling
from tubelet.evaluate.metrics import ClassMetrics, HeadMetrics, JointMetrics, compute_metrics
from tubelet.evaluate.multi_label import LabelMetrics, MultiLabelMetrics, multi_label_metrics
from tubelet.evaluate.paired import Difference, holm, mcnemar, paired_difference
from tubelet.evaluate.predictions import VideoPrediction, load_predictions
from tubelet.evaluate.probe import probe_temporal, reorder
from tubelet.evaluate.results import Evaluation, VideoFailure
from tubelet.evaluate.stored import evaluate_stored
from tubelet.evaluate.temporal import HeadProbe, OrderFigures, TemporalProbe, temporal_probe
from tubelet.evaluate.views import ViewPlan, format_views, parse_views, plan_views

__all__ = [
    "Bootstrap",
    "Calibration",
    "ClassMetrics",
    "Comparison",
    "Difference",
    "Evaluation",
    "EvaluationCost",
    "HeadMetrics",
    "HeadProbe",
    "Interval",
    "JointMetrics",
    "LabelMetrics",
    "MultiLabelMetrics",
    "OrderFigures",
    "Pair",
    "ReliabilityBin",
    "Resampling",
    "TemporalProbe",
    "VideoFailure",
    "VideoPrediction",
    "ViewPlan",
    "autocast",
    "compare",
    "compute_metrics",
    "evaluate",
    "evaluate_clips",
    "evaluate_stored",
    "fit_temperature",
    "format_views",
    "holm",
    "load_predictions",
    "mcnemar",
    "model_classes",
    "multi_label_metrics",
    "paired_difference",
    "parse_views",
    "plan_views",
    "predict_views",
    "probe_temporal",
    "reorder",
    "resolve_device",
    "resolve_precision",
    "temporal_probe",
]

make_callable(__name__)
