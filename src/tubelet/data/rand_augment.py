"""RandAugment on a whole clip: one operation after the other, each the same for all frames."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import UInt8
from torch import Generator, Tensor
from torchvision.transforms.v2 import InterpolationMode, RandAugment
from torchvision.transforms.v2 import functional as transforms

from tubelet.config import AugmentationConfig
from tubelet.data.draws import Draws, integer

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
    solarise and posterise change nothing. Two differences: contrast is blended with the clip's mean (the original's sum
    of the histogram over 256 is not the mean, and comes out white for nearly all clips), and the size of cutout follows
    the frame. `torchvision`: `torchvision.transforms.v2.RandAugment` with geometric operations.
    """
    if not config.rand_augment_layers:
        return frames
    generator = draws.of("rand augment")
    if config.rand_augment_ops == "torchvision":
        return _torchvision(frames, config, generator)
    for _ in range(config.rand_augment_layers):
        chosen = integer(generator, len(OPERATIONS) + 1)
        if chosen < len(OPERATIONS):
            frames = list(OPERATIONS.values())[chosen](frames, config.rand_augment_magnitude / 10, generator)
    return frames


def _torchvision(frames: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """torchvision draws from torch's own generator for the CPU: it gets a seed of ours and is put back afterwards."""
    bins = 31
    magnitude = round(config.rand_augment_magnitude / 10 * (bins - 1))
    augment = RandAugment(config.rand_augment_layers, magnitude, bins, interpolation=InterpolationMode.BILINEAR)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(integer(generator, 2**31))
        return augment(frames)


def _as_picture(frames: Tensor) -> Tensor:
    """[T, 3, H, W] as one picture [3, T * H, W], so that an operation sees the whole clip at once."""
    return frames.permute(1, 0, 2, 3).flatten(1, 2)


def _as_clip(picture: Tensor, frames: Tensor) -> Tensor:
    return picture.unflatten(1, (len(frames), -1)).permute(1, 0, 2, 3)


def _factor(strength: float) -> float:
    """0.1 at magnitude 0, 1 (no change) at 5, 1.9 at 10."""
    return 0.1 + 1.8 * strength


def _auto_contrast(frames: Tensor, strength: float, generator: Generator) -> Tensor:
    return _as_clip(transforms.autocontrast(_as_picture(frames)), frames)


def _equalise(frames: Tensor, strength: float, generator: Generator) -> Tensor:
    return _as_clip(transforms.equalize(_as_picture(frames)), frames)


def _invert(frames: Tensor, strength: float, generator: Generator) -> Tensor:
    return 255 - frames


def _posterise(frames: Tensor, strength: float, generator: Generator) -> Tensor:
    """Keeps 4 bits at magnitude 10, none at 0."""
    bits = min(8, int(4 * strength))
    return frames & (256 - (1 << (8 - bits)))


def _solarise(frames: Tensor, strength: float, generator: Generator) -> Tensor:
    """Inverts what is brighter than the threshold: everything at magnitude 0, nothing at 10."""
    threshold = int(256 * strength)
    return frames if threshold > 255 else torch.where(frames < threshold, frames, 255 - frames)


def _solarise_add(frames: Tensor, strength: float, generator: Generator) -> Tensor:
    """Makes the darker half of the scale brighter, by 110 at magnitude 10."""
    brighter = (frames.to(torch.int16) + int(110 * strength)).clamp_(0, 255).to(torch.uint8)
    return torch.where(frames < 128, brighter, frames)


def _colour(frames: Tensor, strength: float, generator: Generator) -> Tensor:
    return transforms.adjust_saturation(frames, _factor(strength))


def _contrast(frames: Tensor, strength: float, generator: Generator) -> Tensor:
    return _as_clip(transforms.adjust_contrast(_as_picture(frames), _factor(strength)), frames)


def _brightness(frames: Tensor, strength: float, generator: Generator) -> Tensor:
    return transforms.adjust_brightness(frames, _factor(strength))


def _sharpness(frames: Tensor, strength: float, generator: Generator) -> Tensor:
    return transforms.adjust_sharpness(frames, _factor(strength))


def _cutout(frames: Tensor, strength: float, generator: Generator) -> Tensor:
    """A black square around a random pixel (DeVries and Taylor, 2017), at the same place in all frames."""
    height, width = frames.shape[-2:]
    half = int(CUTOUT * min(height, width) * strength)
    row, column = integer(generator, height), integer(generator, width)
    frames = frames.clone()
    frames[..., max(0, row - half) : row + half, max(0, column - half) : column + half] = 0
    return frames


OPERATIONS: dict[str, Operation] = {
    "auto_contrast": _auto_contrast,
    "equalise": _equalise,
    "invert": _invert,
    "posterise": _posterise,
    "solarise": _solarise,
    "colour": _colour,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "cutout": _cutout,
    "solarise_add": _solarise_add,
}
"""The original's operations, in its order; the twelfth choice is the identity."""
