"""Decoded frames kept in memory that the workers of a loader share."""

from __future__ import annotations

import mmap
import multiprocessing
from typing import NoReturn

import torch
from jaxtyping import UInt8
from torch import Tensor

from tubelet.errors import ConfigError

EMPTY, BEING_WRITTEN, READY, REFUSED = 0, 1, 2, 3
COLUMNS = 7
"""Of the index: state, offset, stored channels, frames, height, width, frames of the video."""


class FrameCache:
    """Frames by number of the sample, at most so many bytes of them. What no longer fits is not kept.

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

    def get(self, index: int) -> tuple[UInt8[Tensor, "T 3 H W"], int] | None:
        """The frames of a sample, and how many frames its video has (more than are kept, perhaps); None if not kept.

        The frames are the cache's own memory: they must not be changed.
        """
        state, offset, channels, frames, height, width, total = self._index[index].tolist()
        if state != READY:
            return None
        size = frames * height * width * channels
        stored = self._bytes[offset : offset + size].view(frames, height, width, channels).permute(0, 3, 1, 2)
        return stored.expand(-1, 3, -1, -1), total

    def has_room(self, index: int, size: int) -> bool:
        """Whether so many bytes of frames of this sample would be kept."""
        return int(self._index[index, 0]) == EMPTY and self.used + size <= self.capacity

    def refuse(self, index: int) -> None:
        """Never keep this sample: not all of its frames can be had."""
        self._index[index, 0] = REFUSED

    def put(self, index: int, frames: UInt8[Tensor, "T 3 H W"], total: int) -> bool:
        """Keep the frames of a sample if they fit and are not there yet; says whether they were kept."""
        grey = bool((frames[:, 0] == frames[:, 1]).all() and (frames[:, 0] == frames[:, 2]).all())
        kept = (frames[:, :1] if grey else frames).permute(0, 2, 3, 1)
        entry = self._index[index]
        with self._lock:
            if entry[0] != EMPTY:
                return False
            offset = self.used
            if offset + kept.numel() > self.capacity:
                return False
            self._used[0] += kept.numel()
            entry[0] = BEING_WRITTEN
        self._bytes[offset : offset + kept.numel()].view(kept.shape).copy_(kept)
        entry[1:] = torch.tensor([offset, kept.shape[3], *kept.shape[:3], total])
        entry[0] = READY
        return True

    def __reduce__(self) -> NoReturn:
        raise ConfigError(
            "a cache in memory can only be shared with workers that are forked, and this system starts them afresh; "
            "use workers=0, or cache='none'"
        )
