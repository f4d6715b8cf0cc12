"""A recipe that is fitted to the videos: short trainings on a part of the training videos, judged by the rest."""

from tubelet.tuning.tuner import Trial, TuneResult, tune

__all__ = ["Trial", "TuneResult", "tune"]
