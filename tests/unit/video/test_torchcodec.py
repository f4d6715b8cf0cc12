"""The second backend. Most of this needs torchcodec and FFmpeg's libraries, and skips where they are missing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tubelet.errors import VideoError
from tubelet.video import open_video, read_video


@pytest.fixture
def working() -> None:
    """Skip unless torchcodec can decode here."""
    decoders = pytest.importorskip("torchcodec.decoders", exc_type=(ImportError, RuntimeError, OSError))
    try:
        decoders.VideoDecoder(b"not a video")
    except (RuntimeError, ValueError) as error:
        if "libtorchcodec" in str(error):
            pytest.skip("torchcodec is installed, but finds no FFmpeg libraries")


def test_it_says_what_is_missing(make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    with pytest.raises(VideoError, match=r"pip install 'tubelet\[torchcodec\]'"):
        open_video(make_video("a.mp4", frames=2), backend="torchcodec")


@pytest.mark.usefixtures("working")
def test_frames_and_times_are_those_of_pyav(make_video: Callable[..., Path]) -> None:
    path = make_video("a.mp4", options={"x264-params": "keyint=12:bframes=3"}, times=lambda number: number + 10)
    ours = read_video(path)
    with open_video(path, backend="torchcodec") as decoder:
        clip = decoder.frames_at([50, 3, 3, -1])
        assert decoder.metadata.backend == "torchcodec"
        assert decoder.metadata.num_frames == 60
        assert torch.equal(decoder.timestamps, ours.timestamps)
    assert clip.indices == (50, 3, 3, 59)
    assert torch.equal(clip.timestamps, ours.timestamps[[50, 3, 3, 59]])
    assert (clip.frames.int() - ours.frames[[50, 3, 3, 59]].int()).abs().float().mean() < 2


@pytest.mark.usefixtures("working")
def test_errors_are_of_one_kind(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(VideoError):
        read_video(tmp_path / "noise.mp4", backend="torchcodec")
    with pytest.raises(VideoError, match="no frame 5"):
        read_video(make_video("a.mp4", frames=5), [5], backend="torchcodec")
