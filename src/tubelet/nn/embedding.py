"""From video to tokens: tubelets, single frames, or tubelets over the feature map of a small 3-D ConvNet.

Drawn from left to right, with T = t * t', H = h * h', W = w * w':

    video                  tubelets, side by side              tokens
    [B, T, C, H, W]   ->   t * h * w of t' x h' x w' pixels   ->   [B, t, h, w, D]
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.config import uniform_frame_indices
from tubelet.config.model_cost import stem_channels
from tubelet.nn.batch_norm import BatchNorm


class TubeletEmbedding(nn.Module):
    """Cut a video into tubelets that do not overlap and map each linearly to a token (section 3.2, figure 3).

    The same function as a 3-D convolution whose kernel is its stride, computed as one matrix product.

    Args:
        in_channels: channels of a frame, C.
        dim: width of a token, D.
        tubelet_size: (frames, height, width) of a tubelet.
    """

    def __init__(self, in_channels: int, dim: int, tubelet_size: tuple[int, int, int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim, in_channels, *tubelet_size))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, video: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B t h w D"]:
        _, _, frames, height, width = self.weight.shape
        size = {"frames": frames, "height": height, "width": width}
        tubelets = rearrange(video, "B (t frames) C (h height) (w width) -> B t h w (C frames height width)", **size)
        return self.project(tubelets)

    def project(self, tubelets: Float[Tensor, "*rest P"]) -> Float[Tensor, "*rest D"]:
        """Tokens of flattened tubelets, with pixels in the order channel, frame, row, column."""
        return F.linear(tubelets, self.weight.flatten(1), self.bias)

    def token_mask(self, frame_mask: Bool[Tensor, "B T"]) -> Bool[Tensor, "B t"]:
        """True at time steps with a real frame in their tubelets."""
        return frame_mask.unflatten(1, (-1, self.weight.shape[2])).any(dim=2)


class UniformFrameEmbedding(TubeletEmbedding):
    """Embed the patches of frames picked evenly from the video, as an image transformer would (section 3.2, figure 2).

    Args:
        in_channels: channels of a frame, C.
        dim: width of a token, D.
        patch_size: (height, width) in pixels.
        sampled_frames: how many frames to pick (see `tubelet.config.uniform_frame_indices`); None takes all.
    """

    def __init__(self, in_channels: int, dim: int, patch_size: tuple[int, int], sampled_frames: int | None) -> None:
        super().__init__(in_channels, dim, (1, *patch_size))
        self.sampled_frames = sampled_frames

    def forward(self, video: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B t h w D"]:
        return super().forward(self._pick(video))

    def token_mask(self, frame_mask: Bool[Tensor, "B T"]) -> Bool[Tensor, "B t"]:
        return super().token_mask(self._pick(frame_mask))

    def _pick(self, frames: Tensor) -> Tensor:
        if self.sampled_frames is None:
            return frames
        indices = uniform_frame_indices(frames.shape[1], self.sampled_frames)
        return torch.stack([frames[:, index] for index in indices], dim=1)


class MapTubelets(TubeletEmbedding):
    """The same of a feature map, as a convolution: its gradient keeps the memory layout of the map.

    Where a gradient has another layout than its activation, the backward passes of GELU and BatchNorm take ten times as
    long on a CPU.
    """

    def forward(self, maps: Float[Tensor, "B C T H W"]) -> Float[Tensor, "B t h w D"]:
        return F.conv3d(maps, self.weight, self.bias, stride=self.weight.shape[2:]).movedim(1, -1)


class ConvStemEmbedding(nn.Module):
    """Tubelets cut from the feature map of two 3-D convolutions: a hybrid ViT in space and time.

    The stem sees each frame and, beside it, its difference from the one before: where the camera stands still, motion
    is what tells clips apart, and nearly everything else is the same in all of them. Two 3x3x3 convolutions each halve
    height and width and keep every frame, each followed by a BatchNorm and a GELU; then tubelets of the feature map.
    Early convolutions make a transformer from scratch easier to optimise (Xiao et al., NeurIPS 2021, "Early
    Convolutions Help Transformers See Better", with BatchNorm as here). In training a sample depends on its batch
    through the statistics; in evaluation they are constants. Neighbouring tubelets share a border of pixels, in time
    too.

    Args:
        in_channels: channels of a frame, C.
        dim: width of a token, D; the two convolutions have D / 8 and D / 4 channels, at least 8 and 16.
        tubelet_size: (frames, height, width) of a tubelet in pixels of the video; height and width multiples of 4.
    """

    def __init__(self, in_channels: int, dim: int, tubelet_size: tuple[int, int, int]) -> None:
        super().__init__()
        frames, height, width = tubelet_size
        first, second = stem_channels(dim)
        self.conv1 = nn.Conv3d(2 * in_channels, first, 3, stride=(1, 2, 2), padding=1, bias=False)
        self.norm1 = BatchNorm(first)
        self.conv2 = nn.Conv3d(first, second, 3, stride=(1, 2, 2), padding=1, bias=False)
        self.norm2 = BatchNorm(second)
        self.tubelets = MapTubelets(second, dim, (frames, height // 4, width // 4))

    def forward(self, video: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B t h w D"]:
        maps = self.maps(video)
        if torch.compiler.is_exporting():  # with channels innermost, AOTInductor computes a batch of one wrongly
            maps = maps.contiguous()
        for convolution, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            maps = F.gelu(norm(convolution(maps)), approximate="tanh")
        return self.tubelets(maps)

    @staticmethod
    def maps(video: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B C2 T H W"]:
        """Frames and twice their differences from the frame before (0 for the first), channels innermost in memory."""
        frames = video.movedim(2, -1)
        differences = F.pad(2 * (frames[:, 1:] - frames[:, :-1]), (0, 0, 0, 0, 0, 0, 1, 0))
        return torch.cat([frames, differences], dim=-1).movedim(-1, 1)

    def token_mask(self, frame_mask: Bool[Tensor, "B T"]) -> Bool[Tensor, "B t"]:
        """True at time steps with a real frame in their tubelets."""
        return self.tubelets.token_mask(frame_mask)


def hold_masked_frames(
    video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"]
) -> Float[Tensor, "B T C H W"]:
    """Replace every masked frame by the last real one before it (the first real one at the start of the clip).

    Whatever the masked frames held cannot reach the result any more, not even through a tubelet that they share with a
    real frame, and such a tubelet sees a still picture instead of a black one.
    """
    steps = torch.arange(video.shape[1], device=video.device).expand_as(frame_mask)
    last_real = torch.where(frame_mask, steps, -1).cummax(dim=1).values
    first_real = frame_mask.int().argmax(dim=1, keepdim=True)
    source = torch.maximum(last_real, first_real)
    return video[torch.arange(len(video), device=video.device)[:, None], source]
