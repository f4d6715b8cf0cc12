"""Augmentation of a training clip, and its normalisation."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tubelet.config import AugmentationConfig
from tubelet.data.colour_jitter import jitter_colour
from tubelet.data.draws import Draws, bernoulli
from tubelet.data.geometry import jitter_crop
from tubelet.data.rand_augment import rand_augment
from tubelet.data.random_erasing import random_erasing
from tubelet.video import Preprocessing


def is_flipped(augmentation: AugmentationConfig, draws: Draws) -> bool:
    """Whether this clip is flipped; its labels change with it (`LabelMap`)."""
    return bernoulli(draws.rng("flip"), augmentation.flip)


def augment(
    frames: UInt8[Tensor, "T 3 H W"], augmentation: AugmentationConfig, preprocessing: Preprocessing, draws: Draws
) -> Float[Tensor, "T C h w"]:
    """Augment a clip of resized frames, with the same draws for all frames, and normalise it.

    In Scenic's order: scale jitter and crop (rotated), flip, RandAugment, colour jitter, normalisation, erasing.
    """
    frames = jitter_crop(frames, augmentation, preprocessing.config, draws)
    if is_flipped(augmentation, draws):
        frames = torch.flip(frames, (-1,))
    frames = rand_augment(frames, augmentation, draws)
    frames = jitter_colour(frames, augmentation, draws)
    return random_erasing(preprocessing.normalise(frames), augmentation, draws)
