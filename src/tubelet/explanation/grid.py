"""Which pixels a token is made of: the way from a map over the token grid to the frames of a clip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.config import ModelConfig, uniform_frame_indices


@dataclass(frozen=True)
class TokenGrid:
    """The tokens of one clip.

    Attributes:
        size: (t, h, w).
        frames: of each of the t times, the frames of the clip that its tubelets hold. With uniform frame sampling the
            frames between are in none.
        clip: (T, H, W) of the clip.
    """

    size: tuple[int, int, int]
    frames: tuple[tuple[int, ...], ...]
    clip: tuple[int, int, int]

    @classmethod
    def of(cls, config: ModelConfig, clip: tuple[int, int, int]) -> TokenGrid:
        """The grid of a clip of (T, H, W) for a model of this configuration."""
        size = config.grid_of(*clip)
        frames: tuple[tuple[int, ...], ...]
        if config.embedding == "uniform_frames" and config.sampled_frames is not None:
            frames = tuple((index,) for index in uniform_frame_indices(clip[0], config.sampled_frames))
        else:
            step = clip[0] // size[0]
            frames = tuple(tuple(range(time * step, (time + 1) * step)) for time in range(size[0]))
        return cls(size, frames, clip)

    def over_pixels(self, values: Float[Tensor, "*B t h w"]) -> Float[Tensor, "*B T 1 H W"]:
        """A value of each token at all of its pixels; 0 in frames that no token holds."""
        frames, height, width = self.clip
        rows, columns = height // self.size[1], width // self.size[2]
        pictures = values.repeat_interleave(rows, dim=-2).repeat_interleave(columns, dim=-1)
        out = values.new_zeros(*values.shape[:-3], frames, height, width)
        for time, numbers in enumerate(self.frames):
            out[..., list(numbers), :, :] = pictures[..., time, None, :, :]
        return out.unsqueeze(-3)

    def over_tokens(self, pixels: Float[Tensor, "*B T C H W"]) -> Float[Tensor, "*B t h w"]:
        """The sum of each token's pixels and channels."""
        _, height, width = self.clip
        rows, columns = height // self.size[1], width // self.size[2]
        summed = pixels.sum(dim=-3).unflatten(-1, (-1, columns)).sum(dim=-1).unflatten(-2, (-1, rows)).sum(dim=-2)
        return torch.stack([summed[..., list(numbers), :, :].sum(dim=-3) for numbers in self.frames], dim=-3)
