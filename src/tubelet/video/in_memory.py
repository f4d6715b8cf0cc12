"""Frames in memory behind the protocol of a decoder."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from tubelet.errors import VideoError
from tubelet.video.clip import Clip, VideoMetadata
from tubelet.video.protocol import Closing, Decoder, checked_indices


class InMemoryDecoder(Closing):
    """A `Decoder` of a clip: its frames are numbered from 0, whatever `Clip.indices` they have in their file.

    Args:
        clip: at least one frame.
        total: number of frames, where the clip holds only some of them; timestamps then count frames.
        held: the numbers of those that the clip holds.
        has_clock: whether the clip's timestamps are those of a video.

    Raises:
        VideoError: the clip is empty.
    """

    def __init__(
        self, clip: Clip, *, total: int | None = None, held: Sequence[int] = (), has_clock: bool = True
    ) -> None:
        if not len(clip):
            raise VideoError(clip.path, "has no frames")
        self.clip = clip
        self._row = None if total is None else {number: row for row, number in enumerate(held)}
        self.timestamps = clip.timestamps if total is None else torch.arange(total, dtype=torch.float64)
        count = len(self.timestamps)
        first, last = self.timestamps[0].item(), self.timestamps[-1].item()
        frame_rate = (count - 1) / (last - first) if last > first else 1.0
        ascends = bool((self.timestamps.diff() > 0).all())
        self.metadata = VideoMetadata(
            path=clip.path,
            num_frames=count,
            duration=count / frame_rate,
            frame_rate=frame_rate,
            height=clip.height,
            width=clip.width,
            codec="none",
            rotation=0,
            variable_frame_rate=False,
            backend="memory",
            start=first,
            has_clock=has_clock and total is None and ascends and not os.path.isdir(clip.path),
        )

    def frames_at(self, indices: Sequence[int]) -> Clip:
        """See `Decoder`; `Clip.indices` are those of the clip in memory."""
        clip = self.clip
        numbers = checked_indices(clip.path, indices, len(self.timestamps))
        rows, chosen = self._rows(numbers), self.numbers_in_source(numbers)
        damaged = tuple(number for number in dict.fromkeys(chosen) if number in clip.damaged)
        return Clip(clip.frames[rows], self.timestamps[numbers], chosen, clip.path, damaged)

    def numbers_in_source(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """The numbers that frames have in the file that they come from."""
        return tuple(self.clip.indices[row] for row in self._rows(numbers))

    def _rows(self, numbers: Sequence[int]) -> Sequence[int]:
        return numbers if self._row is None else [self._row[number] for number in numbers]


def numbers_in_source(decoder: Decoder, numbers: Sequence[int]) -> tuple[int, ...]:
    """The numbers that frames of a decoder have in their file: those of a clip in memory may be others."""
    return decoder.numbers_in_source(numbers) if isinstance(decoder, InMemoryDecoder) else tuple(numbers)
