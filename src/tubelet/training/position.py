"""How far a training is, and the sums of the present epoch."""

from __future__ import annotations

from dataclasses import dataclass

from tubelet.evaluation import Evaluation


@dataclass
class Best:
    """The best validation so far.

    Attributes:
        step: of the training.
        epoch: of it.
        top1: mean over the heads with one class per video; None without such.
        loss: None if no video could be read.
        mean_average_precision: mean over the multi-label heads; None without such.
        score: that the weights are chosen by: the mean of these over all heads (`Evaluation.score`).
    """

    step: int
    epoch: int
    top1: float | None
    loss: float | None
    mean_average_precision: float | None = None
    score: float | None = None

    @classmethod
    def of(cls, evaluation: Evaluation, step: int, epoch: int) -> Best:
        """A validation at this place of the training."""
        top1 = evaluation.top1 if evaluation.metrics else None
        return cls(step, epoch, top1, evaluation.loss, evaluation.mean_average_precision, evaluation.score)

    def beats(self, other: Best | None) -> bool:
        """A higher score, or the same with a lower loss."""
        return other is None or self._rank() > other._rank()

    def in_words(self) -> str:
        """Top-1, or mean average precision, or both."""
        figures = {"top-1": self.top1, "mAP": self.mean_average_precision}
        return " ".join(f"{name} {value:6.2%}" for name, value in figures.items() if value is not None)

    def _rank(self) -> tuple[float, float]:
        score = self.top1 if self.score is None else self.score  # a checkpoint of an older version has no score
        return 0.0 if score is None else score, float("-inf") if self.loss is None else -self.loss


@dataclass
class Position:
    """How far a run is. It is part of every checkpoint, so an epoch that is resumed in its middle has all its figures.

    Attributes:
        step: batches done in all.
        epoch: epochs done, validation included.
        batch: batches done of the next one.
        clips: of the present epoch so far, learned from; of the last one until the next begins.
        clips_failed: likewise, that could not be read.
        loss_sum: likewise, the sum of their losses.
        best: the best validation so far.
        since_best: validations since then.
        planned_steps: steps of the whole training where a time budget decides; None for all epochs.
        ended: why nothing is left to do (`tubelet.config.run_state`); None as long as there is.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    clips: int = 0
    clips_failed: int = 0
    loss_sum: float = 0.0
    best: Best | None = None
    since_best: int = 0
    planned_steps: int | None = None
    ended: str | None = None

    def begin_epoch(self) -> None:
        """Reset the sums, unless the epoch is resumed in its middle."""
        if not self.batch:
            self.clips, self.clips_failed, self.loss_sum = 0, 0, 0.0

    def count(self, clips: int, clips_failed: int, loss: float) -> None:
        """A batch is done, with this mean loss of the clips that could be read."""
        self.step, self.batch = self.step + 1, self.batch + 1
        self.clips_failed += clips_failed
        if clips:
            self.clips += clips
            self.loss_sum += clips * loss

    @property
    def mean_loss(self) -> float:
        """Over the clips of the epoch; NaN if there is none."""
        return self.loss_sum / self.clips if self.clips else float("nan")
