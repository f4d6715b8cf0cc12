"""Weights of classes in the loss."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tubelet.data import Table, class_weights

MakeTable = Callable[..., Table]


def test_balanced_class_weights_let_all_classes_weigh_the_same(plain_table: MakeTable) -> None:
    sizes = {"rare": 100, "common": 10_000, "single": 1}
    table = plain_table(sizes)
    weights = class_weights(table)
    totals = weights * torch.tensor(table.counts("label"))
    assert totals.tolist() == pytest.approx([sum(sizes.values()) / 3] * 3, rel=1e-6)
    effective = class_weights(table, beta=0.999) * torch.tensor(table.counts("label"))
    assert effective[table.classes["label"].index("common")] > 5 * effective[table.classes["label"].index("rare")]


def test_class_weights_raise_rare_classes(plain_table: MakeTable) -> None:
    table = plain_table({"common": 90, "rare": 10})
    weights = class_weights(table, beta=0.9999)
    assert weights[1] / weights[0] == pytest.approx(9, rel=0.02)
    assert float(weights[0] * 0.9 + weights[1] * 0.1) == pytest.approx(1)
    assert class_weights(table, beta=0.0).tolist() == [1.0, 1.0]
