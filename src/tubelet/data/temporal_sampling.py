"""Frame indices of training clips: random start, speed, segments, warp."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from tubelet.config import AugmentationConfig, PreprocessingConfig
from tubelet.data.draws import Draws, uniform
from tubelet.errors import ConfigError
from tubelet.video import clip_indices, clip_starts, random_start, uniform_indices

WARP_KNOTS = 4
"""Points in a clip at which `warp` draws the pace."""


def check_temporal(augmentation: AugmentationConfig, preprocessing: PreprocessingConfig) -> None:
    """Hold that the augmentation has a meaning with this sampling."""
    dense = preprocessing.sampling == "dense"
    if dense and augmentation.temporal == "segments":
        raise ConfigError(
            "temporal='segments' takes frames from the whole video, which evaluation with sampling='dense' would not; "
            "use sampling='uniform' and frame_stride=1"
        )
    if dense and augmentation.coverage != (1.0, 1.0):
        raise ConfigError(f"coverage={augmentation.coverage} belongs to sampling='uniform'; with 'dense' use speed")
    if not dense and augmentation.speed != (1.0, 1.0):
        raise ConfigError(f"speed={augmentation.speed} belongs to sampling='dense'; with 'uniform' use coverage")
    if augmentation.warp and (dense or augmentation.temporal == "centre"):
        raise ConfigError(
            f"warp={augmentation.warp} belongs to sampling='uniform' with temporal='random' or 'segments'; leave it out"
        )


def training_indices(
    total: int, augmentation: AugmentationConfig, preprocessing: PreprocessingConfig, draws: Draws
) -> tuple[list[int], list[bool]]:
    """The frames of a training clip.

    Dense: a run of frames from a random start (Scenic's `sample_sequence`), at the frame stride times a factor
    from `speed`, drawn log-uniformly so that faster and slower are equally likely (speed jitter). Uniform: frames
    spread over a random part of the video as long as `coverage` says; one out of each of its equal parts, at the same
    random place in all of them (`random`) or at independent ones (`segments`, Wang et al., ECCV 2016). With `warp` the
    parts are not equal: the pace rises and falls through the clip.

    Args:
        total: frames of the video, or of the part of it that is used.
        augmentation: see above.
        preprocessing: number of frames, stride, what happens with short videos.
        draws: of this clip.

    Returns:
        indices in [0, total), and which of them are real (`clip_indices`).
    """
    count = preprocessing.num_frames
    if preprocessing.sampling == "uniform":
        chosen = _spread(total, count, augmentation, draws)
        return chosen, [True] * count
    speed = _log_uniform(augmentation.speed, draws)
    if speed == 1.0:
        start = _start(total, preprocessing.span, count * preprocessing.frame_stride, augmentation, draws)
        return clip_indices(start, count, preprocessing.frame_stride, total, preprocessing.short_clips)
    steps = [round(step * preprocessing.frame_stride * speed) for step in range(count)]
    span = steps[-1] + 1
    start = _start(total, span, round(count * preprocessing.frame_stride * speed), augmentation, draws)
    wanted = [start + step for step in steps]
    if preprocessing.short_clips == "loop":
        return [index % total for index in wanted], [True] * count
    last = max(index for index in wanted if index < total)
    return [min(index, last) for index in wanted], [index < total for index in wanted]


def _start(total: int, span: int, evaluation_span: int, augmentation: AugmentationConfig, draws: Draws) -> int:
    if augmentation.temporal == "centre":
        return clip_starts(total, evaluation_span, 1)[0]
    return random_start(total, span, draws.rng("start"))


def _spread(total: int, count: int, augmentation: AugmentationConfig, draws: Draws) -> list[int]:
    share = uniform(draws.rng("coverage"), *augmentation.coverage)
    part = min(total, max(1, round(share * total)))
    first = random_start(total, part, draws.rng("start"))
    if augmentation.temporal == "centre":
        inside = uniform_indices(part, count)
    else:
        edges = [part * edge for edge in _edges(count, augmentation.warp, draws)]
        generator = draws.rng("segments")
        together = augmentation.temporal == "random"
        places = torch.rand(1 if together else count, generator=generator, dtype=torch.float64).tolist()
        inside = [
            min(int(low + place * (high - low)), part - 1)
            for low, high, place in zip(edges, edges[1:], places * count if together else places, strict=False)
        ]
    return [first + index for index in inside]


def _edges(count: int, warp: float, draws: Draws) -> list[float]:
    """Where the parts of a clip begin and end, from 0 to 1: equal, or at a pace that changes.

    The pace is 1 + warp * u, u drawn from [-1, 1] at a few knots and linear in between (Fawaz et al., 2018, warp series
    in the same way to augment them).
    """
    if not warp:
        return [part / count for part in range(count + 1)]
    knots = torch.rand(WARP_KNOTS, generator=draws.rng("warp"), dtype=torch.float64) * 2 - 1
    pace = 1 + warp * F.interpolate(knots[None, None], count, mode="linear", align_corners=True)[0, 0]
    steps = (pace / pace.sum()).cumsum(0).tolist()
    return [0.0, *steps[:-1], 1.0]


def _log_uniform(bounds: tuple[float, float], draws: Draws) -> float:
    low, high = bounds
    if low == high:
        return low
    return math.exp(uniform(draws.rng("speed"), math.log(low), math.log(high)))


def real_mask(real: list[bool]) -> torch.Tensor | None:
    """bool [T], or None where every frame is real."""
    return None if all(real) else torch.tensor(real)
