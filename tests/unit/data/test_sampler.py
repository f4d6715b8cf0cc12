"""Which clips a batch holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import chain

import pytest

from tubelet.data import EpochBatches, Table
from tubelet.errors import ConfigError

MakeTable = Callable[..., Table]


def order(
    table: Table, batch_size: int = 4, epoch: int = 0, start_batch: int = 0, **options: object
) -> list[list[int]]:
    batches = EpochBatches(table, batch_size, **options)
    batches.set_epoch(epoch, start_batch)
    found = [[draw.index for draw in batch] for batch in batches]
    assert len(found) == len(batches)
    return found


def test_every_sample_once_an_epoch_in_another_order_each_time(plain_table: MakeTable) -> None:
    table = plain_table({"a": 13, "b": 10})
    first, second = order(table), order(table, epoch=1)
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(23))
    assert first != second
    assert order(table) == first
    assert order(table, seed=1) != first
    assert order(table, shuffle=False) == [list(range(i, min(i + 4, 23))) for i in range(0, 23, 4)]
    assert order(table, drop_last=True) == first[:5]
    assert order(table, start_batch=4) == first[4:]


def test_balanced_epochs_have_every_class_equally_often(plain_table: MakeTable) -> None:
    table = plain_table({"common": 40, "middle": 10, "rare": 4})
    labels = [sample.labels["label"] for sample in table.samples]
    for epoch in range(3):
        drawn = list(chain(*order(table, epoch=epoch, balanced="label")))
        assert Counter(labels[index] for index in drawn) == {0: 18, 1: 18, 2: 18}
        counts = Counter(drawn)
        assert all(4 <= counts[index] <= 5 for index in range(50, 54))
        assert all(counts[index] <= 1 for index in range(40))
    batches = EpochBatches(table, 54, balanced="label")
    (draws,) = list(batches)
    assert len(set(draws)) == 54, "a sample that comes up again is drawn anew"
    with pytest.raises(ConfigError, match="balanced='verb' is not a head"):
        EpochBatches(table, 4, balanced="verb")


@pytest.mark.parametrize(
    ("clips", "batch_size", "sizes"),
    [
        (21, 10, [10, 11]),
        (22, 10, [10, 6, 6]),
        (23, 10, [10, 7, 6]),
        (25, 10, [10, 10, 5]),
        (5, 4, [5]),
        (2, 4, [2]),
        (5, 2, [2, 3]),
        (3, 2, [3]),
        (20, 10, [10, 10]),
        (1, 8, [1]),
        (3, 1, [1, 1, 1]),
    ],
)
def test_no_last_batch_is_small(plain_table: MakeTable, clips: int, batch_size: int, sizes: list[int]) -> None:
    table = plain_table({"a": clips})
    batches = EpochBatches(table, batch_size, even_end=True)
    assert [len(batch) for batch in batches] == sizes
    assert batches.batches == len(sizes)
    assert batches.largest == max(sizes)
    drawn = order(table, batch_size, epoch=1, even_end=True)
    assert sorted(chain(*drawn)) == list(range(clips))
    assert list(chain(*drawn)) == list(chain(*order(table, batch_size, epoch=1))), "the order stays"
    batches.set_epoch(1, len(sizes) - 1)
    assert [[draw.index for draw in batch] for batch in batches] == drawn[-1:]
    ranks = [order(table, batch_size, epoch=1, even_end=True, rank=rank, world_size=2) for rank in range(2)]
    assert [sorted(one + other) for one, other in zip(*ranks, strict=True)] == [sorted(batch) for batch in drawn]


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_divide_each_batch_of_a_single_one(plain_table: MakeTable, world_size: int, pairs: bool) -> None:
    table = plain_table({"a": 13, "b": 8})  # the last batch is a single clip: not every process has one
    one = order(table, 10, epoch=2)
    ranks = [order(table, 10, epoch=2, rank=rank, world_size=world_size, pairs=pairs) for rank in range(world_size)]
    for batch, *parts in zip(one, *ranks, strict=True):
        assert sorted(index for part in parts for index in part) == sorted(batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= (2 if pairs else 1)
        if pairs:
            partner = dict(zip(batch, reversed(batch), strict=True))
            assert all(partner[own] == other for part in parts for own, other in zip(part, reversed(part), strict=True))
    full = [order(table, 10, epoch=2, rank=rank, world_size=world_size, drop_last=True) for rank in range(world_size)]
    assert {len(batches) for batches in full} == {2}
