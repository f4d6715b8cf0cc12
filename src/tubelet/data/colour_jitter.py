"""Colour jitter and grey, the same for all frames of a clip."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tubelet.config import AugmentationConfig
from tubelet.data.draws import Draws, bernoulli, uniform
from tubelet.data.torchvision_transforms import functional as transforms

CHUNK = 2**16
"""Pixels of a channel per chunk, to fit the processor's cache."""


def jitter_colour(
    frames: UInt8[Tensor, "T 3 H W"], config: AugmentationConfig, draws: Draws
) -> UInt8[Tensor, "T 3 H W"]:
    """Brightness, saturation, contrast and hue, in this order, then perhaps no colour at all.

    As `color_default_augm` of DMVR, which Scenic uses, with its ranges: brightness and hue are added, the others are
    factors. DMVR works on normalised floats; here the result is rounded to whole grey levels.
    """
    if bernoulli(draws.rng("colour"), config.colour):
        generator = draws.rng("colour values")
        brightness = uniform(generator, -config.brightness, config.brightness)
        saturation = uniform(generator, *config.saturation)
        contrast = uniform(generator, *config.contrast)
        hue = uniform(generator, -config.hue, config.hue)
        at_once = max(1, CHUNK // (frames.shape[-2] * frames.shape[-1]))
        jittered = torch.empty(frames.shape, dtype=torch.uint8)
        for some, out in zip(frames.split(at_once), jittered.split(at_once), strict=True):
            grey = bool((some[:, 0] == some[:, 1]).all() and (some[:, 0] == some[:, 2]).all())
            pixels = some.contiguous().to(torch.float32).div_(255).add_(brightness).clamp_(0, 1)
            if not grey:  # else saturation and hue have nothing to change
                pixels = transforms.adjust_saturation(pixels, saturation)
            pixels = transforms.adjust_contrast(pixels, contrast)
            if hue and not grey:
                pixels = rotate_hue(pixels, hue)
            out.copy_(pixels.mul_(255).round_())
        frames = jittered
    if bernoulli(draws.rng("grey"), config.grey):
        frames = transforms.rgb_to_grayscale(frames, num_output_channels=3)
    return frames


def rotate_hue(pictures: Float[Tensor, "*T 3 H W"], turn: float) -> Float[Tensor, "*T 3 H W"]:
    """Add to the hue of every pixel; saturation and value (HSV) stay.

    The same function as `torchvision.transforms.v2.functional.adjust_hue`, three times as fast: each channel is a
    trapezoid of the hue, and no HSV picture is made.

    Args:
        pictures: in [0, 1].
        turn: share of the circle, from -0.5 to 0.5.
    """
    red, green, blue = pictures.unbind(-3)
    value, chroma = pictures.amax(-3), pictures.amax(-3) - pictures.amin(-3)
    safe = chroma.clamp(min=1e-12)
    sixths = torch.where(value == green, (blue - red).div_(safe).add_(2), (red - green).div_(safe).add_(4))
    sixths = torch.where(value == red, (green - blue).div_(safe), sixths).add_(6 * turn)
    channels = [(sixths + offset).remainder_(6) for offset in (5, 3, 1)]
    return torch.stack([value - chroma * torch.minimum(place, 4 - place).clamp_(0, 1) for place in channels], dim=-3)
