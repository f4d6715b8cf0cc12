"""Batches."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import av
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
    make_loader,
    read_table,
    timed,
)
from tubelet.data.items import Draw, Item
from tubelet.data.worker_watch import watched
from tubelet.errors import ConfigError, DataError, WorkerError

MakeTable = Callable[..., Table]


def same(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.video, other.video)
        and torch.equal(one.indices, other.indices)
        and one.failures == other.failures
        and all(torch.equal(one.targets[head], other.targets[head]) for head in one.targets)
    )


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


class EndsItself(ClipDataset):
    """Sends its worker a signal instead of the fourth clip, when the loader waits for that one."""

    number = signal.SIGKILL

    def __getitem__(self, wanted: int | Draw) -> Item | Failure:
        assert isinstance(wanted, Draw)
        if wanted.index == 3:
            time.sleep(0.5)
            os.kill(os.getpid(), self.number)
        return super().__getitem__(wanted)


@pytest.mark.parametrize(
    ("number", "patience", "reason"),
    [(signal.SIGSTOP, 1.0, "gave no batch in 1 seconds: they hang"), (signal.SIGKILL, 60.0, "was ended")],
)
def test_a_worker_that_hangs_or_was_ended_is_an_error_that_says_so(
    folder: Path, small: PreprocessingConfig, number: signal.Signals, patience: float, reason: str
) -> None:
    dataset = EndsItself(read_table(folder), small, mode="evaluate")
    dataset.number = number
    loader = make_loader(dataset, 1, workers=1, patience=patience, pin_memory=False)
    with pytest.raises(WorkerError, match=reason) as raised:
        list(loader)
    assert "--resume" in str(raised.value)
    (worker,) = loader._iterator._workers
    worker.join(10)
    assert not worker.is_alive(), "a halted process would outlive the training"


class Collects(ClipDataset):
    """Collects garbage before each clip, as Python does now and then."""

    def __getitem__(self, wanted: int | Draw) -> Item | Failure:
        gc.collect()
        return super().__getitem__(wanted)


def test_a_decoder_that_is_garbage_does_not_hang_the_workers(folder: Path, small: PreprocessingConfig) -> None:
    """FFmpeg ends its decoder's threads when it is closed; a forked process has none, and would wait for them."""
    table = read_table(folder)
    container = av.open(str(table.samples[0].path))
    container.streams.video[0].codec_context.thread_type = "AUTO"
    container.streams.video[0].codec_context.thread_count = 4
    next(container.decode(video=0))
    cycle = [container]
    cycle.append(cycle)  # type: ignore[arg-type]
    del container, cycle
    loader = make_loader(Collects(table, small, mode="evaluate"), 4, workers=1, patience=20.0, pin_memory=False)
    assert [batch.indices.tolist() for batch in loader] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_a_batch_that_fails_a_little_before_its_worker_ends(seconds: float) -> None:
    ends = time.monotonic() + seconds
    worker = SimpleNamespace(is_alive=lambda: time.monotonic() < ends)
    with pytest.raises(WorkerError, match="was ended from outside"), watched([worker], 60.0):
        raise ConnectionResetError
    with pytest.raises(DataError, match="of its own"), watched([SimpleNamespace(is_alive=lambda: True)], 60.0):
        raise DataError("of its own")


def test_what_torch_says_of_the_end_of_a_worker_is_not_raised_later() -> None:
    def is_alive() -> bool:
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")

    with (
        pytest.raises(WorkerError, match="was ended from outside"),
        watched([SimpleNamespace(is_alive=is_alive)], 60.0),
    ):
        raise EOFError
