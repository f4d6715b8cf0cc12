"""What can be predicted: files, folders, patterns, and videos that are in memory already."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from tubelet.errors import DataError, VideoError
from tubelet.video import Clip, Decoder, VideoMetadata, open_video

Source: TypeAlias = str | os.PathLike[str] | Clip | Tensor | NDArray[Any]
"""A path, a `Clip`, or uint8 frames [T, 3, H, W]."""

VIDEO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".asf",
        ".avi",
        ".flv",
        ".gif",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
        ".y4m",
    ]
)
IMAGE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".webp"])


def find_videos(path: str | os.PathLike[str]) -> list[str] | None:
    """The videos of a folder (all levels) or of a pattern such as `clips/*.mp4`, by name; None if it is one video.

    A folder that holds images and no video is one video, of which they are the frames. A name that exists is that file,
    whatever characters it has.

    Raises:
        DataError: a folder or a pattern without videos.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        return _in_folder(Path(name))
    if os.path.exists(name) or not glob.has_magic(name):
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
    files = sorted(entry for entry in folder.rglob("*") if entry.is_file() and not entry.name.startswith("."))
    videos = [str(file) for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        return videos
    if any(file.suffix.lower() in IMAGE_SUFFIXES and file.parent == folder for file in files):
        return None
    kinds = ", ".join(sorted(VIDEO_SUFFIXES))
    raise DataError(
        f"{folder}: no video in this folder, at any level; files are taken for videos by their suffix: {kinds}"
    )


class ClipDecoder:
    """A clip that is in memory, behind the protocol of `tubelet.video.Decoder`."""

    def __init__(self, clip: Clip) -> None:
        if not len(clip):
            raise VideoError(clip.path, "has no frames")
        self.clip = clip
        self.timestamps = clip.timestamps

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
        )

    def frames_at(self, indices: Sequence[int]) -> Clip:
        """The frames with these numbers, in this order."""
        count = len(self.clip)
        wrong = [index for index in indices if not -count <= index < count]
        if wrong:
            raise VideoError(self.clip.path, f"there is no frame {wrong[0]}; there are {count}")
        places = list(indices)
        chosen = tuple(self.clip.indices[place] for place in places)
        return Clip(self.clip.frames[places], self.timestamps[places], chosen, self.clip.path)

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
        return open_video(os.fspath(source), threads=threads)
    return ClipDecoder(_clip_of(source))


def path_of(source: Source) -> str | None:
    """Where a source lies, if it says so."""
    if isinstance(source, Clip):
        return source.path
    return os.fspath(source) if isinstance(source, str | os.PathLike) else None


def _clip_of(pixels: object) -> Clip:
    frames = torch.from_numpy(pixels) if isinstance(pixels, numpy.ndarray) else pixels
    is_video = isinstance(frames, Tensor) and frames.dtype == torch.uint8 and frames.ndim == 4 and frames.shape[1] == 3
    if not isinstance(frames, Tensor) or not is_video:
        came = f"{frames.dtype} {list(frames.shape)}" if isinstance(frames, Tensor) else type(frames).__name__
        raise DataError(
            f"expected a path, a Clip, or frames uint8 [T, 3, H, W] (frames, channels, height, width), got {came}; "
            "an array [T, H, W, 3] becomes one with .transpose(0, 3, 1, 2)"
        )
    times = torch.arange(len(frames), dtype=torch.float64)
    return Clip(frames.cpu(), times, tuple(range(len(frames))), "frames in memory")
