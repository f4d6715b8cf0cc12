"""Encoding each tubelet once where several clips of a video hold it: factorised encoders alone.

The spatial encoder of model 2 sees one time of the token grid at a time, and its positions say nothing of that time. So
what it makes of a tubelet does not depend on where in a clip the tubelet stands, and clips that hold the same tubelet
can share the vector:

    clip 1   [a b c d]                   spatial encoder, once each:  a b c d e f
    clip 2       [c d e f]        ->     temporal encoder:            [a b c d]  [c d e f]

All other models mix times from their first block on.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.config import ModelConfig, uniform_frame_indices
from tubelet.exported import ExportedViViT
from tubelet.model import ViViT
from tubelet.nn.embedding import hold_masked_frames

STEM_BEFORE, STEM_AFTER = 3, 2
"""Frames before and after a tubelet that its token depends on with a `conv_stem`: two either way by its 3x3x3
convolutions, and one more before it by the difference of each frame from the one before."""


class Tubelet(NamedTuple):
    """What one time of the token grid of a clip is computed from.

    Attributes:
        frames: those of the tubelet; with a convolutional stem also those of its neighbours, as far as the clip goes.
            Numbers, either of the clip (`tubelets_of_clip`) or of the video.
        place: of the tubelet itself among the tubelets that `frames` make.
    """

    frames: tuple[int, ...]
    place: int


def shares_tubelets(model: ViViT) -> bool:
    """Whether clips of a video can share encoded tubelets; an exported model without parts takes whole clips alone."""
    return model.config.variant == "factorised_encoder" and not (isinstance(model, ExportedViViT) and not model.parts)


def tubelets_of_clip(config: ModelConfig, num_frames: int) -> tuple[Tubelet, ...]:
    """What each time of the token grid is computed from, in numbers of the clip's frames."""
    size = config.tubelet_size[0]
    before, after = (-(-STEM_BEFORE // size), -(-STEM_AFTER // size)) if config.embedding == "conv_stem" else (0, 0)
    return _plan(num_frames, size, config.sampled_frames, before, after)


@lru_cache(maxsize=16)
def _plan(num_frames: int, size: int, sampled_frames: int | None, before: int, after: int) -> tuple[Tubelet, ...]:
    frames = tuple(range(num_frames))
    if sampled_frames is not None:
        frames = tuple(uniform_frame_indices(num_frames, sampled_frames))
    found = []
    for time in range(len(frames) // size):
        first, last = max(0, time - before), time + after + 1
        found.append(Tubelet(frames[first * size : last * size], time - first))
    return tuple(found)


def encode_tubelets(model: ViViT, clips: Mapping[Hashable, tuple[Tensor, int]], batch: int) -> dict[Hashable, Tensor]:
    """The spatial encoder's vector of each tubelet.

    Args:
        model: a factorised encoder, in evaluation mode.
        clips: by name, the preprocessed frames [n, C, H, W] of a `Tubelet`, on any device, and its place.
        batch: at most so many at once.

    Returns:
        vectors [D] under the same names.
    """
    device = next(model.parameters()).device
    kinds: dict[tuple[int, int], list[Hashable]] = {}
    for name, (frames, place) in clips.items():
        kinds.setdefault((len(frames), place), []).append(name)
    vectors: dict[Hashable, Tensor] = {}
    for (_, place), names in kinds.items():
        for first in range(0, len(names), batch):
            few = names[first : first + batch]
            video = torch.stack([clips[name][0] for name in few]).to(device, non_blocking=True)
            vectors.update(zip(few, model.encode_tubelets(video, place), strict=True))
    return vectors


def shared_tubelets(config: ModelConfig, frames: Sequence[Sequence[int]]) -> int:
    """How many tubelets of these clips are held by a clip before already.

    Args:
        config: of the model.
        frames: of each clip, the frames of the video that it holds.
    """
    if config.variant != "factorised_encoder":
        return 0
    held = [tubelet for numbers in frames for tubelet in _of_video(config, numbers)]
    return len(held) - len(set(held))


def reused_tubelets(model: ViViT, frames: Sequence[Sequence[int]]) -> int:
    """How many tubelets of these clips need not be encoded again by this model; see `shared_tubelets`."""
    return shared_tubelets(model.config, frames) if shares_tubelets(model) else 0


def forward_sharing(
    model: ViViT,
    video: Float[Tensor, "V T C H W"],
    frames: Sequence[Sequence[int]],
    frame_mask: Bool[Tensor, "V T"] | None = None,
    *,
    batch: int,
) -> Float[Tensor, "V K"] | dict[str, Float[Tensor, "V _"]]:
    """`model(video, frame_mask)` for views of one video, every tubelet that several of them hold encoded once.

    The result is that of the model up to rounding (1e-5 in float32).

    Args:
        model: a factorised encoder, in evaluation mode.
        video: all crops of the first clip, then all crops of the second, and so on; on any device.
        frames: of each clip, the frames of the video that it holds.
        frame_mask: True where a frame is real.
        batch: at most so many tubelets at once.
    """
    device = next(model.parameters()).device
    crops = len(video) // len(frames)
    if frame_mask is not None:
        video = hold_masked_frames(video, frame_mask)
    plan = tubelets_of_clip(model.config, video.shape[1])
    order: list[Hashable] = []
    clips: dict[Hashable, tuple[Tensor, int]] = {}
    for view in range(len(video)):
        of_video = _of_video(model.config, frames[view // crops])
        for inside, tubelet in zip(plan, of_video, strict=True):
            name = (view % crops, tubelet)
            order.append(name)
            if name not in clips:
                clips[name] = video[view, list(inside.frames)], tubelet.place
    vectors = encode_tubelets(model, clips, batch)
    sequence = torch.stack([vectors[name] for name in order]).unflatten(0, (len(video), -1))
    return model.forward_times(sequence, None if frame_mask is None else model.time_mask(frame_mask.to(device)))


def _of_video(config: ModelConfig, numbers: Sequence[int]) -> list[Tubelet]:
    """The tubelets of a clip in numbers of the video's frames."""
    plan = tubelets_of_clip(config, len(numbers))
    return [Tubelet(tuple(numbers[place] for place in inside.frames), inside.place) for inside in plan]
