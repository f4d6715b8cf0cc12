"""Random erasing of the same rectangle in all frames of a clip."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.config import AugmentationConfig
from tubelet.data.draws import Draws, bernoulli, integer, uniform

LOG_ASPECT = math.log(0.3), -math.log(0.3)
"""Range of the logarithm of height over width."""

TRIALS = 10
"""A rectangle that does not fit the frame is drawn again at most so often."""


def random_erasing(
    video: Float[Tensor, "T C H W"], config: AugmentationConfig, draws: Draws
) -> Float[Tensor, "T C H W"]:
    """Replace a rectangle of a normalised video, in place, by normal noise, fresh for every pixel of every frame.

    Random erasing (Zhong et al., AAAI 2020) with the ranges of Scenic (`RandomErasing` in `video_ops`): area from
    `erase_area`, height over width from 0.3 to 3.3, log-uniformly.
    """
    if not bernoulli(draws.rng("erase"), config.erase):
        return video
    generator = draws.rng("erase values")
    height, width = video.shape[-2:]
    for _ in range(TRIALS):
        area = uniform(generator, *config.erase_area) * height * width
        aspect = math.exp(uniform(generator, *LOG_ASPECT))
        tall, wide = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < tall < height and 0 < wide < width:
            top, left = integer(generator, height - tall + 1), integer(generator, width - wide + 1)
            hole = video[..., top : top + tall, left : left + wide]
            hole.copy_(torch.randn(hole.shape, generator=generator, dtype=hole.dtype))
            break
    return video
