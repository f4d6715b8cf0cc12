"""The curves of a training, read for its user: what became of it, in one sentence, and what to try.

The loss of training clips, which are augmented and mixed and whose targets are smoothed, cannot be compared with that
of validation. So accuracies are compared: of the delivered weights, on a sample of the training videos and on the
validation videos, both as an evaluation sees them. Curves are compared with themselves alone: over the second half
of the steps, by a straight line and the standard error of its slope. (Of the sum of its learning rates a cosine
schedule has 18 % there, and only 6 % in the last third, where a loss hardly falls that would go on falling.) A
difference counts if it is more than twice its standard error. docs/training.md has the criteria in words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tubelet.config.confidence import FEWEST_UNITS
from tubelet.config.run_state import EARLY, FINISHED
from tubelet.report.advice import (
    Settings,
    against_ending_early,
    against_no_beginning,
    against_overfitting,
    against_underfitting,
)
from tubelet.report.state import is_number
from tubelet.report.trend import Trend, second_half, trend

Verdict = Literal["not begun", "ended too early", "underfitted", "overfitted", "fine", "cannot tell"]

NEAR_CHANCE = 0.05
"""A training loss within this share of that of chance has not begun to fall."""
GAP = 0.10
"""Difference of two accuracies from which a training is called overfitted."""
SATURATED = 0.95
"""Share of the training videos from which more of the same training has little left to learn."""
LEARNED = 0.25
"""Share of the loss of chance; training videos with more, seen as in an evaluation, are not learned yet either."""
FITTED = 0.90
"""Share of the training videos below which a training is called underfitted."""
STILL_FALLING = 0.15
"""Share of the whole fall of the training loss, from chance, that comes in the second half if it has not settled."""
STILL_RISING = 0.03
"""Rise of the validation accuracy over the second half."""
WORSE = 0.10
"""Rise of the validation loss after the best validation, as a share of it."""
EXCLUDED = 0.20
"""Difference of the two accuracies that must be out of the question for a training to be called fine."""
RATE_LEFT = 0.10
"""Share of the highest learning rate above which it had not come down."""


@dataclass(frozen=True)
class Accuracy:
    """The delivered weights on some videos, seen as in an evaluation.

    Attributes:
        top1: share of the videos that could be read whose class has the highest logit; the mean over heads.
        error: its standard error.
        videos: files that it was measured on.
        loss: cross entropy in nats.
    """

    top1: float
    error: float
    videos: int
    loss: float | None = None

    @property
    def percent(self) -> str:
        return f"{100 * self.top1:.0f} %"


@dataclass(frozen=True)
class Measured:
    """What the reading compares.

    Attributes:
        training: on a sample of the training videos.
        validation: on the validation videos; None without.
        chance: share of the training videos that are of the most frequent class.
        chance_loss: training loss of a model that gives every video the shares of the classes.
    """

    training: Accuracy
    validation: Accuracy | None
    chance: float
    chance_loss: float

    @property
    def enough(self) -> bool:
        """Whether there are enough validation videos to say anything by."""
        return self.validation is not None and self.validation.videos >= FEWEST_UNITS

    @property
    def gap(self) -> float:
        """Training accuracy less validation accuracy; 0 where that cannot be judged."""
        return self.training.top1 - self.validation.top1 if self.enough and self.validation else 0.0

    @property
    def gap_error(self) -> float:
        """Standard error of `gap`."""
        return math.hypot(self.training.error, self.validation.error) if self.validation else math.inf


@dataclass(frozen=True)
class Reading:
    """What became of a training.

    Attributes:
        verdict: in a word or two.
        sentence: the same with the figures that it follows from, and what to try.
        suggestions: flags of `tubelet train` that the training did not use, with values.
        figures: the measured criteria by name.
    """

    verdict: Verdict
    sentence: str
    suggestions: tuple[str, ...] = ()
    figures: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Curves:
    """The curves of a training.

    Attributes:
        steps: of the whole training.
        falling: of the training loss over the second half of them.
        accuracy: of the validation accuracy over it.
        after_best: of the validation loss after the best validation.
        best: the `validation` event with the best accuracy; None without.
        epochs: that were done.
        rate_left: last learning rate over the highest.
        reason: why it ended.
        spikes: steps with a loss or a gradient norm far above the usual.
    """

    steps: int
    falling: Trend | None
    accuracy: Trend | None
    after_best: Trend | None
    best: Mapping[str, Any] | None
    epochs: int
    rate_left: float
    reason: str
    spikes: int

    @classmethod
    def of(cls, events: Sequence[Mapping[str, Any]]) -> Curves | None:
        """The curves in the events of a metrics.jsonl; None if not one step is in them."""
        steps = [event for event in events if event.get("event") == "train"]
        validations = [event for event in events if event.get("event") == "validation" and is_number(event.get("top1"))]
        ends = [event for event in events if event.get("event") == "end"]
        if not steps:
            return None
        end = int(steps[-1]["step"])
        best = max(validations, key=lambda one: (one["top1"], -(one.get("loss") or 0.0)), default=None)
        later = [one for one in validations if best and one["step"] > best["step"]]
        rates = [float(one["lr"]) for one in steps]
        return cls(
            steps=end,
            falling=trend(second_half([(one["step"], one["loss"]) for one in steps], end)),
            accuracy=trend(second_half([(one["step"], one["top1"]) for one in validations], end)),
            after_best=trend([(one["step"], one["loss"]) for one in later if one.get("loss") is not None]),
            best=best,
            epochs=int(steps[-1]["epoch"]),
            rate_left=rates[-1] / max(rates) if max(rates) else 0.0,
            reason=str(ends[-1].get("reason", FINISHED)) if ends else FINISHED,
            spikes=len({one.get("step") for one in events if one.get("event") == "spike"}),
        )

    def fall_share(self, chance_loss: float, errors: float = 0.0) -> float:
        """Of all that the training loss came down from chance, the share of the second half.

        Args:
            chance_loss: where it came from.
            errors: so many standard errors are added to the fall.
        """
        if self.falling is None:
            return 0.0
        fall = errors * self.falling.error - self.falling.change
        return max(fall, 0.0) / max(chance_loss - self.falling.end, fall, 1e-9)

    def still_falls(self, chance_loss: float) -> bool:
        """Whether the training loss has not settled."""
        sure = self.falling is not None and self.falling.falls
        return sure and self.fall_share(chance_loss) >= STILL_FALLING

    def settled(self, chance_loss: float) -> bool:
        """Whether it has: so many steps are known that a fall would show."""
        return self.falling is not None and self.fall_share(chance_loss, errors=2) < STILL_FALLING


def read_curves(measured: Measured, events: Sequence[Mapping[str, Any]], settings: Settings) -> Reading | None:
    """What became of a training; None without a record of its steps.

    Args:
        measured: the delivered weights on videos.
        events: of metrics.jsonl.
        settings: of the training.
    """
    curves = Curves.of(events)
    if curves is None:
        return None
    found = (
        _not_begun(measured, curves, settings)
        or _overfitted_later(measured, curves, settings)
        or _ended_too_early(measured, curves, settings)
        or _overfitted(measured, settings)
        or _underfitted(measured, curves, settings)
        or _fine(measured)
    )
    verdict, words, suggestions = found
    tries = f"; try {_alternatives(suggestions)}" if suggestions else ""
    return Reading(verdict, f"{words}{tries}.", tuple(suggestions), _figures(measured, curves))


Found = tuple[Verdict, str, list[str]]


def _not_begun(measured: Measured, curves: Curves, settings: Settings) -> Found | None:
    line, training = curves.falling, measured.training
    if line is None or line.end - line.change / 2 < (1 - NEAR_CHANCE) * measured.chance_loss:
        return None
    if training.top1 > measured.chance + 2 * training.error:
        return None
    return (
        "not begun",
        f"The model has not begun to learn: in the second half of {curves.steps:,} steps the training loss is "
        f"{line.end - line.change / 2:.2f} where chance is {measured.chance_loss:.2f}, and {training.percent} of "
        f"{_videos(training, 'training')} are right where chance is {100 * measured.chance:.0f} %",
        against_no_beginning(settings, curves.steps, curves.spikes),
    )


def _overfitted_later(measured: Measured, curves: Curves, settings: Settings) -> Found | None:
    """Validation was best long before the end and grew worse, while the training videos were still learned."""
    line, best, validation = curves.after_best, curves.best, measured.validation
    if validation is None or validation.top1 >= SATURATED or not measured.enough or _is_apart(measured):
        return None
    if line is None or best is None or not line.rises or not best.get("loss"):
        return None
    rise = line.end / best["loss"] - 1
    if rise < WORSE or (curves.accuracy is not None and curves.accuracy.rises):
        return None
    tries = against_overfitting(settings)
    if settings.is_off("patience"):
        tries = ["--patience 5", *tries][:3]
    return (
        "overfitted",
        f"The training overfitted: validation was best in epoch {best['epoch']} of {curves.epochs}, and its loss has "
        f"risen by {100 * rise:.0f} % since",
        tries,
    )


def _ended_too_early(measured: Measured, curves: Curves, settings: Settings) -> Found | None:
    training, rise = measured.training, curves.accuracy if measured.enough else None
    learned = training.loss is None or training.loss <= LEARNED * measured.chance_loss
    if training.top1 + 2 * training.error >= SATURATED and learned:
        return None
    if measured.enough and measured.validation is not None and measured.validation.top1 >= SATURATED:
        return None
    falls = curves.still_falls(measured.chance_loss)
    rises = rise is not None and rise.rises and rise.change >= STILL_RISING
    settled = rise is not None and rise.change + 2 * rise.error < STILL_RISING
    stopped = curves.reason == EARLY and curves.rate_left > RATE_LEFT
    if not rises and (not falls or (settled and not stopped) or _is_apart(measured)):
        return None
    why = []
    if rises and rise is not None:
        why.append(f"validation accuracy rose by {100 * rise.change:.0f} points in the second half")
    if falls:
        share = curves.fall_share(measured.chance_loss)
        why.append(f"{100 * share:.0f} % of the fall of the training loss came in the second half")
    if curves.rate_left > RATE_LEFT:
        why.append(f"the learning rate was still at {100 * curves.rate_left:.0f} % of its highest")
    return (
        "ended too early",
        f"The training ended too early: {' and '.join(why)}, and {training.percent} of {_videos(training, 'training')} "
        "are right",
        against_ending_early(settings, curves.reason),
    )


def _overfitted(measured: Measured, settings: Settings) -> Found | None:
    validation = measured.validation
    if validation is None or not _is_apart(measured):
        return None
    chance = ", which chance could give too," if validation.top1 <= measured.chance + 2 * validation.error else ","
    return (
        "overfitted",
        f"The training overfitted: {measured.training.percent} of {_videos(measured.training, 'training')} are right "
        f"and {validation.percent} of {_videos(validation, 'validation')}{chance} {_points(measured)}",
        against_overfitting(settings),
    )


def _underfitted(measured: Measured, curves: Curves, settings: Settings) -> Found | None:
    training, validation = measured.training, measured.validation
    if training.top1 + 2 * training.error >= FITTED:
        return None
    besides = "" if validation is None else f" and {validation.percent} of {_videos(validation, 'validation')}"
    known = f"{training.percent} of {_videos(training, 'training')}{besides} are right"
    if curves.settled(measured.chance_loss):
        return (
            "underfitted",
            f"The training underfitted: its loss has settled, and {known}",
            against_underfitting(settings),
        )
    return (
        "underfitted",
        f"The training underfitted or ended too early, which so few steps do not say: {known}",
        against_ending_early(settings, curves.reason),
    )


def _fine(measured: Measured) -> Found:
    """No sign of anything, where there are enough validation videos to show one."""
    training, validation = measured.training, measured.validation
    known = f"{training.percent} of {_videos(training, 'training')} are right"
    if validation is None:
        return (
            "cannot tell",
            f"Whether the training overfitted cannot be told without validation videos: {known}",
            ["--hold-out 0.2"],
        )
    both = f"{known} and {validation.percent} of {_videos(validation, 'validation')}"
    if not measured.enough:
        return (
            "cannot tell",
            f"Whether the training overfitted cannot be told by so few validation videos: {both}",
            [],
        )
    if measured.gap >= GAP:
        return ("cannot tell", f"Whether the training overfitted cannot be told: {both}, {_points(measured)}", [])
    return ("fine", f"No sign of under- or overfitting: {both}, {_points(measured)}", [])


def _is_apart(measured: Measured) -> bool:
    """Whether the training videos are known better than the validation videos."""
    return measured.enough and measured.gap >= GAP and measured.gap > 2 * measured.gap_error


def _figures(measured: Measured, curves: Curves) -> dict[str, float | None]:
    training, validation, rise = measured.training, measured.validation, curves.accuracy
    return {
        "training_top1": training.top1,
        "training_top1_error": training.error,
        "training_loss": training.loss,
        "training_videos": training.videos,
        "validation_top1": None if validation is None else validation.top1,
        "validation_top1_error": None if validation is None else validation.error,
        "validation_loss": None if validation is None else validation.loss,
        "validation_videos": 0 if validation is None else validation.videos,
        "chance": measured.chance,
        "chance_loss": measured.chance_loss,
        "second_half_loss": None if curves.falling is None else curves.falling.end - curves.falling.change / 2,
        "second_half_loss_change": None if curves.falling is None else curves.falling.change,
        "second_half_loss_change_error": None if curves.falling is None else curves.falling.error,
        "second_half_share_of_fall": curves.fall_share(measured.chance_loss),
        "second_half_validation_change": None if rise is None else rise.change,
        "second_half_validation_change_error": None if rise is None else rise.error,
        "learning_rate_left": curves.rate_left,
    }


def _videos(accuracy: Accuracy, which: str) -> str:
    return f"{accuracy.videos:,} {which} video{'' if accuracy.videos == 1 else 's'}"


def _points(measured: Measured) -> str:
    """The difference with two standard errors."""
    return f"{100 * abs(measured.gap):.0f} points apart (± {200 * measured.gap_error:.0f})"


def _alternatives(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
