"""How well a model does on a set of videos: views, predictions that are stored, and figures computed from those."""

from tubelet.evaluation.abstention import Abstention, fit_abstention
from tubelet.evaluation.averaging import predict_views
from tubelet.evaluation.calibration import Calibration, ReliabilityBin, fit_temperature
from tubelet.evaluation.compare import Comparison, Pair, compare
from tubelet.evaluation.cost import EvaluationCost
from tubelet.evaluation.evaluator import evaluate, evaluate_clips, model_classes
from tubelet.evaluation.frame_order import evaluate_frame_orders, reorder
from tubelet.evaluation.frame_order_metrics import (
    FrameOrderResult,
    HeadFrameOrders,
    OrderFigures,
    frame_order_metrics,
)
from tubelet.evaluation.intervals import Bootstrap, Interval, Resampling
from tubelet.evaluation.metrics import ClassMetrics, HeadMetrics, JointMetrics, compute_metrics
from tubelet.evaluation.multi_label import LabelMetrics, MultiLabelMetrics, multi_label_metrics
from tubelet.evaluation.operating_points import fit_operating_points
from tubelet.evaluation.paired import Difference, holm, mcnemar, paired_difference
from tubelet.evaluation.predictions import VideoPrediction, load_predictions
from tubelet.evaluation.results import Evaluation, VideoFailure
from tubelet.evaluation.stored import evaluate_stored
from tubelet.evaluation.thresholds import fit_thresholds
from tubelet.video.views import ViewPlan, format_views, parse_views, plan_views

HeadProbe, TemporalProbe = HeadFrameOrders, FrameOrderResult
probe_temporal, temporal_probe = evaluate_frame_orders, frame_order_metrics
"""Former names."""

__all__ = [
    "Abstention",
    "Bootstrap",
    "Calibration",
    "ClassMetrics",
    "Comparison",
    "Difference",
    "Evaluation",
    "EvaluationCost",
    "FrameOrderResult",
    "HeadFrameOrders",
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
    "compare",
    "compute_metrics",
    "evaluate",
    "evaluate_clips",
    "evaluate_frame_orders",
    "evaluate_stored",
    "fit_abstention",
    "fit_operating_points",
    "fit_temperature",
    "fit_thresholds",
    "format_views",
    "frame_order_metrics",
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
    "temporal_probe",
]
