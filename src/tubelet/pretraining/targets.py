"""What is to be predicted: the pixels of tubelets, or their motion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from tubelet.config import ModelConfig, uniform_frame_indices

NOISE = 0.05
"""Contrast of a tubelet, as a standard deviation of normalised pixels, below which it is mostly noise of the camera and
of compression. It is added (as variances are) before dividing, so that a plain wall does not become a riddle."""

CHANGE = 0.5
"""Change of a normalised pixel from one frame to the next that counts as 1: that of a limb before a wall."""


@dataclass(frozen=True)
class Targets:
    """Pixels of tubelets, or their changes, and what was done to them.

    Attributes:
        values: what is to be predicted, [B, t, p, P]; P pixels of a tubelet in the order channel, frame, row, column.
        mean: of each tubelet, [B, t, p, 1]; 0 if nothing was done.
        scale: that it was divided by; 1 if nothing was done.
    """

    values: Float[Tensor, "B t p P"]
    mean: Float[Tensor, "B t p 1"]
    scale: Float[Tensor, "B t p 1"]

    def pixels(self, values: Float[Tensor, "B t p P"]) -> Float[Tensor, "B t p P"]:
        """Values like these as pixels, or changes of pixels, again."""
        return values * self.scale + self.mean


def make_targets(video: Float[Tensor, "B T C H W"], config: ModelConfig, kind: str) -> Targets:
    """What is to be predicted of every tubelet of a video (`MaskingConfig.targets`).

    - `motion`: by how much each pixel changes until the next frame that is embedded, over `CHANGE`; 0 in the last one.
      What stands still is 0 as well, so that all there is to learn is what moves, where and when. That motion teaches
      more than pixels is the idea of Masked Motion Encoding (Sun et al., CVPR 2023), which predicts trajectories.
    - `normalised_pixels`: less their mean, divided by their deviation, as in MAE and VideoMAE (there with the variance
      kept from 0 by 1e-6 alone; here by `NOISE`): structure counts, not brightness.
    - `pixels`: as they are.
    """
    frames = _embedded(video, config).float()
    if kind == "motion":
        frames = F.pad(frames[:, 1:] - frames[:, :-1], (0, 0, 0, 0, 0, 0, 0, 1))
    tubelets = _cut(frames, config)
    zero = torch.zeros_like(tubelets[..., :1])
    if kind == "motion":
        return Targets(tubelets.div_(CHANGE), zero, zero + CHANGE)
    if kind == "pixels":
        return Targets(tubelets, zero, zero + 1)
    mean = tubelets.mean(dim=-1, keepdim=True)
    values = tubelets - mean
    variance = torch.linalg.vector_norm(values, dim=-1, keepdim=True).square() / values.shape[-1]
    scale = (variance + NOISE**2).sqrt()
    return Targets(values.div_(scale), mean, scale)


def to_tubelets(video: Float[Tensor, "B T C H W"], config: ModelConfig) -> Float[Tensor, "B t p P"]:
    """Cut a video into the tubelets that the model's tokens stand for."""
    return _cut(_embedded(video, config), config)


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


def _cut(frames: Tensor, config: ModelConfig) -> Tensor:
    """Frames that are all embedded as tubelets."""
    length, height, width = config.tubelet_size
    sizes = {"frames": length, "height": height, "width": width}
    return rearrange(frames, "B (t frames) C (h height) (w width) -> B t (h w) (C frames height width)", **sizes)


def _embedded(video: Tensor, config: ModelConfig) -> Tensor:
    """The frames that the model embeds: all but with uniform frame sampling."""
    if config.sampled_frames is None:
        return video
    return video[:, uniform_frame_indices(video.shape[1], config.sampled_frames)]
