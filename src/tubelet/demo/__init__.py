"""A first minute: clips that only time tells apart, a model that learns to, one that cannot, and a page to look at."""

from tubelet.data.generated import CLASSES, Motion, write_clips
from tubelet.demo.result import DemoResult, Scores
from tubelet.demo.run import DemoConfig, run_demo

__all__ = ["CLASSES", "DemoConfig", "DemoResult", "Motion", "Scores", "run_demo", "write_clips"]
