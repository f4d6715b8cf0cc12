from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
import torch

from tubelet.errors import VideoError
from tubelet.video import open_video, read_video, write_video


def moving_square(frames: int = 30, height: int = 64, width: int = 96) -> torch.Tensor:
    """uint8 [T, 3, H, W]: a red square that moves to the right over blue."""
    video = torch.zeros(frames, 3, height, width, dtype=torch.uint8)
    video[:, 2] = 160
    for number in range(frames):
        video[number, :, 16:48, number : number + 32] = torch.tensor([220, 30, 30], dtype=torch.uint8)[:, None, None]
    return video


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    video = moving_square()
    path = write_video(tmp_path / "square.mp4", video, frame_rate=12.5)
    clip = read_video(path)
    difference = (clip.frames.int() - video.int()).abs().float()
    assert difference.mean() < 2
    # The flat parts, away from edges, where no colour resolution is lost.
    assert difference[:, :, 20:44, -8:].max() <= 3
    assert clip.timestamps.tolist() == pytest.approx([number / 12.5 for number in range(30)])
    with open_video(path) as decoder:
        assert decoder.metadata.frame_rate == 12.5
        assert decoder.metadata.duration == pytest.approx(2.4)


def test_arrays_and_grey_frames_are_taken(tmp_path: Path) -> None:
    video = moving_square(4)
    as_tensor = read_video(write_video(tmp_path / "tensor.mp4", video))
    as_array = read_video(write_video(tmp_path / "array.mp4", video.permute(0, 2, 3, 1).numpy()))
    assert torch.equal(as_tensor.frames, as_array.frames)
    grey = read_video(write_video(tmp_path / "grey.mp4", video[:, :1], crf=1)).frames
    assert (grey.int() - video[:, :1].int()).abs().max() <= 6


def test_the_same_frames_give_the_same_file(tmp_path: Path) -> None:
    video = moving_square(10)
    first = write_video(tmp_path / "a.mp4", video).read_bytes()
    chance = random.Random(0)
    for _ in range(20):  # whatever lies in the memory that the encoder gets
        rubbish = [bytearray([chance.choice([0, 65, 127, 255])] * chance.randrange(100, 150_000)) for _ in range(400)]
        chance.shuffle(rubbish)
        del rubbish[200:]
        assert write_video(tmp_path / "b.mp4", video, overwrite=True).read_bytes() == first


def test_key_frames_come_as_often_as_asked(tmp_path: Path) -> None:
    path = write_video(tmp_path / "keys.mp4", moving_square(30), gop=5)
    with av.open(str(path)) as container:
        keys = [number for number, packet in enumerate(container.demux(video=0)) if packet.size and packet.is_keyframe]
    assert len(keys) >= 6


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("mine")
    with pytest.raises(VideoError, match="overwrite=True"):
        write_video(path, moving_square(3))
    assert path.read_text() == "mine"
    write_video(path, moving_square(3), overwrite=True)
    assert len(read_video(path)) == 3


def test_a_failed_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, moving_square(3))
    before = path.read_bytes()
    with pytest.raises(VideoError, match="could not be written"):
        write_video(path, moving_square(3), preset="no such preset", overwrite=True)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]


def test_odd_sizes_need_a_decision(tmp_path: Path) -> None:
    video = moving_square(3, height=63, width=95)
    with pytest.raises(VideoError, match="even height and width, got 63x95"):
        write_video(tmp_path / "odd.mp4", video)
    clip = read_video(write_video(tmp_path / "odd.mp4", video, pixel_format="yuv444p", crf=1))
    assert clip.frames.shape == (3, 3, 63, 95)
    assert (clip.frames.int() - video.int()).abs().max() <= 6


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (torch.zeros(3, 3, 16, 16), "got float32"),
        (torch.zeros(3, 16, 16, 3, dtype=torch.uint8), "T, C, H, W"),
        (numpy.zeros((3, 3, 16, 16), numpy.uint8), "T, H, W, C"),
        (torch.zeros(0, 3, 16, 16, dtype=torch.uint8), "at least one frame"),
        (torch.zeros(3, 16, 16, dtype=torch.uint8), r"got uint8 \[3, 16, 16\]"),
    ],
)
def test_other_frames_are_refused(tmp_path: Path, frames: Any, words: str) -> None:
    with pytest.raises(VideoError, match=words):
        write_video(tmp_path / "clip.mp4", frames)


def test_unknown_suffixes_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"cannot write \.gif"):
        write_video(tmp_path / "clip.gif", moving_square(3))
    with pytest.raises(VideoError, match="does not exist"):
        write_video(tmp_path / "nowhere" / "clip.mp4", moving_square(3))


@pytest.mark.parametrize("frame_rate", [0, -1, float("nan"), float("inf"), 1e-9, 1e12])
def test_frame_rates_that_no_video_has_are_refused(tmp_path: Path, frame_rate: float) -> None:
    with pytest.raises(VideoError, match="is not between"):
        write_video(tmp_path / "clip.mp4", moving_square(3), frame_rate)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".m4v"])
def test_every_container_is_readable(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"clip{suffix}", moving_square(7))
    assert len(read_video(path)) == 7
