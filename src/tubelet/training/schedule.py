"""The learning rate at every step."""

from __future__ import annotations

import math


def cosine_with_warmup(step: int, base: float, warmup_steps: int | float, total_steps: int) -> float:
    """The original's schedule: linear from 0 to `base`, multiplied by half a cosine that ends at 0.

        base * min(1, step / warmup) * (1 + cos(pi * max(0, step - warmup) / (total - warmup))) / 2

    (`compound * linear_warmup * cosine_decay` of Scenic's `lr_schedules.py`.) The first step of a warm-up has rate 0.

    Args:
        step: optimiser steps done before this one, from 0.
        base: the highest rate.
        warmup_steps: length of the warm-up; need not be whole, 0 is none.
        total_steps: of the whole training.
    """
    warmup = min(1.0, step / warmup_steps) if warmup_steps else 1.0
    progress = max(0.0, step - warmup_steps) / (total_steps - warmup_steps) if total_steps > warmup_steps else 0.0
    return base * warmup * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
