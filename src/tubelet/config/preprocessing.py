"""Preprocessing of videos, stored with the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tubelet.config.serialise import check_types
from tubelet.errors import ConfigError

LARGEST_SIZE = 1_000_000
"""Of every number of frames and pixels."""

LARGEST_CLIP = 1_000_000_000
"""Frames times height times width: a gigabyte for each channel."""

LARGEST_VALUE = 1e6
"""Of mean and std, in units of the range of pixels; the smallest std is its inverse."""


@dataclass(frozen=True, kw_only=True)
class PreprocessingConfig:
    """From the video file to the input tensor, the same in training, evaluation, prediction and export.

    The defaults are the paper's for Kinetics (Appendix, Table 7): 32 frames at stride 2, short side 256, crop 224,
    pixels in [-1, 1].

    Attributes:
        num_frames: frames of one clip.
        frame_stride: distance of the frames in the video (`dense` sampling alone).
        sampling: `dense`, a run of frames `frame_stride` apart; or `uniform`, `num_frames` spread over the whole video.
        short_clips: what is done where the video ends before the clip: `loop`, start over from the video's first frame
            (Scenic); or `mask`, repeat the last frame and mask the repeats.
        region: the part of the picture that is used: (top, left, bottom, right) as shares of its height and width, each
            side rounded to a pixel. It is cut out before `resize`, so that what is small and always in the same place
            gets the pixels. None is the whole picture.
        resize: short side in pixels after resizing, before the crop.
        crop_size: (height, width) of what the model sees, in pixels.
        interpolation: `bilinear` or `bicubic`.
        antialias: low-pass filter when shrinking. Scenic's weights were trained without.
        mean: per channel, subtracted from pixels that were scaled to [0, 1].
        std: per channel, divided by after that. Mean and std of 0.5 give [-1, 1].
        median_frames: how many frames the training videos have, their median (`uniform` sampling alone; None where that
            is not known). No clip depends on it: a stream takes one of so many frames that its windows last as long.
        frames_per_second: frame rate of the training videos, their median; None where that is not known. Dense clips
            and streams of a video with another rate, or a variable one, take the frames nearest to times
            1 / `frames_per_second` apart.
        resample: whether they do; False samples every video by the numbers of its frames.
    """

    num_frames: int = 32
    frame_stride: int = 2
    sampling: Literal["dense", "uniform"] = "dense"
    short_clips: Literal["loop", "mask"] = "loop"
    region: tuple[float, float, float, float] | None = None
    resize: int = 256
    crop_size: tuple[int, int] = (224, 224)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    antialias: bool = True
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    median_frames: int | None = None
    frames_per_second: float | None = None
    resample: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.crop_size, int):
            object.__setattr__(self, "crop_size", (self.crop_size, self.crop_size))
        check_types(self)
        for name in ("num_frames", "frame_stride", "resize", "crop_size", "median_frames"):
            given = getattr(self, name)
            sizes = given if isinstance(given, tuple) else () if given is None else (given,)
            if any(size < 1 for size in sizes):
                raise ConfigError(f"preprocessing.{name}={given} must be at least 1")
            if any(size > LARGEST_SIZE for size in sizes):
                raise ConfigError(f"preprocessing.{name}={given} must be at most {LARGEST_SIZE:,}")
        pixels = self.num_frames * self.crop_size[0] * self.crop_size[1]
        if pixels > LARGEST_CLIP:
            raise ConfigError(
                f"preprocessing: num_frames={self.num_frames} and crop_size={self.crop_size} make a clip of {pixels:,} "
                f"pixels; at most {LARGEST_CLIP:,} are possible"
            )
        if self.region is not None:
            object.__setattr__(self, "region", tuple(self.region))
            top, left, bottom, right = self.region
            if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
                raise ConfigError(
                    f"preprocessing.region={self.region}: expected (top, left, bottom, right) as shares of the "
                    "picture, from 0 to 1, top above bottom and left before right"
                )
        if self.frames_per_second is not None and not 0 < self.frames_per_second < math.inf:
            raise ConfigError(f"preprocessing.frames_per_second={self.frames_per_second} must be above 0, or left out")
        if self.sampling == "uniform" and self.frame_stride != 1:
            raise ConfigError(
                f"frame_stride={self.frame_stride} means nothing with sampling='uniform', which spreads the frames "
                "over the whole video; use frame_stride=1"
            )
        if self.resize < max(self.crop_size) and self.crop_size[0] == self.crop_size[1]:
            raise ConfigError(
                f"resize={self.resize} leaves a short side smaller than the crop of {self.crop_size[0]}; "
                f"use resize={self.crop_size[0]} or more"
            )
        in_range = all(abs(value) <= LARGEST_VALUE for value in self.mean)  # which no NaN is
        if not in_range or not all(1 / LARGEST_VALUE <= value <= LARGEST_VALUE for value in self.std):
            raise ConfigError(
                f"mean {self.mean} and std {self.std} are of pixels from 0 to 1: expected numbers, std above 0"
            )
        if len(self.mean) != len(self.std):
            raise ConfigError(f"mean {self.mean} and std {self.std} need one value per channel each")

    @property
    def sampling_rate(self) -> float | None:
        """Frames per second at which dense clips and streams sample; None if they go by the numbers of frames."""
        return self.frames_per_second if self.resample else None

    @property
    def span(self) -> int:
        """Frames of the video that one dense clip reaches over."""
        return (self.num_frames - 1) * self.frame_stride + 1
