"""A clip in memory, read like a video."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tubelet.errors import VideoError
from tubelet.video import Clip
from tubelet.video.in_memory import InMemoryDecoder, numbers_in_source
from tubelet.video.protocol import Decoder

FRAMES = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 8, 6)
"""Frame n is n everywhere."""


def clip(indices: tuple[int, ...] = (10, 12, 14, 16), path: str = "a.mp4", step: float = 0.5) -> Clip:
    times = torch.arange(4, dtype=torch.float64) * step + 3
    return Clip(FRAMES, times, indices, path, damaged=indices[2:3])


def test_a_whole_clip_is_read_by_position() -> None:
    decoder = InMemoryDecoder(clip())
    assert isinstance(decoder, Decoder)
    read = decoder.frames_at([2, 0, -1, 2])
    assert read.frames[:, 0, 0, 0].tolist() == [2, 0, 3, 2]
    assert read.timestamps.tolist() == [4.0, 3.0, 4.5, 4.0]
    assert (read.indices, read.damaged) == ((14, 10, 16, 14), (14,))
    assert numbers_in_source(decoder, [0, 3]) == (10, 16)
    metadata = decoder.metadata
    assert (metadata.num_frames, metadata.frame_rate, metadata.duration, metadata.start) == (4, 2.0, 2.0, 3.0)


def test_a_part_of_a_video_is_read_by_its_own_numbers() -> None:
    decoder = InMemoryDecoder(clip(), total=10, held=(1, 4, 7, 8))
    assert decoder.metadata.num_frames == len(decoder.timestamps) == 10
    read = decoder.frames_at([7, 1])
    assert read.frames[:, 0, 0, 0].tolist() == [2, 0]
    assert read.indices == numbers_in_source(decoder, [7, 1]) == (14, 10)
    assert not decoder.metadata.has_clock


@pytest.mark.parametrize("number", [4, -5])
def test_a_frame_that_is_not_there_is_an_error(number: int) -> None:
    with pytest.raises(VideoError, match=f"there is no frame {number}"):
        InMemoryDecoder(clip()).frames_at([number])


def test_only_times_that_ascend_and_are_of_a_file_are_a_clock(tmp_path: Path) -> None:
    assert InMemoryDecoder(clip()).metadata.has_clock
    assert not InMemoryDecoder(clip(), has_clock=False).metadata.has_clock
    assert not InMemoryDecoder(clip(step=0.0)).metadata.has_clock
    assert not InMemoryDecoder(clip(path=str(tmp_path))).metadata.has_clock  # a folder of images


def test_an_empty_clip_is_an_error() -> None:
    empty = Clip(FRAMES[:0], torch.zeros(0, dtype=torch.float64), (), "a.mp4")
    with pytest.raises(VideoError, match="has no frames"):
        InMemoryDecoder(empty)
