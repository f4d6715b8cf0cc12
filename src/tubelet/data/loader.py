"""Loading batches of clips in worker processes."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader

from tubelet.config.data import check_workers
from tubelet.data.batch import Batch, collate
from tubelet.data.dataset import ClipDataset
from tubelet.data.sampler import EpochBatches
from tubelet.data.worker_watch import PATIENCE, watched
from tubelet.device import usable_cores
from tubelet.errors import ConfigError, DataError


class ClipLoader(DataLoader[Batch]):
    """A torch `DataLoader` whose epoch can be set. Made by `make_loader`.

    Iterating raises a WorkerError if a worker was ended from outside or does not answer in time.
    """

    batch_sampler: EpochBatches

    patience = PATIENCE

    def __iter__(self) -> Any:  # torch's type is that of its own iterator
        if self.num_workers and self._iterator is None:
            gc.collect()  # a worker that collects a decoder of this process waits for threads that it does not have
        with watched(getattr(self._iterator, "_workers", ()), self.patience):  # those of the epoch before answer
            batches = super().__iter__()
        while True:
            with watched(getattr(batches, "_workers", ()), self.patience):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """See `EpochBatches.set_epoch`; call it before each epoch."""
        self.batch_sampler.set_epoch(epoch, start_batch)


def make_loader(
    dataset: ClipDataset,
    batch_size: int,
    *,
    workers: int | None = None,
    shuffle: bool | None = None,
    drop_last: bool = False,
    even_end: bool = False,
    balanced: str | None = None,
    epoch: int = 0,
    start_batch: int = 0,
    rank: int = 0,
    world_size: int = 1,
    pairs: bool = False,
    pin_memory: bool | None = None,
    prefetch: int = 2,
    patience: float = PATIENCE,
) -> ClipLoader:
    """Batches of a data set. The same whatever the number of workers.

    Args:
        dataset: for training or evaluation; its seed settles the order as well.
        batch_size: of all processes together.
        workers: processes that decode, with one thread each; 0 decodes in this process; None is one for each core, at
            most 8.
        shuffle: None shuffles in training and not in evaluation.
        drop_last: see `EpochBatches`.
        even_end: see `EpochBatches`.
        balanced: see `EpochBatches`.
        epoch: the first one; `loader.set_epoch` sets the next ones.
        start_batch: of the first epoch, to go on where a run stopped.
        rank: of this process.
        world_size: number of processes.
        pairs: see `EpochBatches`.
        pin_memory: None does where CUDA is.
        prefetch: batches that each worker prepares ahead.
        patience: seconds that a worker may take for a batch until it counts as one that hangs.

    Raises:
        DataError: no samples, or none that would fill a batch.
        ConfigError: invalid numbers, or workers that cannot share the cache.
    """
    if not len(dataset):
        raise DataError("no samples to load")
    if workers is None:
        workers = min(8, usable_cores())
    check_workers(workers)
    batches = EpochBatches(
        dataset.table,
        batch_size,
        seed=dataset.seed,
        shuffle=dataset.mode == "train" if shuffle is None else shuffle,
        balanced=balanced,
        drop_last=drop_last,
        even_end=even_end,
        rank=rank,
        world_size=world_size,
        pairs=pairs,
    )
    if drop_last and not batches.batches:
        raise DataError(f"{len(dataset)} samples do not fill one batch of {batch_size}; use a smaller batch_size")
    batches.set_epoch(epoch, start_batch)
    context = None
    if workers and dataset.cache is not None:
        if "fork" not in multiprocessing.get_all_start_methods():
            raise ConfigError("a cache in memory needs workers=0 on this system: its processes cannot share memory so")
        context = multiprocessing.get_context("fork")
    loader = ClipLoader(
        dataset,  # type: ignore[arg-type]  # torch ties the type of an item to that of a batch
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=partial(
            collate,
            heads=tuple(dataset.table.classes),
            video_shape=dataset.video_shape,
            multi_label={head: dataset.table.heads[head] for head in dataset.table.multi_label},
        ),
        worker_init_fn=_start_worker,
        pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        persistent_workers=workers > 0,
        prefetch_factor=prefetch if workers else None,
        multiprocessing_context=context,
    )
    loader.patience = patience
    return loader


def _start_worker(number: int) -> None:
    torch.set_num_threads(1)


def timed(loader: ClipLoader) -> Iterator[tuple[Batch, float]]:
    """Each batch with the seconds that were spent waiting for it."""
    batches = iter(loader)
    while True:
        start = time.perf_counter()
        try:
            batch = next(batches)
        except StopIteration:
            return
        yield batch, time.perf_counter() - start
