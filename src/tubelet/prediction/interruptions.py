"""How often a live source was interrupted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interruptions:
    """Counts of a live source.

    Attributes:
        breaks: reconnections.
        clock_jumps: jumps of the source's clock within a connection. The times of decisions have none.
        dropped: frames left out of all decisions because the model is slower than the source.
    """

    breaks: int = 0
    clock_jumps: int = 0
    dropped: int = 0
