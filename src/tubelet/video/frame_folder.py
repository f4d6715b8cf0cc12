"""A folder of images as a video."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.video.clip import VideoMetadata
from tubelet.video.colour import SAVE_AS_8_BIT, require_contrast
from tubelet.video.limits import LIMITS, Limits
from tubelet.video.protocol import BaseDecoder, checked_indices
from tubelet.video.suffixes import IMAGE_SUFFIXES

FRAME_RATE = 25.0
"""Frames per second of a folder, by default."""

_UNREADABLE = (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError, EOFError)


class FrameFolder(BaseDecoder):
    """Images in a folder, one a frame, in natural order: `frame_9.jpg` comes before `frame_10.jpg`.

    Nothing is held open. An image that is damaged is an error.

    Args:
        path: the folder. Folders in it and hidden files are skipped.
        frame_rate: frames per second, which the files do not have.
        threads: that read images; 0 takes all cores.
        limits: of the size of an image, and of those that are asked for at once.

    Raises:
        VideoError: there is no image in it, the first cannot be read, or its values leave too little of 8 bits.
    """

    def __init__(
        self, path: str | Path, *, frame_rate: int | float = FRAME_RATE, threads: int = 0, limits: Limits = LIMITS
    ) -> None:
        super().__init__(str(path), limits)
        if not 0 < frame_rate < math.inf:
            raise VideoError(self._path, f"frame_rate={frame_rate} must be above 0 and finite")
        if not Path(path).is_dir():
            raise VideoError(self._path, "is not a folder, which backend='frames' needs; use backend='pyav' for a file")
        images = image_names(path)
        if not images:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES))
            raise VideoError(self._path, f"no image in this folder; frames are files ending in {kinds}")
        _require_one_series(self._path, images)
        self._files = [Path(path) / name for name in sorted(images, key=natural_order)]
        self._threads = threads or os.cpu_count() or 1
        height, width = self._read(0).shape[:2]
        count = len(self._files)
        self._require_contrast(sorted({0, count // 2, count - 1}))
        self.timestamps = torch.arange(count, dtype=torch.float64) / frame_rate
        self.metadata = VideoMetadata(
            path=self._path,
            num_frames=count,
            duration=count / frame_rate,
            frame_rate=float(frame_rate),
            height=height,
            width=width,
            codec=self._files[0].suffix.lstrip(".").lower(),
            rotation=0,
            variable_frame_rate=False,
            backend="frames",
            has_clock=False,
        )

    def visit(self, indices: Sequence[int], visitor: Callable[[int, Tensor], None]) -> None:
        """See `VisitingDecoder`."""
        numbers = sorted(set(checked_indices(self._path, indices, len(self._files))))
        if self._threads == 1 or len(numbers) == 1:
            for number in numbers:
                visitor(number, torch.from_numpy(self._read(number)).permute(2, 0, 1))
            return
        with ThreadPoolExecutor(self._threads, thread_name_prefix="tubelet-images") as pool:
            for start in range(0, len(numbers), 2 * self._threads):
                few = numbers[start : start + 2 * self._threads]
                for number, picture in zip(few, pool.map(self._read, few), strict=True):
                    visitor(number, torch.from_numpy(picture).permute(2, 0, 1))

    def _read(self, index: int) -> NDArray[numpy.uint8]:
        """uint8 [H, W, 3], upright."""
        file = self._files[index]
        try:
            with self._opened(file) as image:
                picture = ImageOps.exif_transpose(image)
                if picture.mode.startswith("I"):
                    grey = self._values_of(picture, file.name).astype(numpy.float64) / 257
                    picture = Image.fromarray(grey.round().astype(numpy.uint8))
                pixels = numpy.array(picture.convert("RGB"))
        except _UNREADABLE as error:
            raise self._unreadable(file, error) from error
        if index and pixels.shape[:2] != (self.metadata.height, self.metadata.width):
            raise VideoError(
                self._path,
                f"{file.name} has {pixels.shape[0]}x{pixels.shape[1]} pixels, but {self._files[0].name} has "
                f"{self.metadata.height}x{self.metadata.width}; the frames of a video have one size",
            )
        return pixels

    @contextmanager
    def _opened(self, file: Path) -> Iterator[Image.Image]:
        """An image that can be a frame; the checks read no pixels."""
        with Image.open(file) as image:
            self._limits.check_frame(self._path, image.height, image.width, f"{file.name} has")
            count = getattr(image, "n_frames", 1)
            if count > 1 and image.format != "MPO":  # MPO: a photograph beside which a camera keeps smaller ones
                raise VideoError(
                    self._path,
                    f"{file.name} holds {count} pictures, but a frame is one; give a moving GIF, PNG or AVIF as a video"
                    " of its own, and save the pictures of others one by one",
                )
            if image.mode == "F":
                raise VideoError(
                    self._path,
                    f"the pixels of {file.name} are floating-point numbers, which do not say what is black and white; "
                    f"{SAVE_AS_8_BIT}",
                )
            yield image

    def _values_of(self, image: Image.Image, name: str) -> NDArray[numpy.int64]:
        """int64 [H, W]: grey levels of 16 bits."""
        values = numpy.asarray(image).astype(numpy.int64)
        if values.min() < 0 or values.max() > 65_535:
            raise VideoError(
                self._path,
                f"the pixels of {name} run from {values.min()} to {values.max()}, but grey levels of 16 bits from 0 to "
                f"65535; {SAVE_AS_8_BIT}",
            )
        return values

    def _require_contrast(self, numbers: list[int]) -> None:
        """Raise a VideoError if images of 16 bits use so few of their levels that hardly any are left in 8 bits."""
        lowest, highest = 65_535, 0
        for number in numbers:
            file = self._files[number]
            try:
                with self._opened(file) as image:
                    if not image.mode.startswith("I"):
                        return
                    values = self._values_of(image, file.name)
            except _UNREADABLE as error:
                raise self._unreadable(file, error) from error
            lowest, highest = min(lowest, int(values.min())), max(highest, int(values.max()))
        require_contrast(self._path, lowest, highest)

    def _unreadable(self, file: Path, error: Exception) -> VideoError:
        if isinstance(error, VideoError):
            return error
        return VideoError(self._path, f"{file.name} is not an image that can be read ({error}); remove or replace it")


def image_names(folder: str | Path) -> list[str]:
    """Names of the frames in a folder, sorted as text; hidden files and folders are none."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    return sorted(name for name in names if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES)


def _require_one_series(folder: str, names: Sequence[str]) -> None:
    """Raise a VideoError for images of several series (pictures and optical flow), or one frame in two formats."""
    series = Counter(re.sub(r"\d+", "#", os.path.splitext(name)[0].casefold()) for name in names)
    kinds = ", ".join(f"{name} ({number})" for name, number in series.most_common(5))
    if len(series) > 1 and any("#" in name for name in series):
        raise VideoError(
            folder,
            f"holds images of {len(series)} series: {kinds}; the frames of a video are one series, numbered in their "
            "order. Move the others into folders of their own",
        )
    stems = Counter(os.path.splitext(name)[0].casefold() for name in names)
    twice = next((stem for stem, number in stems.items() if number > 1), None)
    if twice is not None:
        raise VideoError(folder, f"holds the frame {twice!r} in several formats; keep one of them")


def natural_order(name: str) -> list[tuple[int, int | str]]:
    """A sort key that orders numbers in names by value."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]
