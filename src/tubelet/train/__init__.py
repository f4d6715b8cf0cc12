"""Training: the loop, the optimiser, checkpoints, and the folder that a run leaves."""

from tubelet.callable_module import make_callable
from tubelet.train.interrupt import TrainingInterrupted
from tubelet.train.log import read_events
from tubelet.train.loop import TrainResult, train
from tubelet.train.progress import ConsoleReporter, Reporter, SilentReporter
from tubelet.train.step import DivergedError
from tubelet.train.watch import SpikeError

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

make_callable(__name__)
