"""What many videos show, in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tubelet.prediction.result import Result
from tubelet.text import count, printable

NONE = "none of the classes"

SHOWN_CLASSES = 10
"""Classes that the summary names."""


@dataclass
class Summary:
    """How many videos are of which class.

    Attributes:
        videos: results so far.
        failures: videos that could not be read.
        learned_from: videos that the model learned from.
        resampled: videos that were sampled by their timestamps.
        classes: head to how many videos each class was the best of; of a multi-label head, how many show it.
    """

    videos: int = 0
    failures: int = 0
    learned_from: int = 0
    resampled: int = 0
    classes: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, result: Result) -> None:
        """One more video."""
        self.videos += 1
        self.failures += result.error is not None
        self.learned_from += result.use == "learned"
        self.resampled += result.resampled
        for head in result.heads.values():
            shown = (head.labels or (NONE,)) if head.multi_label else (head.label,)
            self.classes.setdefault(head.name, Counter()).update(shown)

    def lines(self) -> Iterator[str]:
        """A line for each head."""
        for head, counts in self.classes.items():
            named = ", ".join(f"{number} {printable(label)}" for label, number in counts.most_common(SHOWN_CLASSES))
            more = len(counts) - SHOWN_CLASSES
            rest = f" and {count(more, 'other class', 'other classes')}" if more > 0 else ""
            yield f"{count(self.videos, 'video')}{'' if head == 'label' else f', {printable(head)}'}: {named}{rest}"

    def notes(self) -> Iterator[str]:
        """What to know of the results."""
        if self.failures and self.videos > 1:
            yield f"{self.failures} of {self.videos} videos could not be read"
        if self.learned_from:
            yield (
                f"the model learned from {self.learned_from} of {count(self.videos, 'video')}: what it says of these "
                "is no measure of new ones"
            )
