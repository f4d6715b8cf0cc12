"""A recipe that is fitted to the videos: short trainings on a part of the training videos, judged by the rest."""

from tubelet.tuning.result import Trial, TuneResult
from tubelet.tuning.tuner import tune

__all__ = ["Trial", "TuneResult", "tune"]
