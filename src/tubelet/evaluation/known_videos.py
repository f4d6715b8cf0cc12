"""What a model did before with the videos that it is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tubelet.provenance import Use
from tubelet.text import count


@dataclass(frozen=True, kw_only=True)
class KnownVideos:
    """How many of the videos of a result the model, or one that it was started from, had seen.

    Attributes:
        learned_from: videos that it learned from, other than 0 only if they were asked for; None if unknown.
        chosen_on: videos that chose the weights (validation); None if unknown.
        left_out: videos that are not part of the result because the model learned from them.
        provenance_unknown: why this is not known of all videos; None if it is.
    """

    learned_from: int | None = None
    chosen_on: int | None = None
    left_out: int = 0
    provenance_unknown: str | None = None

    @classmethod
    def counted(cls, uses: Sequence[Use | None], left_out: int, unknown: str | None) -> KnownVideos:
        """Count the uses of each video; with `unknown`, the reason why some may be missing."""
        learned = chosen = None
        if unknown is None or any(uses):
            learned, chosen = uses.count("learned"), uses.count("chose")
        return KnownVideos(learned_from=learned, chosen_on=chosen, left_out=left_out, provenance_unknown=unknown)

    def describe(self, total: int) -> list[str]:
        """What a reader must know of the `total` videos, in sentences; none where all are new to the model."""
        lines = []
        if self.learned_from:
            lines.append(
                f"the model learned from {self.learned_from} of these {total} videos: this is no measure of new ones"
            )
        if self.chosen_on:
            lines.append(f"{self.chosen_on} of these {total} videos chose the weights (validation)")
        if self.left_out:
            lines.append(f"left out {count(self.left_out, 'video')} that the model learned from")
        if self.provenance_unknown is not None:
            lines.append(f"it is not known whether the model learned from these videos: {self.provenance_unknown}")
        return lines
