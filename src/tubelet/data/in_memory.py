"""A decoder of frames that a cache holds."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import torch
from jaxtyping import UInt8
from torch import Tensor

from tubelet.video import Clip, VideoMetadata


class InMemoryDecoder:
    """A `Decoder` of some frames of a video that are in memory. Frames are numbered from 0, at the model's frame rate.

    Args:
        path: of the video.
        frames: in memory.
        total: number of frames of the video, at the model's frame rate.
        held: the numbers of the frames in memory, ascending.
        numbers: of these in their file.
    """

    def __init__(
        self,
        path: str,
        frames: UInt8[Tensor, "N 3 H W"],
        total: int,
        held: Sequence[int],
        numbers: Sequence[int],
    ) -> None:
        height, width = frames.shape[-2:]
        self.metadata = VideoMetadata(
            path, total, float(total), 1.0, height, width, "", 0, False, "memory", has_clock=False
        )
        self.timestamps = torch.arange(total, dtype=torch.float64)
        self._frames, self._numbers = frames, numbers
        self._row = {number: row for row, number in enumerate(held)}

    def numbers_in_source(self, indices: Sequence[int]) -> tuple[int, ...]:
        """The numbers that frames have in the file that they come from."""
        return tuple(self._numbers[self._row[index]] for index in indices)

    def frames_at(self, indices: Sequence[int]) -> Clip:
        """See `Decoder`."""
        chosen = self._frames[[self._row[index] for index in indices]]
        return Clip(chosen, self.timestamps[list(indices)], tuple(indices), self.metadata.path)

    def close(self) -> None:
        """See `Decoder`."""

    def __enter__(self) -> InMemoryDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
