"""The number of steps of a training with a time budget.

The learning rate schedule depends on the number of steps. So it is planned early, from the pace so far, and corrected
some times later; each plan is in a checkpoint before it is followed, and a resumed run follows it.
"""

from __future__ import annotations

import time

LOOKS = (0.05, 0.2, 0.5, 0.8, 0.95)
"""Shares of the time after which the steps are planned."""


def now() -> float:
    """Seconds on a monotonic clock."""
    return time.monotonic()


class TimeBudget:
    """The time of a training.

    Args:
        minutes: of the whole training, from its first step; resumed parts count together.

    Attributes:
        spent: seconds of earlier processes.
        looked: plans so far.
    """

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes
        self.spent = 0.0
        self.looked = 0
        self._began = now()

    @property
    def elapsed(self) -> float:
        """Seconds of the training so far, resumed parts together."""
        return self.spent + now() - self._began

    def is_due(self) -> bool:
        """Whether it is time to plan."""
        return self.looked < len(LOOKS) and self.elapsed >= LOOKS[self.looked] * self.seconds

    def plan(self, step: int, most: int, reserve: float) -> int:
        """The number of steps of the whole training.

        Args:
            step: steps done, 1 or more.
            most: steps of all epochs.
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
