"""RandAugment on a whole clip: one operation after the other, each the same for all frames."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import UInt8
from torch import Generator, Tensor

from tubelet.config import AugmentationConfig
from tubelet.data.draws import Draws, integer
from tubelet.data.torchvision_transforms import InterpolationMode, RandAugment
from tubelet.data.torchvision_transforms import functional as transforms

CUTOUT = 40 / 224
"""Half the side of cutout's square at magnitude 10, as a share of the frame's short side: 40 pixels of 224."""

Operation = Callable[[Tensor, float, Generator], Tensor]


def rand_augment(
    frames: UInt8[Tensor, "T 3 H W"], config: AugmentationConfig, draws: Draws
) -> UInt8[Tensor, "T 3 H W"]:
    """Apply `rand_augment_layers` operations, drawn anew each time, all at the same magnitude.

    RandAugment (Cubuk et al., 2020). `original`: the set of Scenic's `distort_image_with_randaugment`, eleven
    operations that do not move pixels and the identity, equally likely; what looks at a histogram looks at that of the
    whole clip. The magnitude is on a scale of 10 and extrapolates beyond (15 and 20 in the paper's recipes), where
    solarise and posterise change nothing. Two differences: contrast is blended with the clip's mean (Scenic's sum of
    the histogram over 256 is not the mean, and comes out white for nearly all clips), and the size of cutout follows
    the frame. `torchvision`: `torchvision.transforms.v2.RandAugment` with geometric operations.
    """
    if not config.rand_augment_layers:
        return frames
    generator = draws.rng("rand augment")
    if config.rand_augment_ops == "torchvision":
        return _torchvision(frames, config, generator)
    for _ in range(config.rand_augment_layers):
        chosen = integer(generator, len(OPERATIONS) + 1)
        if chosen < len(OPERATIONS):
            frames = list(OPERATIONS.values())[chosen](frames, config.rand_augment_magnitude / 10, generator)
    return frames


def _torchvision(frames: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """torchvision draws from the default generator, which is seeded here and restored afterwards."""
    bins = 31
    magnitude = round(config.rand_augment_magnitude / 10 * (bins - 1))
    augment = RandAugment(config.rand_augment_layers, magnitude, bins, interpolation=InterpolationMode.BILINEAR)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(integer(generator, 2**31))
        return augment(frames)


def _on_clip(operation: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """Apply an operation to [T, 3, H, W] as one picture [3, T * H, W], so that it sees the whole clip at once."""
    picture = operation(frames.permute(1, 0, 2, 3).flatten(1, 2))
    return picture.unflatten(1, (len(frames), -1)).permute(1, 0, 2, 3)


def _factor(strength: float) -> float:
    """0.1 at magnitude 0, 1 (no change) at 5, 1.9 at 10."""
    return 0.1 + 1.8 * strength


def _posterise(frames: Tensor, strength: float) -> Tensor:
    """Keeps 4 bits at magnitude 10, none at 0."""
    bits = min(8, int(4 * strength))
    return frames & (256 - (1 << (8 - bits)))


def _solarise(frames: Tensor, strength: float) -> Tensor:
    """Inverts what is brighter than the threshold: everything at magnitude 0, nothing at 10."""
    threshold = int(256 * strength)
    return frames if threshold > 255 else torch.where(frames < threshold, frames, 255 - frames)


def _solarise_add(frames: Tensor, strength: float) -> Tensor:
    """Makes the darker half of the scale brighter, by 110 at magnitude 10."""
    brighter = (frames.to(torch.int16) + int(110 * strength)).clamp_(0, 255).to(torch.uint8)
    return torch.where(frames < 128, brighter, frames)


def _contrast(frames: Tensor, strength: float) -> Tensor:
    return _on_clip(lambda picture: transforms.adjust_contrast(picture, _factor(strength)), frames)


def _cutout(frames: Tensor, strength: float, generator: Generator) -> Tensor:
    """A black square around a random pixel (DeVries and Taylor, 2017), at the same place in all frames."""
    height, width = frames.shape[-2:]
    half = int(CUTOUT * min(height, width) * strength)
    row, column = integer(generator, height), integer(generator, width)
    frames = frames.clone()
    frames[..., max(0, row - half) : row + half, max(0, column - half) : column + half] = 0
    return frames


OPERATIONS: dict[str, Operation] = {
    "auto_contrast": lambda frames, strength, generator: _on_clip(transforms.autocontrast, frames),
    "equalise": lambda frames, strength, generator: _on_clip(transforms.equalize, frames),
    "invert": lambda frames, strength, generator: 255 - frames,
    "posterise": lambda frames, strength, generator: _posterise(frames, strength),
    "solarise": lambda frames, strength, generator: _solarise(frames, strength),
    "colour": lambda frames, strength, generator: transforms.adjust_saturation(frames, _factor(strength)),
    "contrast": lambda frames, strength, generator: _contrast(frames, strength),
    "brightness": lambda frames, strength, generator: transforms.adjust_brightness(frames, _factor(strength)),
    "sharpness": lambda frames, strength, generator: transforms.adjust_sharpness(frames, _factor(strength)),
    "cutout": _cutout,
    "solarise_add": lambda frames, strength, generator: _solarise_add(frames, strength),
}
"""Scenic's operations, in its order; the twelfth choice is the identity."""
