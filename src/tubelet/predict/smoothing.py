"""Steadier decisions: an average over those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor

from tubelet.errors import ConfigError

EXAMPLES = "write mean:5 (the last five decisions) or exponential:0.3 (the newest weighs 0.3)"


class Smoother:
    """An average of probabilities over decisions, brought up to date with each.

    Args:
        how: "mean:5", the mean over the last five decisions, fewer at the start; "exponential:0.3", 0.3 of the newest
            and 0.7 of the average before; None leaves them as they are.

    Raises:
        ConfigError: something else.
    """

    def __init__(self, how: str | None = None) -> None:
        self._recent: dict[str, deque[Tensor]] = {}
        self._average: dict[str, Tensor] = {}
        kind, _, number = (how or "mean:1").partition(":")
        try:
            amount = float(number)
        except ValueError:
            raise ConfigError(f"smoothing={how!r} is not understood; {EXAMPLES}") from None
        fits = {"mean": amount >= 1 and amount == int(amount), "exponential": 0 < amount <= 1}
        if not fits.get(kind):
            raise ConfigError(f"smoothing={how!r} is not understood; {EXAMPLES}")
        self._count = int(amount) if kind == "mean" else 0
        self._weight = amount

    def __call__(self, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The average of each head, this decision included; float64 [K]."""
        return {head: self._of_head(head, values) for head, values in probabilities.items()}

    def _of_head(self, head: str, values: Tensor) -> Tensor:
        if self._count:
            recent = self._recent.setdefault(head, deque(maxlen=self._count))
            recent.append(values)
            return torch.stack(tuple(recent)).mean(dim=0)
        before = self._average.get(head, values)
        self._average[head] = before + self._weight * (values - before)
        return self._average[head]
