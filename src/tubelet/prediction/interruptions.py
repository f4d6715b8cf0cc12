"""What happened to a live source on the way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interruptions:
    """Of a live source.

    Attributes:
        breaks: how often the connection broke off and was made again.
        clock_jumps: how often the source's clock was set anew within a connection. Times go on without a jump.
        dropped: frames that no decision is about, as the model is slower than the source.
    """

    breaks: int = 0
    clock_jumps: int = 0
    dropped: int = 0
