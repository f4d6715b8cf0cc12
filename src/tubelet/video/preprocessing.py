"""From decoded frames to the input of the model, the same in training, evaluation, prediction and streaming."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from tubelet.config import PreprocessingConfig
from tubelet.errors import ConfigError
from tubelet.video.clip import Clip
from tubelet.video.decode import window_indices
from tubelet.video.protocol import Decoder, VisitingDecoder, collect, until_settled
from tubelet.video.rate import sample_at_rate
from tubelet.video.resize import resize_frames
from tubelet.video.sampling import (
    clip_indices,
    clip_starts,
    uniform_indices,
    whole_length,
    window_starts,
)
from tubelet.video.views import Clips, WholeVideo, Windows


@dataclass(frozen=True, eq=False)
class Views:
    """The pixels of several views of one video: crops of clips.

    Attributes:
        video: float32 [V, T, C, h, w]; all crops of the first clip, then all crops of the second, and so on.
        frame_mask: bool [V, T], True where a frame is real; None if all are.
        indices: for each clip, the frames of the video that it holds.
        damaged: those frames that are known to be damaged; see `Clip.damaged`.
        resampled: whether these were chosen by their timestamps, as the video has another frame rate than the model.
    """

    video: Float[Tensor, "V T C h w"]
    frame_mask: Bool[Tensor, "V T"] | None
    indices: list[list[int]]
    damaged: tuple[int, ...] = ()
    resampled: bool = False


class Preprocessing:
    """Cuts out the region, resizes, crops and normalises as a `PreprocessingConfig` describes.

    Frames are resized as uint8: results are rounded to whole levels, where Scenic truncates them. A config with
    one mean and std is for a model of one channel: frames are made grey (luma, ITU-R BT.601).

    Args:
        config: of the model, stored with its weights.

    Raises:
        ConfigError: mean and std are for another number of channels than 1 or 3.
    """

    def __init__(self, config: PreprocessingConfig) -> None:
        if len(config.mean) not in (1, 3):
            raise ConfigError(
                f"mean {config.mean} has {len(config.mean)} channels; videos have 3 (RGB) or, made grey, 1"
            )
        self.config = config
        std, mean = numpy.array(config.std, numpy.float64), numpy.array(config.mean, numpy.float64)
        self._scale = (1 / (255 * std)).astype(numpy.float32).reshape(-1, 1, 1)
        self._shift = (-mean / std).astype(numpy.float32).reshape(-1, 1, 1)

    def __repr__(self) -> str:
        values = (f"{field.name}={getattr(self.config, field.name)!r}" for field in dataclasses.fields(self.config))
        return f"Preprocessing({', '.join(values)})"

    # --- space -----------------------------------------------------------------------------------------------------

    def region(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) in pixels of the part of a picture of this size that is used."""
        if self.config.region is None:
            return 0, 0, height, width
        top, left, bottom, right = self.config.region
        first, start = min(round(top * height), height - 1), min(round(left * width), width - 1)
        return first, start, max(round(bottom * height), first + 1), max(round(right * width), start + 1)

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) after `resize`: the short side as configured, or larger where the crop would not fit."""
        top, left, bottom, right = self.region(height, width)
        height, width = bottom - top, right - left
        crop_height, crop_width = self.config.crop_size
        short = self.config.resize
        size = (short, width * short // height) if height <= width else (height * short // width, short)
        if size[0] >= crop_height and size[1] >= crop_width:
            return size
        if crop_height * width >= crop_width * height:
            return crop_height, width * crop_height // height
        return height * crop_width // width, crop_width

    def resize(self, frames: UInt8[Tensor, "*T C H W"]) -> UInt8[Tensor, "*T C h w"]:
        """Cut out the `region` and resize it to `resized_size`, the aspect ratio kept."""
        size = self.resized_size(frames.shape[-2], frames.shape[-1])
        top, left, bottom, right = self.region(frames.shape[-2], frames.shape[-1])
        frames = frames[..., top:bottom, left:right]
        if size == tuple(frames.shape[-2:]):
            return frames
        return resize_frames(frames, size, interpolation=self.config.interpolation, antialias=self.config.antialias)

    def normalise(self, frames: UInt8[Tensor, "*T C H W"]) -> Float[Tensor, "*T c H W"]:
        """uint8 pixels to the input of the model: `(pixel / 255 - mean) / std`, float32."""
        frames = self._channels_of_model(frames)
        out = torch.empty(frames.shape, dtype=torch.float32, device=frames.device)
        self._normalise_into(frames, out)
        return out

    def denormalise(self, video: Float[Tensor, "*T C H W"]) -> UInt8[Tensor, "*T C H W"]:
        """The input of the model back to uint8 pixels; grey stays one channel."""
        shift, scale = (torch.from_numpy(part).to(video.device) for part in (self._shift, self._scale))
        return ((video.float() - shift) / scale).round_().clamp_(0, 255).to(torch.uint8)

    def crop_corners(self, height: int, width: int, crops: int) -> list[tuple[int, int]]:
        """(top, left) of each crop in a frame of this size, as Scenic's `deterministic_crop` has them.

        One crop is the centre. Several are spaced evenly along the longer side, from its start to its end: left,
        centre, right, or top, centre, bottom. A centre between two pixels is rounded up.
        """
        spare_height, spare_width = height - self.config.crop_size[0], width - self.config.crop_size[1]
        middle = -(-spare_height // 2), -(-spare_width // 2)
        if crops == 1:
            return [middle]
        if height > width:
            return [(-(-spare_height * crop // (crops - 1)), middle[1]) for crop in range(crops)]
        return [(middle[0], -(-spare_width * crop // (crops - 1))) for crop in range(crops)]

    def spatial(self, frames: UInt8[Tensor, "T 3 H W"], crops: int = 1) -> Float[Tensor, "S T C h w"]:
        """Resize, crop and normalise.

        Args:
            frames: as a decoder gives them.
            crops: S, 1 for the centre alone, 3 as in the paper's evaluation.
        """
        resized = self._channels_of_model(self.resize(frames))
        height, width = self.config.crop_size
        shape = (crops, len(frames), resized.shape[1], height, width)
        out = torch.empty(shape, dtype=torch.float32, device=frames.device)
        for crop, (top, left) in enumerate(self.crop_corners(resized.shape[-2], resized.shape[-1], crops)):
            self._normalise_into(resized[..., top : top + height, left : left + width], out[crop])
        return out

    # --- time ------------------------------------------------------------------------------------------------------

    def clips(self, total: int, clips: Clips = 1) -> tuple[list[list[int]], list[list[bool]]]:
        """The frames of each clip of an evaluation.

        Args:
            total: frames of the video, or of the part of it that is used.
            clips: how many clips, spread over the video (one is in the middle); `Windows`, or the `WholeVideo`.

        Returns:
            for each clip its indices in [0, total), and which of them are real. Clips have `num_frames` frames, but for
            that of the whole video.

        Raises:
            ConfigError: windows, or the whole video, with `uniform` sampling: its clips cover the whole video already.
        """
        config = self.config
        length = config.num_frames
        if config.sampling == "uniform":
            if not isinstance(clips, int):
                raise ConfigError(
                    "the model's sampling is uniform: each clip is spread over the whole video already; "
                    "use 1x1 views, or 4x1 for four clips between each other"
                )
            chosen = [uniform_indices(total, length, clip=clip, clips=clips) for clip in range(clips)]
            return chosen, [[True] * length for _ in chosen]
        if isinstance(clips, WholeVideo):
            length, starts = whole_length(total, config.frame_stride, clips.multiple), [0]
        elif isinstance(clips, Windows):
            starts = window_starts(total, length * config.frame_stride, clips.hop)
        else:
            starts = clip_starts(total, length * config.frame_stride, clips)
        pairs = [clip_indices(start, length, config.frame_stride, total, config.short_clips) for start in starts]
        return [indices for indices, _ in pairs], [real for _, real in pairs]

    def frames_inside(
        self, decoder: Decoder, start: int | float | None = None, end: int | float | None = None
    ) -> Sequence[int]:
        """The frames that clips are taken from: those of a part of a video, at the model's frame rate.

        Args:
            decoder: an open video.
            start: seconds from the start of the file.
            end: seconds.

        Returns:
            numbers of frames: a range, or a list where dense clips are sampled at another rate than the video's.

        Raises:
            VideoError: the video has no frame between `start` and `end`.
        """
        inside = window_indices(decoder, start, end)
        rate = self.config.sampling_rate
        if rate is None or self.config.sampling == "uniform" or not decoder.metadata.has_clock:
            return inside
        numbers, _ = sample_at_rate(decoder.timestamps[inside.start : inside.stop].tolist(), rate)
        return inside if numbers == list(range(len(inside))) else [inside[number] for number in numbers]

    def read(self, decoder: Decoder, choose: Sequence[int] | Callable[[Decoder], Sequence[int]]) -> Clip:
        """Decode frames and resize each as it comes: cheaper than both one after the other, same result.

        Args:
            decoder: an open video.
            choose: numbers of the frames wanted, in any order, repeats allowed; or a function that picks them, as in
                `read_frames`.

        Returns:
            a clip of frames as `resize` gives them.

        Raises:
            VideoError: as `Decoder.frames_at`.
        """
        if callable(choose):
            return until_settled(decoder, lambda: self.read(decoder, choose(decoder)))
        if isinstance(decoder, VisitingDecoder):
            return collect(decoder, choose, self.resize)
        clip = decoder.frames_at(choose)
        return dataclasses.replace(clip, frames=self.resize(clip.frames))

    def views(
        self,
        decoder: Decoder,
        clips: Clips = 1,
        crops: int = 1,
        start: int | float | None = None,
        end: int | float | None = None,
    ) -> Views:
        """All views of a video, every frame decoded and resized once.

        Args:
            decoder: an open video.
            clips: which; see `clips`.
            crops: of each clip, along the longer side.
            start: use only frames from here, seconds from the start of the file.
            end: use only frames before this, seconds.

        Raises:
            ConfigError: less than one clip or crop.
            VideoError: the video cannot be decoded, or has no frame between `start` and `end`.
        """
        if (isinstance(clips, int) and clips < 1) or crops < 1:
            raise ConfigError(f"{clips} clips x {crops} crops: at least one of each is needed")
        return until_settled(
            decoder, lambda: self._views(decoder, clips, crops, self.frames_inside(decoder, start, end))
        )

    # --- private ---------------------------------------------------------------------------------------------------

    def _views(self, decoder: Decoder, clips: Clips, crops: int, inside: Sequence[int]) -> Views:
        positions, real = self.clips(len(inside), clips)
        chosen = [[inside[position] for position in clip] for clip in positions]
        uses: dict[int, list[tuple[int, int]]] = {}
        for clip, numbers in enumerate(chosen):
            for time, number in enumerate(numbers):
                uses.setdefault(number, []).append((clip, time))
        height, width = self.config.crop_size
        video = torch.empty((len(chosen), crops, len(chosen[0]), len(self._scale), height, width))

        def write_frame(number: int, frame: Tensor) -> None:
            frame = self._channels_of_model(self.resize(frame))
            (clip, time), *others = uses[number]
            for crop, (top, left) in enumerate(self.crop_corners(frame.shape[-2], frame.shape[-1], crops)):
                self._normalise_into(frame[:, top : top + height, left : left + width], video[clip, crop, time])
            for other_clip, other_time in others:
                video[other_clip, :, other_time] = video[clip, :, time]

        damaged: tuple[int, ...] = ()
        if isinstance(decoder, VisitingDecoder):
            decoder.visit(sorted(uses), write_frame)
            damaged = tuple(number for number in sorted(uses) if number in decoder.damaged)
        else:
            read = decoder.frames_at(sorted(uses))
            for number, frame in zip(sorted(uses), read.frames, strict=True):
                write_frame(number, frame)
            named = zip(sorted(uses), read.indices, strict=True)
            damaged = tuple(number for number, name in named if name in read.damaged)
        frame_mask = None if all(map(all, real)) else torch.tensor(real).repeat_interleave(crops, dim=0)
        resampled = not isinstance(inside, range)
        return Views(video.flatten(0, 1), frame_mask, chosen, damaged, resampled)

    def _channels_of_model(self, frames: Tensor) -> Tensor:
        return luma(frames) if frames.shape[-3] == 3 and len(self._scale) == 1 else frames

    def _normalise_into(self, pixels: Tensor, out: Tensor) -> None:
        """One multiplication and one addition a pixel, written to `out`: on a CPU in the calling thread alone."""
        if pixels.device.type == "cpu":
            numpy.multiply(pixels.numpy(), self._scale, out=out.numpy())
            numpy.add(out.numpy(), self._shift, out=out.numpy())
        else:
            torch.mul(pixels, torch.from_numpy(self._scale).to(pixels.device), out=out)
            out.add_(torch.from_numpy(self._shift).to(pixels.device))


def luma(frames: Tensor) -> Tensor:
    """uint8 [..., 3, H, W] to uint8 [..., 1, H, W], rounded; a grey pixel keeps its value."""
    weights = torch.tensor([77, 150, 29], dtype=torch.int32, device=frames.device).view(3, 1, 1)
    return (((frames * weights).sum(-3, keepdim=True) + 128) >> 8).to(torch.uint8)
