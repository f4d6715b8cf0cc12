"""The prediction of one window of a stream."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tubelet.prediction.result import TOP, HeadResult, single_head


@dataclass(frozen=True, eq=False)
class Decision:
    """The prediction of one window of a stream.

    Attributes:
        number: counted from 0.
        start: when the window's first frame is shown, seconds on the source's own clock.
        end: when its last frame is shown.
        frames: numbers of its first and its last frame in the source, counted from 0; of a `Clip`, in its video.
        heads: predictions by head name, smoothed if `smoothing` was given.
        shown: how many classes `str` and `to_dict` show.
        time: seconds: the window's middle; smoothed, the average over the middles of the windows that are averaged, so
            that it is not late.
    """

    number: int
    start: float
    end: float
    frames: tuple[int, int]
    heads: Mapping[str, HeadResult]
    shown: int = TOP
    time: float = math.nan

    def __post_init__(self) -> None:
        if math.isnan(self.time):
            object.__setattr__(self, "time", self.middle)

    @property
    def head(self) -> HeadResult:
        """The only head of the model; with several use `heads`."""
        return single_head(self.heads, "decision")

    @property
    def label(self) -> str:
        """The most probable class; `unknown` where the model abstains. An error for a multi-label head."""
        return self.head.label

    @property
    def labels(self) -> tuple[str, ...]:
        """All classes that are reported; see `HeadResult.labels`."""
        return self.head.labels

    @property
    def probability(self) -> float:
        """Of the most probable class."""
        return self.head.probability

    @property
    def middle(self) -> float:
        """Seconds: the middle of the window."""
        return (self.start + self.end) / 2

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: `number`, `start`, `end`, `frames`, and the heads as in `Result.to_dict`."""
        heads = {name: head.to_dict(self.shown) for name, head in self.heads.items()}
        times = {"start": round(self.start, 6), "end": round(self.end, 6), "frames": list(self.frames)}
        return {"number": self.number, **times, **(next(iter(heads.values())) if len(heads) == 1 else {"heads": heads})}

    def __str__(self) -> str:
        best = "; ".join(head.in_words(self.shown) for head in self.heads.values())
        return f"{self.start:.2f}-{self.end:.2f} s: {best}"
