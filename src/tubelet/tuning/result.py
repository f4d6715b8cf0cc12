"""What a tuning tried, and what it came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tubelet.config import TrainConfig
from tubelet.evaluation.intervals import Interval
from tubelet.tuning.candidates import Candidate
from tubelet.tuning.looks import Looks


@dataclass(frozen=True)
class Trial:
    """A candidate that was tried.

    Attributes:
        candidate: what.
        round: in which round, from 1.
        accuracy: share of the labels of the held-out videos that it got right, mean over heads; None if it failed.
        interval: 95 %, over held-out units; None where they do not support one.
        difference: to the best before it; None for the first.
        error: standard error of that difference, paired over units.
        train_accuracy: on as many training videos.
        seconds: that it took.
        chosen: whether it became the best.
        failure: why it failed.
        folder: of its run.
    """

    candidate: Candidate
    round: int
    accuracy: float | None
    interval: Interval | None
    difference: float | None
    error: float | None
    train_accuracy: float | None
    seconds: float
    chosen: bool
    failure: str
    folder: Path


@dataclass(frozen=True)
class TuneResult:
    """What a tuning came to.

    Attributes:
        config: of the training that is to follow.
        best: the candidate that it is.
        trials: all, in their order.
        looks: at the training videos.
        steps: of each trial.
        held_out: videos that the trials were judged by.
        learned: videos that they learned from.
        seconds: of all trials.
        next: what would be tried next, in words.
        notes: for the user.
        folder: of everything.
        recipe: the TOML file.
        page: the report.
    """

    config: TrainConfig
    best: Candidate
    trials: tuple[Trial, ...]
    looks: Looks
    steps: int
    held_out: int
    learned: int
    seconds: float
    next: tuple[str, ...]
    notes: tuple[str, ...]
    folder: Path
    recipe: Path
    page: Path

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "best": self.best.name,
            "label": self.best.label,
            "recipe": str(self.recipe),
            "report": str(self.page),
            "steps": self.steps,
            "held_out": self.held_out,
            "learned": self.learned,
            "seconds": round(self.seconds, 3),
            "next": list(self.next),
            "notes": list(self.notes),
            "looks": asdict(replace(self.looks, classes={}))
            | {"classes": {h: len(c) for h, c in self.looks.classes.items()}},
            "trials": [
                {
                    "name": trial.candidate.name,
                    "label": trial.candidate.label,
                    "round": trial.round,
                    "accuracy": trial.accuracy,
                    "interval": None if trial.interval is None else list(trial.interval.range),
                    "difference": trial.difference,
                    "error": trial.error,
                    "train_accuracy": trial.train_accuracy,
                    "seconds": trial.seconds,
                    "chosen": trial.chosen,
                    "failure": trial.failure,
                    "run": str(trial.folder),
                }
                for trial in self.trials
            ],
        }
