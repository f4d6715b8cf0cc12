"""Training's counterpart of `Preprocessing.spatial`: a clip varied as a whole, then normalised."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tubelet.config import AugmentationConfig
from tubelet.data.colour import jitter_colour
from tubelet.data.draws import Draws, happens
from tubelet.data.erasing import erase
from tubelet.data.geometry import jitter_crop
from tubelet.data.rand_augment import rand_augment
from tubelet.video import Preprocessing


def is_flipped(augmentation: AugmentationConfig, draws: Draws) -> bool:
    """Whether this clip is mirrored; the one who asks also changes the labels (`LabelMap`)."""
    return happens(draws.of("flip"), augmentation.flip)


def augment(
    frames: UInt8[Tensor, "T 3 H W"], augmentation: AugmentationConfig, preprocessing: Preprocessing, draws: Draws
) -> Float[Tensor, "T C h w"]:
    """Vary a clip, the same draw for all its frames.

    In the original's order: scale jitter and crop (turned), flip, RandAugment, colour jitter, normalisation, erasing.

    Args:
        frames: resized (`Preprocessing.resize`), not cropped.
        augmentation: what is done.
        preprocessing: crop size, interpolation, normalisation.
        draws: of this clip.
    """
    frames = jitter_crop(frames, augmentation, preprocessing.config, draws)
    if is_flipped(augmentation, draws):
        frames = torch.flip(frames, (-1,))
    frames = rand_augment(frames, augmentation, draws)
    frames = jitter_colour(frames, augmentation, draws)
    return erase(preprocessing.normalise(frames), augmentation, draws)
