"""Decoded frames kept in memory that the workers of a loader share."""

from __future__ import annotations

import mmap
import multiprocessing
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from tubelet.errors import ConfigError

EMPTY, BEING_WRITTEN, READY, REFUSED = 0, 1, 2, 3
COLUMNS = 8
"""Of the index: state, offset, stored channels, frames, height, width, frames of the sample, the first one's number."""

RESAMPLED = -1
"""In the place of the first frame: the numbers of all of them lie behind the pixels, int64."""


class CachedFrames(NamedTuple):
    """What a cache holds of a sample.

    Attributes:
        frames: uint8 [T, 3, H, W]; the cache's own memory, which must not be changed.
        numbers: of the frames that the sample has, in its file; more than are kept, perhaps. A list where they were
            chosen by their timestamps, otherwise a range.
    """

    frames: Tensor
    numbers: Sequence[int]


class FrameCache:
    """Decoded frames by number of the sample, up to a bound in bytes. What no longer fits is not kept.

    The memory is shared with processes that are forked afterwards: what one worker keeps, all have. It is taken from
    the system as it fills. Frames whose three channels are equal are kept as one, which loses nothing.

    Args:
        entries: number of samples.
        gigabytes: bound of the frames, 10^9 bytes each.

    Raises:
        ConfigError: the system does not give that much memory.
    """

    def __init__(self, entries: int, gigabytes: float) -> None:
        self.capacity = int(gigabytes * 1e9)
        try:
            self._memory = mmap.mmap(-1, max(self.capacity, 1))
        except OSError as error:
            raise ConfigError(
                f"no memory for a cache of {gigabytes} GB ({error}); use a smaller cache_gigabytes"
            ) from error
        self._bytes = torch.frombuffer(self._memory, dtype=torch.uint8)
        self._index_memory = mmap.mmap(-1, 8 * (COLUMNS * entries + 1))
        numbers = torch.frombuffer(self._index_memory, dtype=torch.int64)
        self._index = numbers[1:].view(entries, COLUMNS)
        self._used = numbers[:1]
        methods = multiprocessing.get_all_start_methods()
        self._lock = multiprocessing.get_context("fork" if "fork" in methods else None).Lock()

    def __len__(self) -> int:
        """Samples kept."""
        return int((self._index[:, 0] == READY).sum())

    @property
    def used(self) -> int:
        """Bytes of frames kept."""
        return int(self._used)

    def get(self, index: int) -> CachedFrames | None:
        """The frames of a sample; None if they are not kept."""
        state, offset, channels, frames, height, width, total, first = self._index[index].tolist()
        if state != READY:
            return None
        end = offset + frames * height * width * channels
        stored = self._bytes[offset:end].view(frames, height, width, channels).permute(0, 3, 1, 2)
        numbers: Sequence[int] = range(first, first + total)
        if first == RESAMPLED:
            numbers = self._numbers_at(end, total).tolist()
        return CachedFrames(stored.expand(-1, 3, -1, -1), numbers)

    def has_room(self, index: int, size: int) -> bool:
        """Whether so many bytes of frames of this sample would be kept."""
        return int(self._index[index, 0]) == EMPTY and self.used + size <= self.capacity

    def refuse(self, index: int) -> None:
        """Never keep this sample: not all of its frames can be had."""
        self._index[index, 0] = REFUSED

    def put(self, index: int, frames: UInt8[Tensor, "T 3 H W"], numbers: Sequence[int]) -> bool:
        """Keep the frames of a sample if they fit and are not there yet; says whether they were kept.

        Args:
            index: of the sample.
            frames: of it.
            numbers: see `CachedFrames`.
        """
        grey = bool((frames[:, 0] == frames[:, 1]).all() and (frames[:, 0] == frames[:, 2]).all())
        kept = (frames[:, :1] if grey else frames).permute(0, 2, 3, 1)
        resampled = not isinstance(numbers, range)
        entry = self._index[index]
        with self._lock:
            if entry[0] != EMPTY:
                return False
            offset = self.used
            end = offset + kept.numel()
            after = _aligned(end) + 8 * len(numbers) if resampled else end
            if after > self.capacity:
                return False
            self._used[0] = after
            entry[0] = BEING_WRITTEN
        self._bytes[offset:end].view(kept.shape).copy_(kept)
        if resampled:
            self._numbers_at(end, len(numbers)).copy_(torch.tensor(numbers))
        first = RESAMPLED if resampled else next(iter(numbers), 0)
        entry[1:] = torch.tensor([offset, kept.shape[3], *kept.shape[:3], len(numbers), first])
        entry[0] = READY
        return True

    def _numbers_at(self, offset: int, count: int) -> Int[Tensor, "N"]:
        start = _aligned(offset)
        return self._bytes[start : start + 8 * count].view(torch.int64)

    def __reduce__(self) -> NoReturn:
        raise ConfigError(
            "a cache in memory can only be shared with workers that are forked, and this system starts them afresh; "
            "use workers=0, or cache='none'"
        )


def _aligned(offset: int) -> int:
    return -(-offset // 8) * 8
