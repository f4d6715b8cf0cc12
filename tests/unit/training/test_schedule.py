"""The learning rate against values worked out by hand from the original's formula."""

from __future__ import annotations

import math

import pytest

from tubelet.training.schedule import cosine_with_warmup


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.0),
        (1, 0.025),
        (4, 0.1),
        (8, 0.1 * 0.5 * (1 + math.cos(math.pi / 4))),
        (12, 0.05),
        (16, 0.1 * 0.5 * (1 - math.cos(math.pi / 4))),
        (20, 0.0),
    ],
)
def test_linear_warmup_then_half_a_cosine(step: int, rate: float) -> None:
    assert cosine_with_warmup(step, 0.1, 4.0, 20) == pytest.approx(rate, abs=1e-12)


def test_a_warmup_of_a_fraction_of_a_step_and_none_at_all() -> None:
    assert cosine_with_warmup(1, 1.0, 2.5, 10) == pytest.approx(0.4)
    assert cosine_with_warmup(3, 1.0, 2.5, 10) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.5 / 7.5)))
    assert cosine_with_warmup(0, 1.0, 0.0, 10) == 1.0
