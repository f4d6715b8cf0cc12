"""Batches of clips: an order that the seed and the epoch settle, workers that decode, failures beside the clips."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from tubelet.config.data import check_workers
from tubelet.data.batch import Batch, collate
from tubelet.data.dataset import ClipDataset, Draw
from tubelet.data.draws import generator_of
from tubelet.data.table import Table
from tubelet.data.worker_watch import PATIENCE, watched
from tubelet.device import usable_cores
from tubelet.errors import ConfigError, DataError


class EpochBatches(Sampler[list[Draw]]):
    """The batches of one epoch, as a function of the seed and the epoch alone.

    Args:
        table: what is drawn from.
        batch_size: of all processes together.
        seed: of the run.
        shuffle: a new order each epoch; False keeps the table's.
        balanced: head whose classes come up equally often. An epoch has as many clips as before: of large classes some
            are left out, small ones come up again with other draws.
        drop_last: leave out a last batch that is not full.
        even_end: let no last batch be small. A single clip that is left goes into the batch before, which then has
            `batch_size` + 1; fewer than half a batch share the batch before evenly. A step by few clips is taken by
            chance, and a BatchNorm divides by how little two clips differ.
        rank: of this process.
        world_size: number of processes. They divide each batch of a single process between them, as evenly as it goes;
            a part may be empty, and all have the same number of batches.
        pairs: divide it so that a clip and the one at the same place of the reversed batch stay together, for
            `BatchMix`: then the parts are mixed as the whole would be.
    """

    def __init__(
        self,
        table: Table,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        balanced: str | None = None,
        drop_last: bool = False,
        even_end: bool = False,
        rank: int = 0,
        world_size: int = 1,
        pairs: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size} must be at least 1")
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank={rank} must be from 0 to below world_size={world_size}")
        if balanced is not None and balanced not in table.classes:
            raise ConfigError(f"balanced={balanced!r} is not a head of the data; heads: {', '.join(table.classes)}")
        self.batch_size, self.seed, self.shuffle, self.drop_last = batch_size, seed, shuffle, drop_last
        self.rank, self.world_size, self.pairs = rank, world_size, pairs
        self.epoch = self.start_batch = 0
        self._length = len(table)
        self._ends = list(itertools.accumulate(_sizes(len(table), batch_size, drop_last, even_end)))
        self._classes: list[list[int]] = []
        if balanced is not None:
            by_class: dict[int, list[int]] = {}
            for index, sample in enumerate(table.samples):
                by_class.setdefault(sample.labels[balanced], []).append(index)
            self._classes = [by_class[label] for label in sorted(by_class)]

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Which epoch comes next, and with which of its batches it begins (to go on where a run stopped)."""
        self.epoch, self.start_batch = epoch, start_batch

    @property
    def batches(self) -> int:
        """Batches of a whole epoch."""
        return len(self._ends)

    @property
    def largest(self) -> int:
        """Clips of the largest batch."""
        return max(after - first for first, after in itertools.pairwise([0, *self._ends]))

    def __len__(self) -> int:
        return max(0, self.batches - self.start_batch)

    def __iter__(self) -> Iterator[list[Draw]]:
        order = self._order()
        for first, after in itertools.pairwise([0, *self._ends][self.start_batch :]):
            yield self._own(order[first:after])

    def _own(self, batch: list[Draw]) -> list[Draw]:
        """What this process has of a batch."""
        if not self.pairs:
            return batch[self.rank :: self.world_size]
        last = len(batch) - 1
        return [draw for place, draw in enumerate(batch) if min(place, last - place) % self.world_size == self.rank]

    def _order(self) -> list[Draw]:
        """All draws of the epoch, of all processes."""
        indices = self._balanced() if self._classes else list(range(self._length))
        if self.shuffle:
            generator = generator_of(self.seed, self.epoch, "order")
            indices = [indices[place] for place in torch.randperm(len(indices), generator=generator).tolist()]
        seen: dict[int, int] = {}
        draws = []
        for index in indices:
            draws.append(Draw(index, self.epoch, seen.get(index, 0)))
            seen[index] = seen.get(index, 0) + 1
        return draws

    def _balanced(self) -> list[int]:
        """As many indices as samples, the same number of each class but for one."""
        generator = generator_of(self.seed, self.epoch, "balance")
        share, extra = divmod(self._length, len(self._classes))
        lucky = set(torch.randperm(len(self._classes), generator=generator)[:extra].tolist())
        indices: list[int] = []
        for number, members in enumerate(self._classes):
            wanted = share + (number in lucky)
            while wanted:
                order = torch.randperm(len(members), generator=generator)[:wanted].tolist()
                indices += [members[place] for place in order]
                wanted -= len(order)
        return indices


def _sizes(clips: int, batch_size: int, drop_last: bool, even_end: bool) -> list[int]:
    """Clips of each batch of an epoch."""
    full, rest = divmod(clips, batch_size)
    sizes = [batch_size] * full
    if not rest or drop_last:
        return sizes
    if not (even_end and full and (rest == 1 or 2 * rest < batch_size)):
        return [*sizes, rest]
    both = batch_size + rest
    return [*sizes[:-1], both] if rest == 1 else [*sizes[:-1], both - both // 2, both // 2]


class ClipLoader(DataLoader[Batch]):
    """A torch `DataLoader` whose epoch can be set. Made by `make_loader`.

    Iterating raises a WorkerError if a worker was ended from outside or does not answer in time.
    """

    batch_sampler: EpochBatches

    patience = PATIENCE

    def __iter__(self) -> Any:  # torch's type is that of its own iterator
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
        ConfigError: numbers that cannot be meant, or workers that cannot share the cache.
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
        collate_fn=partial(collate, heads=tuple(dataset.table.classes), video_shape=dataset.video_shape),
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


def class_weights(table: Table, head: str = "label", *, beta: float | None = None) -> Float[Tensor, "K"]:
    """A weight for each class in the loss, larger for rare ones, 1 on average over the samples.

    Args:
        table: whose samples count.
        head: of the table.
        beta: None weights a class of n samples by 1 / n, so that all classes weigh the same in sum. A number weights by
            the effective number of samples, `(1 - beta) / (1 - beta^n)` (Cui et al., CVPR 2019): classes of far more
            than 1 / (1 - beta) samples weigh more in sum than others, and 0 weights not at all.

    Returns:
        [K]; a class without samples weighs 0.

    Raises:
        ConfigError: beta below 0, or 1 and more.
    """
    if beta is not None and not 0 <= beta < 1:
        raise ConfigError(f"beta={beta} must be from 0 to below 1; None lets all classes weigh the same")
    counts = torch.tensor(table.counts(head), dtype=torch.float64)
    some = counts.clamp(min=1)
    effective = some if beta is None else (1 - beta**some) / (1 - beta)
    weights = torch.where(counts > 0, 1 / effective, 0.0)
    return (weights * counts.sum() / (weights * counts).sum()).float()
