"""What is to be guessed: the pixels of tubelets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from tubelet.config import ModelConfig, uniform_frame_indices

NOISE = 0.05
"""Contrast of a tubelet, as a standard deviation of normalised pixels, below which it is mostly noise of the camera and
of compression. It is added (as variances are) before dividing, so that a plain wall does not become a riddle."""


@dataclass(frozen=True)
class Targets:
    """Pixels of tubelets, and what was done to them.

    Attributes:
        values: what is to be guessed, [B, t, p, P]; P pixels of a tubelet in the order channel, frame, row, column.
        mean: of each tubelet, [B, t, p, 1]; 0 if nothing was done.
        scale: that it was divided by; 1 if nothing was done.
    """

    values: Float[Tensor, "B t p P"]
    mean: Float[Tensor, "B t p 1"]
    scale: Float[Tensor, "B t p 1"]

    def pixels(self, values: Float[Tensor, "B t p P"]) -> Float[Tensor, "B t p P"]:
        """Values like these as pixels again."""
        return values * self.scale + self.mean


def make_targets(tubelets: Float[Tensor, "B t p P"], normalise: bool) -> Targets:
    """The pixels of every tubelet (`to_tubelets`); with `normalise` less their mean, divided by their deviation.

    As in MAE and VideoMAE (there with the variance kept from 0 by 1e-6 alone; here by `NOISE`): structure counts, not
    brightness.
    """
    tubelets = tubelets.float()
    if not normalise:
        zero = torch.zeros_like(tubelets[..., :1])
        return Targets(tubelets, zero, zero + 1)
    variance, mean = torch.var_mean(tubelets, dim=-1, keepdim=True, correction=0)
    scale = (variance + NOISE**2).sqrt()
    return Targets((tubelets - mean) / scale, mean, scale)


def to_tubelets(video: Float[Tensor, "B T C H W"], config: ModelConfig) -> Float[Tensor, "B t p P"]:
    """Cut a video into the tubelets that the model's tokens stand for."""
    frames, height, width = config.tubelet_size
    sizes = {"frames": frames, "height": height, "width": width}
    return rearrange(
        _embedded(video, config), "B (t frames) C (h height) (w width) -> B t (h w) (C frames height width)", **sizes
    )


def to_video(
    tubelets: Float[Tensor, "B t p P"], config: ModelConfig, height: int, width: int
) -> Float[Tensor, "B T C H W"]:
    """Put tubelets back where `to_tubelets` cut them; a video of the frames that are embedded."""
    frames, tubelet_height, tubelet_width = config.tubelet_size
    return rearrange(
        tubelets,
        "B t (h w) (C frames height width) -> B (t frames) C (h height) (w width)",
        h=height // tubelet_height,
        w=width // tubelet_width,
        frames=frames,
        height=tubelet_height,
        width=tubelet_width,
    )


def _embedded(video: Tensor, config: ModelConfig) -> Tensor:
    """The frames that the model embeds: all but with uniform frame sampling."""
    if config.sampled_frames is None:
        return video
    return video[:, uniform_frame_indices(video.shape[1], config.sampled_frames)]
