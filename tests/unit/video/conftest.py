"""Small videos, made where they are needed."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
import torch


def picture(number: int, height: int = 72, width: int = 96) -> numpy.ndarray[Any, Any]:
    """A picture that differs from all others: gradients that move, a white square that moves, and noise in a corner."""
    y, x = numpy.mgrid[:height, :width]
    pixels = numpy.stack([x * 2 + number * 5, y * 3 + number * 3, (x + y) * 2 - number * 7], axis=-1) % 256
    pixels = pixels.astype(numpy.uint8)
    pixels[number * 3 % height :, number * 2 % width :][:9, :9] = 255
    pixels[:10, :10] = numpy.random.default_rng(number).integers(0, 255, (10, 10, 3))
    return pixels


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Encode `picture(0)`, `picture(1)` … with any codec and container that PyAV has."""

    def make(
        name: str,
        codec: str = "libx264",
        *,
        frames: int = 60,
        options: dict[str, str] | None = None,
        muxing: dict[str, str] | None = None,
        times: Callable[[int], int] = int,
        time_base: Fraction = Fraction(1, 25),
        pixel_format: str = "yuv420p",
        size: tuple[int, int] = (72, 96),
        prepare: Callable[[Any], None] = lambda stream: None,
    ) -> Path:
        path = tmp_path / name
        with av.open(f"file:{path}", "w", options=muxing or {}) as container:
            stream = container.add_stream(codec, rate=25, options=options or {})
            stream.height, stream.width = size
            stream.pix_fmt = pixel_format
            stream.codec_context.time_base = time_base
            prepare(stream)
            for number in range(frames):
                frame = av.VideoFrame.from_ndarray(picture(number, *size), "rgb24").reformat(format=pixel_format)
                frame.pts, frame.time_base = times(number), time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


def sequentially(path: Path) -> tuple[list[int | None], torch.Tensor]:
    """What plain PyAV makes of a file from its first packet to its last: timestamps, uint8 [T, 3, H, W]."""
    with av.open(f"file:{path}") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        decoded = [(frame.pts, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
    pictures = torch.stack([torch.from_numpy(pixels) for _, pixels in decoded])
    return [pts for pts, _ in decoded], pictures.permute(0, 3, 1, 2)
