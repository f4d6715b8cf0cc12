"""What can be predicted: files, folders, patterns, and videos that are in memory already."""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from tubelet.data.class_folders import read_folder
from tubelet.data.shard_reader import is_shards, read_shards
from tubelet.errors import DataError, VideoError
from tubelet.text import address_without_password
from tubelet.video import Clip, Decoder, VideoMetadata, open_video
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
    return videos


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


class ClipDecoder:
    """A clip that is in memory, behind the protocol of `tubelet.video.Decoder`.

    Its frames are asked for by their places in the clip; `numbers_in_source` says which frames of the video these are.

    Args:
        clip: with at least one frame.
        has_clock: whether its timestamps are those of a video.
    """

    def __init__(self, clip: Clip, *, has_clock: bool = True) -> None:
        if not len(clip):
            raise VideoError(clip.path, "has no frames")
        self.clip = clip
        self.timestamps = clip.timestamps
        ascends = bool((clip.timestamps.diff() > 0).all())
        self._has_clock = has_clock and ascends and not os.path.isdir(clip.path)

    @property
    def metadata(self) -> VideoMetadata:
        count = len(self.clip)
        first, last = float(self.timestamps[0]), float(self.timestamps[-1])
        frame_rate = (count - 1) / (last - first) if last > first else 1.0
        return VideoMetadata(
            path=self.clip.path,
            num_frames=count,
            duration=count / frame_rate,
            frame_rate=frame_rate,
            height=self.clip.height,
            width=self.clip.width,
            codec="none",
            rotation=0,
            variable_frame_rate=False,
            backend="memory",
            start=first,
            has_clock=self._has_clock,
        )

    def frames_at(self, indices: Sequence[int]) -> Clip:
        """The frames with these numbers, in this order."""
        count = len(self.clip)
        wrong = [index for index in indices if not -count <= index < count]
        if wrong:
            raise VideoError(self.clip.path, f"there is no frame {wrong[0]}; there are {count}")
        places = list(indices)
        chosen = tuple(self.clip.indices[place] for place in places)
        damaged = tuple(number for number in chosen if number in self.clip.damaged)
        return Clip(self.clip.frames[places], self.timestamps[places], chosen, self.clip.path, damaged)

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> ClipDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_source(source: Source, *, threads: int = 0) -> Decoder:
    """A decoder for a path, or for a video in memory.

    Raises:
        VideoError: the file cannot be decoded.
        DataError: what was given is no video.
    """
    if isinstance(source, Clip):
        return ClipDecoder(source)
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
    return ClipDecoder(_clip_of(source), has_clock=False)


def path_of(source: Source) -> str | None:
    """Where a source lies, if it says so."""
    if isinstance(source, Clip):
        return source.path
    if not isinstance(source, str | os.PathLike):
        return None
    name = os.fspath(source)
    return address_without_password(name) if is_address(name) else name


def numbers_in_source(decoder: Decoder, places: Sequence[int]) -> tuple[int, ...]:
    """The numbers that frames have in the video they come from: a clip in memory may be a part of it."""
    return tuple(decoder.clip.indices[place] if isinstance(decoder, ClipDecoder) else place for place in places)


def _clip_of(pixels: object) -> Clip:
    frames = _channels_first(pixels) if isinstance(pixels, numpy.ndarray) else pixels
    is_video = isinstance(frames, Tensor) and frames.dtype == torch.uint8 and frames.ndim == 4 and frames.shape[1] == 3
    if not isinstance(frames, Tensor) or not is_video:
        raise no_video(pixels)
    times = torch.arange(len(frames), dtype=torch.float64)
    return Clip(frames.cpu(), times, tuple(range(len(frames))), "frames in memory")


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
    plain = pixels.flags.writeable and all(step >= 0 for step in pixels.strides)  # what torch can share
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
