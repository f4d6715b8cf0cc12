"""Colours that were encoded with known numbers come out as the colours that these numbers stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy
import pytest

from tubelet.video import read_video

COLOURS = numpy.array(
    [
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [255, 255, 255],
        [0, 0, 0],
        [200, 100, 50],
        [30, 160, 220],
        [128, 128, 128],
    ],
    dtype=numpy.float64,
)
# Name: (weights of red and blue in luma, the number that stands for the matrix in a stream: ITU-T H.273).
MATRICES = {
    "bt601": (0.299, 0.114, 6),
    "bt709": (0.2126, 0.0722, 1),
    "bt2020": (0.2627, 0.0593, 9),
    "unspecified, taken as bt601": (0.299, 0.114, 2),
}


def luma_chroma(matrix: str, full_range: bool, bits: int) -> numpy.ndarray[Any, Any]:
    """[colours, 3]: Y, Cb, Cr as ITU-R BT.601, BT.709 and BT.2020 define them."""
    red_weight, blue_weight, _ = MATRICES[matrix]
    red, green, blue = COLOURS.T / 255
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    blue_difference = (blue - luma) / (2 * (1 - blue_weight))
    red_difference = (red - luma) / (2 * (1 - red_weight))
    if full_range:
        top, middle = 2**bits - 1, 2 ** (bits - 1)
        values = numpy.stack([luma * top, blue_difference * top + middle, red_difference * top + middle], axis=1)
        return values.round().clip(0, top)
    limited = numpy.stack([16 + 219 * luma, 128 + 224 * blue_difference, 128 + 224 * red_difference], axis=1)
    return (limited * 2 ** (bits - 8)).round()


def encode_patches(path: Path, matrix: str, full_range: bool, bits: int, layout: str) -> None:
    patch = 32
    pixel_format = layout if bits == 8 else f"{layout}{bits}le"
    planes = luma_chroma(matrix, full_range, bits).T[:, None, :].repeat(patch, 1).repeat(patch, 2)
    if layout == "yuv420p":
        planes = [planes[0], planes[1][::2, ::2], planes[2][::2, ::2]]
    with av.open(str(path), "w") as container:
        codec = "libx265" if bits == 12 else "libx264"
        options = {"x265-params": "lossless=1:log-level=none"} if bits == 12 else {"crf": "0"}
        stream = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width, stream.pix_fmt = patch, patch * len(COLOURS), pixel_format
        stream.codec_context.colorspace = MATRICES[matrix][2]
        stream.codec_context.color_range = 2 if full_range else 1
        frame = av.VideoFrame(stream.width, stream.height, pixel_format)
        for plane, values in zip(frame.planes, planes, strict=True):
            rows = values.astype("<u2" if bits > 8 else "u1")
            plane.update(b"".join(row.tobytes().ljust(plane.line_size, b"\0") for row in rows))
        frame.colorspace, frame.color_range = MATRICES[matrix][2], 2 if full_range else 1
        for number in range(3):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("layout", ["yuv444p", "yuv420p"])
@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("full_range", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_matrix_and_range_of_the_stream_are_applied(
    matrix: str, full_range: bool, bits: int, layout: str, tmp_path: Path
) -> None:
    encode_patches(tmp_path / "patches.mkv", matrix, full_range, bits, layout)
    frames = read_video(tmp_path / "patches.mkv").frames
    middles = frames[0, :, 16, 16::32].T.numpy().astype(numpy.float64)
    # FFmpeg's fast conversion of 4:2:0 truncates; taking the wrong matrix or range is off by 10 and more.
    assert numpy.abs(middles - COLOURS).max() <= (4 if layout == "yuv420p" else 1)


@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format"),
    [
        ("mov", "qtrle", "argb"),
        ("mkv", "ffv1", "bgra"),
        ("mkv", "ffv1", "yuva420p"),
        ("mov", "prores_ks", "yuva444p10le"),
        ("mkv", "ffv1", "rgb48le"),
        ("mkv", "ffv1", "gbrp10le"),
        ("nut", "rawvideo", "nv12"),
        ("nut", "rawvideo", "yuyv422"),
        ("nut", "rawvideo", "rgb565le"),
    ],
)
@pytest.mark.parametrize("size", [(48, 64), (34, 22)])
def test_unusual_pixel_formats(
    suffix: str, codec: str, pixel_format: str, size: tuple[int, int], tmp_path: Path
) -> None:
    """Alpha, more bits, packed and planar ones; widths that no row is aligned to."""
    y, x = numpy.mgrid[: size[0], : size[1]]
    gradient = numpy.stack([x * 255 // size[1], y * 255 // size[0], numpy.full(size, 90)], axis=-1).astype(numpy.uint8)
    path = tmp_path / f"video.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = *size, pixel_format
        frame = av.VideoFrame.from_ndarray(gradient, "rgb24").reformat(format=pixel_format)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames = read_video(path).frames
    assert frames.shape == (1, 3, *size)
    assert (frames[0].permute(1, 2, 0).numpy().astype(int) - gradient).__abs__().mean() < 6


def test_grey_videos_become_three_equal_channels(tmp_path: Path) -> None:
    path = tmp_path / "grey.mkv"
    ramp = numpy.tile(numpy.arange(64, dtype=numpy.uint8) * 4, (48, 1))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "gray"
        frame = av.VideoFrame.from_ndarray(ramp, "gray")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames = read_video(path).frames[0].numpy()
    assert (frames[0] == frames[1]).all()
    assert (frames[1] == frames[2]).all()
    assert numpy.abs(frames[0].astype(int) - ramp).max() <= 1
