"""How many steps a training takes when it has only so much time: measured, planned, stored, and planned anew.

The rate of the schedule depends on how many steps there will be. So the number is planned early, from the pace so far,
and corrected some times later; each plan is written to a checkpoint before it is followed. A resumed run follows the
plan that it finds, and so learns exactly what it would have learned.
"""

from __future__ import annotations

import time

LOOKS = (0.05, 0.2, 0.5, 0.8, 0.95)
"""Shares of the time after which the rest is planned."""


def now() -> float:
    """Seconds on a clock that only goes forward."""
    return time.monotonic()


class TimeBudget:
    """The time of a training.

    Args:
        minutes: of the whole training, from its first step; resumed parts count together.

    Attributes:
        spent: seconds before this process began.
        looked: how many of the `LOOKS` are behind.
    """

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes
        self.spent = 0.0
        self.looked = 0
        self._began = now()

    @property
    def elapsed(self) -> float:
        """Seconds of the training so far, in all processes that it had one after the other."""
        return self.spent + now() - self._began

    def is_due(self) -> bool:
        """Whether it is time to plan."""
        return self.looked < len(LOOKS) and self.elapsed >= LOOKS[self.looked] * self.seconds

    def plan(self, step: int, most: int, reserve: float) -> int:
        """How many steps the training should have in all.

        Args:
            step: steps done, 1 or more.
            most: steps that it has if there is time enough.
            reserve: seconds for what comes after the last step.
        """
        elapsed = self.elapsed
        while self.looked < len(LOOKS) and elapsed >= LOOKS[self.looked] * self.seconds:
            self.looked += 1
        left = max(self.seconds - elapsed - reserve, 0.0)
        return min(most, step + int(left * step / elapsed))

    def state_dict(self) -> dict[str, float | int]:
        return {"spent": self.elapsed, "looked": self.looked}

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        self.spent, self.looked = float(state["spent"]), int(state["looked"])
        self._began = now()
