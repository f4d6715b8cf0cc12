"""The views of a video that are explained, and where each of them lies in it."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.config import PreprocessingConfig
from tubelet.errors import ConfigError
from tubelet.prediction.sources import Source, open_source, path_of
from tubelet.video import Decoder, Preprocessing
from tubelet.video.in_memory import numbers_in_source

Box = tuple[float, float, float, float]
"""(top, left, height, width) in pixels of the video's upright frames."""


@dataclass(frozen=True, eq=False)
class SeenViews:
    """What the model is given of a video.

    Attributes:
        video: [V, T, C, h, w], preprocessed.
        frame_mask: [V, T], True where a frame is real; None if all are.
        frames: for each view, which frames of the video its T frames are.
        boxes: for each view, what it sees of a frame.
        timestamps: seconds of each frame of the video; empty for tensors.
        size: (height, width) of the video's upright frames.
        path: of the video; None for what is in memory.
        pixel_aspect: width over height of a pixel of these frames, as players show it.
    """

    video: Float[Tensor, "V T C h w"]
    frame_mask: Bool[Tensor, "V T"] | None
    frames: tuple[tuple[int, ...], ...]
    boxes: tuple[Box, ...]
    timestamps: tuple[float, ...]
    size: tuple[int, int]
    path: str | None = None
    pixel_aspect: float = 1.0


def views_of_tensor(video: Float[Tensor, "V T C H W"]) -> SeenViews:
    """Views that are preprocessed already; their frames are numbered from 0.

    Raises:
        ConfigError: the tensor has another number of axes.
    """
    if video.ndim != 5:
        raise ConfigError(
            f"expected a preprocessed video [1, T, C, H, W], got {list(video.shape)}; frames as a decoder gives them "
            "are uint8 [T, 3, H, W]"
        )
    height, width = video.shape[3], video.shape[4]
    frames = (tuple(range(video.shape[1])),) * len(video)
    return SeenViews(video, None, frames, ((0.0, 0.0, float(height), float(width)),) * len(video), (), (height, width))


def views_of_video(
    source: Source,
    config: PreprocessingConfig,
    clips: int,
    crops: int,
    start: float | None = None,
    end: float | None = None,
) -> SeenViews:
    """Decode and preprocess a video.

    Args:
        source: a file, a `Clip` or frames.
        config: the model's preprocessing.
        clips: how many, spread over the video.
        crops: of each, along the longer side.
        start, end: of the part of the video that is explained, seconds.

    Raises:
        VideoError: the video cannot be read.
    """
    with open_source(source) as decoder:
        return views_of_decoder(decoder, Preprocessing(config), clips, crops, path_of(source), start, end)


def views_of_decoder(
    decoder: Decoder,
    preprocessing: Preprocessing,
    clips: int,
    crops: int,
    path: str | None = None,
    start: float | None = None,
    end: float | None = None,
) -> SeenViews:
    """`views_of_video` of a video that is open."""
    views = preprocessing.views(decoder, clips, crops, start, end)
    metadata = decoder.metadata
    height, width = metadata.height, metadata.width
    resized = preprocessing.resized_size(height, width)
    above, before, below, after = preprocessing.region(height, width)
    scale = (below - above) / resized[0], (after - before) / resized[1]
    corners = preprocessing.crop_corners(*resized, crops)
    crop = preprocessing.config.crop_size
    boxes = [
        (above + top * scale[0], before + left * scale[1], crop[0] * scale[0], crop[1] * scale[1])
        for top, left in corners
    ] * len(views.indices)
    frames = [tuple(numbers_in_source(decoder, clip)) for clip in views.indices for _ in corners]
    timestamps = tuple(decoder.timestamps.tolist())
    return SeenViews(
        views.video,
        views.frame_mask,
        tuple(frames),
        tuple(boxes),
        timestamps,
        (height, width),
        path,
        metadata.pixel_aspect,
    )
