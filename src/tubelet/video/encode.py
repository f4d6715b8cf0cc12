"""Writing H.264 videos, whole or not at all."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream
from numpy.typing import NDArray
from torch import Tensor

from tubelet.errors import VideoError

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Suffixes that `write_video` takes, and the names of their containers in FFmpeg."""

REPRODUCIBLE = {"x264-params": "mbtree=0"}
"""x264's macroblock tree reads uninitialised memory: with it, small frames are not always encoded to the same bytes."""


def write_video(
    path: str | Path,
    frames: Tensor | NDArray[Any],
    frame_rate: int | float | Fraction = 25.0,
    *,
    crf: int = 18,
    gop: int = 32,
    preset: str = "medium",
    pixel_format: str = "yuv420p",
    threads: int = 1,
    overwrite: bool = False,
) -> Path:
    """Write frames as an H.264 video that every player and browser shows.

    Colours are stored as BT.601, limited range, and marked so. The file appears under its name only when it is
    complete.

    Args:
        path: ends in .mp4, .m4v, .mov or .mkv. Its folder must exist.
        frames: uint8, a tensor [T, C, H, W] or an array [T, H, W, C]; C is 3 (RGB) or 1 (grey).
        frame_rate: frames per second.
        crf: constant rate factor, 0 (lossless but for the colour conversion) to 51 (worst); 18 is visually lossless.
        gop: at most so many frames from one key frame to the next; fewer make random access faster and files larger.
        preset: of x264, `ultrafast` to `veryslow`.
        pixel_format: `yuv420p` halves the resolution of colour and needs an even height and width; `yuv444p` keeps it
            and takes any size, but many players do not show it.
        threads: of the encoder; 0 uses all cores. More than one may give another file for the same frames.
        overwrite: replace an existing file.

    Returns:
        the path.

    Raises:
        VideoError: the file exists, the folder does not, or the frames or their rate are not what is described above.
    """
    path = Path(path)
    pictures = _as_pictures(path, frames)
    if not 1e-3 <= frame_rate <= 1e6:
        raise VideoError(path, f"frame_rate={frame_rate} is not between 0.001 and 1,000,000 frames per second")
    height, width = pictures.shape[1:3]
    if path.suffix.lower() not in CONTAINERS:
        raise VideoError(
            path, f"cannot write {path.suffix or 'a name without suffix'}; use one of {', '.join(CONTAINERS)}"
        )
    if pixel_format == "yuv420p" and (height % 2 or width % 2):
        raise VideoError(
            path,
            f"yuv420p needs an even height and width, got {height}x{width}; crop or pad by one pixel, or pass "
            "pixel_format='yuv444p', which not every player shows",
        )
    if not path.parent.is_dir():
        raise VideoError(path, f"the folder {path.parent} does not exist; make it first")
    if path.exists() and not overwrite:
        raise VideoError(path, "exists already; pass overwrite=True to replace it")
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.unfinished{path.suffix}")
    options = {"crf": str(crf), "preset": preset}
    try:
        _encode(
            unfinished, pictures, Fraction(frame_rate).limit_denominator(1_000_000), gop, pixel_format, threads, options
        )
        os.replace(unfinished, path)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(path, f"could not be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _as_pictures(path: Path, frames: Tensor | NDArray[Any]) -> NDArray[Any]:
    """uint8 [T, H, W, 3], or a VideoError."""
    shape, kind = tuple(frames.shape), str(frames.dtype).removeprefix("torch.")
    is_tensor = isinstance(frames, Tensor)
    channel_axis = 1 if is_tensor else 3
    if kind != "uint8" or len(shape) != 4 or shape[channel_axis] not in (1, 3) or 0 in shape:
        layout = "a tensor [T, C, H, W]" if is_tensor else "an array [T, H, W, C]"
        raise VideoError(
            path, f"expected uint8, {layout}, C = 3 or 1, with at least one frame; got {kind} {list(shape)}"
        )
    pictures = frames.detach().cpu().permute(0, 2, 3, 1).numpy() if isinstance(frames, Tensor) else frames
    return numpy.broadcast_to(pictures, (*pictures.shape[:3], 3))


def _encode(
    path: Path,
    pictures: NDArray[Any],
    frame_rate: Fraction,
    gop: int,
    pixel_format: str,
    threads: int,
    options: dict[str, str],
) -> None:
    container_format = CONTAINERS[path.suffix.lower()]
    muxing = {"movflags": "+faststart"} if container_format in ("mp4", "mov") else {}
    with av.open(f"file:{path}", "w", format=container_format, options=muxing) as container:
        height, width = pictures.shape[1:3]
        stream = add_h264_stream(
            container,
            height=height,
            width=width,
            frame_rate=frame_rate,
            gop=gop,
            options=options,
            pixel_format=pixel_format,
            threads=threads,
        )
        for number, picture in enumerate(pictures):
            frame = yuv_frame(picture, pixel_format)
            frame.pts = number
            frame.time_base = 1 / frame_rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def add_h264_stream(
    container: OutputContainer,
    *,
    height: int,
    width: int,
    frame_rate: Fraction,
    gop: int,
    options: dict[str, str],
    pixel_format: str = "yuv420p",
    threads: int = 1,
) -> VideoStream:
    """A stream for frames of `yuv_frame`; `options` are those of x264."""
    stream = container.add_stream("libx264", rate=frame_rate, options={**options, **REPRODUCIBLE})
    stream.height, stream.width = height, width
    stream.pix_fmt = pixel_format
    context = stream.codec_context
    context.gop_size = gop
    context.thread_count = threads
    context.colorspace = Colorspace.SMPTE170M
    context.color_range = ColorRange.MPEG
    context.color_primaries = ColorPrimaries.SMPTE170M
    context.color_trc = ColorTrc.SMPTE170M
    return stream


def yuv_frame(picture: NDArray[Any], pixel_format: str) -> av.VideoFrame:
    """uint8 [H, W, 3] as a frame in BT.601, limited range."""
    return av.VideoFrame.from_ndarray(numpy.ascontiguousarray(picture), format="rgb24").reformat(
        format=pixel_format, dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG
    )
