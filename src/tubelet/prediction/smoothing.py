"""Smoothing: averages over consecutive decisions, of their probabilities and of their times."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import torch
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.prediction.decision import Decision
from tubelet.prediction.result import HeadResult

EXAMPLES = "write mean:5 (the last five decisions) or exponential:0.3 (the newest weighs 0.3)"


class Smoother:
    """A running average of probabilities over decisions.

    Args:
        how: "mean:5", the mean over the last five decisions, fewer at the start; "exponential:0.3", 0.3 of the newest
            and 0.7 of the average before; None leaves them as they are.

    Raises:
        ConfigError: something else.
    """

    def __init__(self, how: str | None = None) -> None:
        self._recent: dict[str | None, deque[Tensor]] = {}
        self._average: dict[str | None, Tensor] = {}
        kind, _, number = (how or "mean:1").partition(":")
        try:
            amount = float(number)
        except ValueError:
            raise ConfigError(f"smoothing={how!r} is not understood; {EXAMPLES}") from None
        fits = {"mean": amount >= 1 and amount.is_integer(), "exponential": 0 < amount <= 1}
        if not fits.get(kind):
            raise ConfigError(f"smoothing={how!r} is not understood; {EXAMPLES}")
        self._count = int(amount) if kind == "mean" else 0
        self._weight = amount

    def __call__(self, decision: Decision) -> Decision:
        """The decision with averages up to itself: of each head's probabilities, and of the windows' middles.

        Probabilities are kept as logits, so that the softmax, or the sigmoids, of a head give them back.
        """
        averages = {
            name: replace(head, logits=_logits(self._average_of(name, head.probabilities), head))
            for name, head in decision.heads.items()
        }
        middle = float(self._average_of(None, torch.tensor(decision.middle, dtype=torch.float64)))
        return replace(decision, heads=averages, time=middle)

    def _average_of(self, head: str | None, values: Tensor) -> Tensor:
        if self._count:
            recent = self._recent.setdefault(head, deque(maxlen=self._count))
            recent.append(values)
            return torch.stack(tuple(recent)).mean(dim=0)
        before = self._average.get(head, values)
        self._average[head] = before + self._weight * (values - before)
        return self._average[head]


def _logits(probabilities: Tensor, head: HeadResult) -> Tensor:
    """Logits from which a head makes these probabilities."""
    if head.multi_label:
        return probabilities.clamp(1e-15, 1 - 1e-15).logit()
    return probabilities.clamp_min(1e-300).log() * (1.0 if head.point is None else head.point.temperature)
