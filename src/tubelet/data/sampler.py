"""Which clips the batches of an epoch hold: a function of the seed and the epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from tubelet.data.draws import generator_of
from tubelet.data.items import Draw
from tubelet.data.table import Table
from tubelet.errors import ConfigError


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
            `batch_size` + 1; fewer than half a batch share the batch before evenly. Few clips make a noisy step and
            noisy statistics of a BatchNorm.
        rank: of this process.
        world_size: number of processes. They divide each batch of a single process between them, as evenly as it goes;
            a part may be empty, and all have the same number of batches.
        pairs: divide it so that a clip and the one at the same place of the reversed batch stay together, for
            `MixupCutmix`: then the parts are mixed as the whole would be.
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
        if balanced in table.multi_label:
            raise ConfigError(
                f"balanced={balanced!r}: videos of a multi-label head are of several classes; class_weights='balanced' "
                "weighs its classes"
            )
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
        """The part of this process of a batch."""
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
        one_more = set(torch.randperm(len(self._classes), generator=generator)[:extra].tolist())
        indices: list[int] = []
        for number, members in enumerate(self._classes):
            wanted = share + (number in one_more)
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
