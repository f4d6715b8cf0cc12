"""Which places and which moments of a video decided, and whether to believe it."""

from tubelet.explanation.choice import auto_method
from tubelet.explanation.comparison import MethodComparison, compare_methods, compare_on_data
from tubelet.explanation.explainer import explain, explain_views
from tubelet.explanation.methods import METHODS, methods_for
from tubelet.explanation.page import ExplanationFiles
from tubelet.explanation.result import Explanation, ViewMap
from tubelet.explanation.sanity import Sanity
from tubelet.explanation.score import Score, relevance_gain
from tubelet.explanation.target import Target

__all__ = [
    "METHODS",
    "Explanation",
    "ExplanationFiles",
    "MethodComparison",
    "Sanity",
    "Score",
    "Target",
    "ViewMap",
    "auto_method",
    "compare_methods",
    "compare_on_data",
    "explain",
    "explain_views",
    "methods_for",
    "relevance_gain",
]
