"""Training: the loop, the optimiser, checkpoints, and the folder that a run leaves."""

from tubelet.training.interrupt import TrainingInterrupted
from tubelet.training.log import read_events
from tubelet.training.loop import TrainResult, train
from tubelet.training.monitor import SpikeError
from tubelet.training.progress import ConsoleReporter, Reporter, SilentReporter
from tubelet.training.step import DivergedError

__all__ = [
    "ConsoleReporter",
    "DivergedError",
    "Reporter",
    "SilentReporter",
    "SpikeError",
    "TrainResult",
    "TrainingInterrupted",
    "read_events",
    "train",
]
