"""Batches."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
import torch

from tubelet.config import PreprocessingConfig
from tubelet.data import (
    Batch,
    ClipDataset,
    EpochBatches,
    Failure,
    FrameCache,
    Table,
    class_weights,
    make_loader,
    read_table,
    timed,
)
from tubelet.errors import ConfigError, DataError, WorkerError

MakeTable = Callable[..., Table]


def same(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.video, other.video)
        and torch.equal(one.indices, other.indices)
        and one.failures == other.failures
        and all(torch.equal(one.targets[head], other.targets[head]) for head in one.targets)
    )


def order(
    table: Table, batch_size: int = 4, epoch: int = 0, start_batch: int = 0, **options: object
) -> list[list[int]]:
    batches = EpochBatches(table, batch_size, **options)
    batches.set_epoch(epoch, start_batch)
    found = [[draw.index for draw in batch] for batch in batches]
    assert len(found) == len(batches)
    return found


def test_batches_are_the_same_whatever_the_workers_and_the_cache(folder: Path, small: PreprocessingConfig) -> None:
    table = read_table(folder)
    expected: list[list[Batch]] = []
    for workers, cache in ((0, None), (2, None), (2, FrameCache(len(table), 0.1)), (1, None)):
        loader = make_loader(ClipDataset(table, small, seed=1, cache=cache), 5, workers=workers, pin_memory=False)
        epochs = []
        for epoch in range(2):
            loader.set_epoch(epoch)
            epochs.append(list(loader))
        if not expected:
            expected = epochs
            assert not same(epochs[0][0], epochs[1][0])
        assert all(
            same(a, b) for one, other in zip(epochs, expected, strict=True) for a, b in zip(one, other, strict=True)
        )
        if cache is not None:
            assert len(cache) == len(table), "what a worker keeps, this process has too"


def test_an_epoch_goes_on_where_it_stopped(folder: Path, small: PreprocessingConfig) -> None:
    table = read_table(folder)
    whole = make_loader(ClipDataset(table, small), 5, workers=0, epoch=3, pin_memory=False)
    rest = make_loader(ClipDataset(table, small), 5, workers=2, epoch=3, start_batch=1, pin_memory=False)
    assert len(whole) == 3
    assert len(rest) == 2
    assert all(same(a, b) for a, b in zip(list(whole)[1:], rest, strict=True))
    rest.set_epoch(4)
    assert len(rest) == 3


def test_leaving_an_epoch_early_does_not_disturb_the_next(folder: Path, small: PreprocessingConfig) -> None:
    table = read_table(folder)
    loader = make_loader(ClipDataset(table, small), 2, workers=2, pin_memory=False)
    next(iter(loader))
    loader.set_epoch(1)
    fresh = make_loader(ClipDataset(table, small), 2, workers=0, epoch=1, pin_memory=False)
    assert all(same(a, b) for a, b in zip(loader, fresh, strict=True))


def test_failures_are_named_and_no_other_video_takes_their_place(
    folder: Path, tmp_path: Path, small: PreprocessingConfig
) -> None:
    shutil.copytree(folder, tmp_path / "data")
    for name in ("clap/0.mp4", "clap/1.mp4", "clap/2.mp4", "wave/3.mp4"):
        (tmp_path / "data" / name).write_bytes(b"broken")
    table = read_table(tmp_path / "data")
    for workers in (0, 2):
        loader = make_loader(ClipDataset(table, small), 3, workers=workers, shuffle=False, pin_memory=False)
        batches = list(loader)
        assert [len(batch) for batch in batches] == [0, 3, 3, 2]
        assert batches[0].video.shape == (0, 4, 3, 16, 16)
        assert [failure.index for batch in batches for failure in batch.failures] == [0, 1, 2, 11]
        assert [index for batch in batches for index in batch.indices.tolist()] == [3, 4, 5, 6, 7, 8, 9, 10]
        assert isinstance(batches[3].failures[0], Failure)


def test_evaluation_keeps_the_order_and_gives_all_views(folder: Path, small: PreprocessingConfig) -> None:
    table = read_table(folder)
    loader = make_loader(ClipDataset(table, small, mode="evaluate", clips=2, crops=3), 5, workers=0)
    batches = list(loader)
    assert [index for batch in batches for index in batch.indices.tolist()] == list(range(12))
    assert [tuple(batch.video.shape[:2]) for batch in batches] == [(5, 6), (5, 6), (2, 6)]
    assert [label for batch in batches for label in batch.targets["label"].tolist()] == [0] * 4 + [1] * 4 + [2] * 4


def test_masks_are_put_together_with_clips_that_need_none(folder: Path) -> None:
    table = read_table(folder)
    preprocessing = PreprocessingConfig(
        num_frames=22, frame_stride=1, short_clips="mask", resize=24, crop_size=(16, 16)
    )
    batch = next(iter(make_loader(ClipDataset(table, preprocessing, mode="evaluate"), 4, workers=0)))
    assert batch.frame_mask is not None
    assert batch.frame_mask.sum(-1).flatten().tolist() == [20, 21, 22, 22]


# --- the order --------------------------------------------------------------------------------------------------------


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


def test_what_cannot_be_meant(plain_table: MakeTable, folder: Path, small: PreprocessingConfig) -> None:
    table = plain_table({"a": 3})
    with pytest.raises(ConfigError, match="batch_size=0"):
        EpochBatches(table, 0)
    with pytest.raises(ConfigError, match="rank=2"):
        EpochBatches(table, 1, rank=2, world_size=2)
    with pytest.raises(DataError, match="3 samples do not fill one batch of 4"):
        make_loader(ClipDataset(table, small), 4, drop_last=True)
    with pytest.raises(DataError, match="no samples"):
        make_loader(ClipDataset(table.select([]), small), 4)
    with pytest.raises(ConfigError, match="workers=0"):
        pickle.dumps(FrameCache(3, 0.001))


def test_waiting_is_measured(folder: Path, small: PreprocessingConfig) -> None:
    pairs = list(timed(make_loader(ClipDataset(read_table(folder), small), 6, workers=0)))
    assert [len(batch) for batch, _ in pairs] == [6, 6]
    assert all(seconds > 0 for _, seconds in pairs)


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


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGSTOP, "gave no batch in 1 seconds: they hang"), (signal.SIGKILL, "was ended")]
)
def test_a_worker_that_hangs_or_was_ended_is_an_error_that_says_so(
    folder: Path, small: PreprocessingConfig, number: signal.Signals, reason: str
) -> None:
    loader = make_loader(ClipDataset(read_table(folder), small), 1, workers=1, patience=1.0, pin_memory=False)
    batches = iter(loader)
    next(batches)
    (worker,) = loader._iterator._workers
    os.kill(worker.pid, number)
    with pytest.raises(WorkerError, match=reason) as raised:
        list(batches)
    assert "--resume" in str(raised.value)
    until = time.monotonic() + 10
    while worker.is_alive() and time.monotonic() < until:
        time.sleep(0.01)
    assert not worker.is_alive(), "a halted process would outlive the training"
