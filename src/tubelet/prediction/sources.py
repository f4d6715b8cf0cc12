"""Sources of predictions: files, folders, patterns, and videos in memory."""

from __future__ import annotations

import glob
import io
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from tubelet.data.class_folders import read_folder
from tubelet.data.shard_reader import is_shards, read_shards
from tubelet.errors import DataError, VideoError
from tubelet.prediction.result import IN_MEMORY
from tubelet.text import address_without_password
from tubelet.video import Clip, Decoder, open_video
from tubelet.video.in_memory import InMemoryDecoder
from tubelet.video.live import is_address
from tubelet.video.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES

Source: TypeAlias = str | os.PathLike[str] | Clip | Tensor | NDArray[Any]
"""A path, a `Clip`, or uint8 frames [T, 3, H, W]; a numpy array may be [T, H, W, 3]."""


def find_videos(path: str | os.PathLike[str]) -> list[str] | None:
    """The videos of a folder (all levels) or of a pattern such as `clips/*.mp4`, by name; None if it is one video.

    A folder is read as for training: one that holds images, and neither videos nor folders, is a video given as frames;
    what is hidden is left out; of shards (`tubelet data prepare`) the videos are those inside. A name that exists is
    that file, whatever characters it has.

    Raises:
        DataError: a folder or a pattern without videos.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        return _in_folder(Path(name))
    if is_address(name) or os.path.exists(name) or not glob.has_magic(name):
        return None
    found = sorted(glob.glob(name, recursive=True))
    if not found:
        raise DataError(f"nothing matches {name!r}; a pattern is * for any characters, ** for any folders")
    videos: list[str] = []
    for one in found:
        inside = _in_folder(Path(one)) if os.path.isdir(one) else None
        videos.extend([one] if inside is None else inside)
    return list(dict.fromkeys(videos))  # ** matches a folder and what is in it


def _in_folder(folder: Path) -> list[str] | None:
    if is_shards(folder):
        return [sample.path for sample in read_shards(folder).samples]
    if _is_frames(folder):
        return None
    try:
        records, _ = read_folder(folder, labelled=False)
    except DataError as error:
        kinds = ", ".join(sorted(VIDEO_SUFFIXES))
        raise DataError(
            f"{folder}: no video in this folder, at any level; files are taken for videos by their suffix: {kinds}; "
            "a folder that holds images alone is a video given as frames"
        ) from error
    return [record.path for record in records]


def _is_frames(folder: Path) -> bool:
    """Whether a folder holds images and neither videos nor folders, as when one is found below a data set's folder."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    suffixes = {entry.suffix.lower() for entry in entries if entry.is_file()}
    return bool(suffixes & IMAGE_SUFFIXES) and not suffixes & VIDEO_SUFFIXES and not any(map(Path.is_dir, entries))


def open_source(source: Source, *, threads: int = 0) -> Decoder:
    """A decoder for a path, or for a video in memory.

    Raises:
        VideoError: the file cannot be decoded.
        DataError: what was given is no video.
    """
    if isinstance(source, Clip):
        return InMemoryDecoder(source)
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        if is_address(name):
            raise VideoError(
                address_without_password(name),
                "is an address, and a prediction needs a video with an end: download it first; or watch it with "
                "tubelet.stream(model, address), on the command line with --timeline OUT",
            )
        if Path(name).suffix.lower() in IMAGE_SUFFIXES and os.path.isfile(name):
            raise VideoError(
                name, "is a single picture; expected a video, or a folder of pictures, which are its frames"
            )
        return open_video(name, threads=threads)
    return InMemoryDecoder(_clip_of(source), has_clock=False)


def path_of(source: Source) -> str | None:
    """The path of a source, without a password; None for frames without a path."""
    if isinstance(source, Clip):
        return source.path
    if not isinstance(source, str | os.PathLike):
        return None
    name = os.fspath(source)
    return address_without_password(name) if is_address(name) else name


def _clip_of(pixels: object) -> Clip:
    frames = _channels_first(pixels) if isinstance(pixels, numpy.ndarray) else pixels
    is_video = isinstance(frames, Tensor) and frames.dtype == torch.uint8 and frames.ndim == 4 and frames.shape[1] == 3
    if not isinstance(frames, Tensor) or not is_video:
        raise no_video(pixels)
    times = torch.arange(len(frames), dtype=torch.float64)
    return Clip(frames.cpu(), times, tuple(range(len(frames))), IN_MEMORY)


def no_video(thing: object) -> DataError:
    """The error that something is no video: what was expected, what came."""
    return DataError(
        "expected a path, a Clip, or frames uint8 [T, 3, H, W] (frames, channels, height, width; a numpy array may be "
        f"[T, H, W, 3]), got {_came(thing)}"
    )


def _channels_first(pixels: NDArray[Any]) -> Tensor | None:
    """[T, 3, H, W] of an array, also of one [T, H, W, 3], as decord, imageio, OpenCV and PyAV give it."""
    if pixels.dtype != numpy.uint8:
        return None
    if pixels.ndim == 4 and pixels.shape[1] != 3 and pixels.shape[-1] == 3:
        pixels = pixels.transpose(0, 3, 1, 2)
    plain = pixels.flags.writeable and all(step >= 0 for step in pixels.strides)  # as torch needs it to share memory
    return torch.from_numpy(pixels if plain else pixels.copy())


def _came(thing: object) -> str:
    """What was given instead of a video, and what to do with it."""
    if isinstance(thing, Tensor | numpy.ndarray):
        what = f"{type(thing).__name__} {thing.dtype} {list(thing.shape)}".replace("torch.", "")
        if len(thing.shape) == 3 and 3 in (thing.shape[0], thing.shape[2]):
            return f"{what}: one frame; a list of frames is one video when they are stacked (torch.stack, numpy.stack)"
        return what
    name = type(thing).__name__
    if isinstance(thing, bytes | bytearray | memoryview | io.IOBase):
        return f"{name}: a video file in memory is written to a file first"
    if isinstance(thing, int):
        return f"{name}: tubelet.stream(model, 0) takes the number of a camera"
    return name
