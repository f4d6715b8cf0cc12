"""Weights of the classes in the loss, asked for or because some classes have far more videos than others."""

from __future__ import annotations

from torch import Tensor

from tubelet.config import TrainConfig
from tubelet.data import Table, class_weights
from tubelet.data.class_weights import SKEWED

EFFECTIVE_BETA = 0.999
"""Of `class_weights="effective"`."""


def loss_weights(config: TrainConfig, train: Table) -> tuple[dict[str, Tensor] | None, list[str]]:
    """Head to the factors [K] for the loss of its classes, and notes on what was decided.

    `class_weights="auto"` balances the heads with one class per video whose largest class has at least `SKEWED` times
    the videos of the smallest, unless `balanced` evens them out already. All other heads are left as they are.
    """
    scheme = config.optimisation.class_weights
    if scheme == "none":
        return None, []
    if scheme != "auto":
        beta = EFFECTIVE_BETA if scheme == "effective" else None
        return {head: class_weights(train, head, beta=beta) for head in train.classes}, []
    if config.data.balanced:
        return None, []
    notes, weights = [], {}
    for head, names in train.classes.items():
        counts = {name: number for name, number in zip(names, train.counts(head), strict=True) if number}
        if head in train.multi_label or not counts or max(counts.values()) < SKEWED * min(counts.values()):
            continue
        most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        weights[head] = class_weights(train, head)
        notes.append(
            f"{'classes' if head == 'label' else f'{head} classes'} weigh the same in the loss, however many videos "
            f"they have: {counts[most]} training videos of {most!r} and {counts[least]} of {least!r}, {SKEWED} to 1 or "
            "more (class_weights='none' leaves that out)"
        )
    return weights or None, notes
