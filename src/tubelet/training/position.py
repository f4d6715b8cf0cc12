"""How far something that learns in steps and epochs is, and the figures of the present epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Position:
    """How far a run is. It is part of every checkpoint, so an epoch that is resumed in its middle has all its figures.

    Attributes:
        step: batches done in all.
        epoch: epochs done, validation included.
        batch: batches done of the next one.
        clips: of the present epoch so far, learned from; of the last one until the next begins.
        clips_failed: likewise, that could not be read.
        loss_sum: likewise, their losses added up.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    clips: int = 0
    clips_failed: int = 0
    loss_sum: float = 0.0

    def begin_epoch(self) -> None:
        """Count from zero, if not one batch of the epoch is done."""
        if not self.batch:
            self.clips, self.clips_failed, self.loss_sum = 0, 0, 0.0

    def count(self, clips: int, clips_failed: int, loss: float) -> None:
        """A batch is done.

        Args:
            clips: that were learned from.
            clips_failed: that could not be read.
            loss: mean over `clips`.
        """
        self.step, self.batch = self.step + 1, self.batch + 1
        self.clips_failed += clips_failed
        if clips:
            self.clips += clips
            self.loss_sum += clips * loss

    @property
    def mean_loss(self) -> float:
        """Over the clips of the epoch; NaN if there is none."""
        return self.loss_sum / self.clips if self.clips else float("nan")
