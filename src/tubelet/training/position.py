"""How far a training is, and the sums of the present epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Best:
    """The best validation so far."""

    step: int
    epoch: int
    top1: float
    loss: float | None

    def beats(self, other: Best | None) -> bool:
        """Higher top-1, or the same with a lower loss."""
        return other is None or self._rank() > other._rank()

    def _rank(self) -> tuple[float, float]:
        return self.top1, float("-inf") if self.loss is None else -self.loss


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
