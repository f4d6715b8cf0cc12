"""From two dimensions to three: patch kernels to tubelet kernels, an image's positions to a video's.

    kernel [D, C, h, w] -> [D, C, t, h, w]            positions [h, w, D] -> [t, h', w', D]

Everything here is a pure function of tensors.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from tubelet.nn.positions import interpolate_grid

TubeletInit = Literal["central_frame", "inflation", "rank_pooling", "random"]
PositionsInit = Literal["tile", "resize", "resize_tile"]


def inflate_kernel(
    kernel: Float[Tensor, "D C h w"], frames: int, method: Literal["central_frame", "inflation", "rank_pooling"]
) -> Float[Tensor, "D C t h w"]:
    """A tubelet kernel out of a patch kernel (the paper's section 3.4, "Embedding weights").

    - `central_frame` (equation 9): the tubelet's frame number frames // 2, counted from 0, is the patch kernel; the
      others are 0. A tubelet starts as one frame of it.
    - `inflation` (equation 8): every frame is the patch kernel / frames. A tubelet starts as the mean of its frames.
    - `rank_pooling` (in Scenic, not in the paper): every frame is the patch kernel times
      `rank_pooling_weights` / frames. A tubelet starts as a summary of how its frames change: a still picture gives 0.

    Args:
        kernel: [D, C, h, w].
        frames: of a tubelet, t.
        method: as above.
    """
    if method == "central_frame":
        weights = torch.zeros(frames, dtype=torch.float64)
        weights[frames // 2] = 1
    elif method == "inflation":
        weights = torch.full((frames,), 1 / frames, dtype=torch.float64)
    else:
        weights = rank_pooling_weights(frames) / frames
    return (kernel.double()[:, :, None] * weights[:, None, None]).to(kernel.dtype)


def rank_pooling_weights(frames: int) -> Float[Tensor, " t"]:
    """Approximate rank pooling (Bilen et al., "Action Recognition with Dynamic Image Networks", PAMI 2017, equation 3).

    w_i = 2 (t - i + 1) - (t + 1) (H_t - H_(i-1)) for i = 1 ... t, where H_i is the i-th harmonic number and H_0 = 0.
    The weights sum to 0; for a single frame there is nothing to rank, and w_1 = 0.
    """
    index = torch.arange(1, frames + 1, dtype=torch.float64)
    harmonic = torch.cat([torch.zeros(1, dtype=torch.float64), (1 / index).cumsum(0)])
    return 2 * (frames - index + 1) - (frames + 1) * (harmonic[-1] - harmonic[:-1])


def resize_kernel(kernel: Float[Tensor, "D C h w"], size: tuple[int, int]) -> Float[Tensor, "D C h2 w2"]:
    """A patch kernel for patches of another size, by the pseudo-inverse of the resizing of patches.

    Of all kernels of the new size it is the one whose tokens of resized patches are nearest to the old tokens of the
    old patches, in the least-squares sense over white-noise patches (Beyer et al., "FlexiViT", CVPR 2023, section 3.4;
    bilinear with antialiasing). Where patches grow, the tokens are the same exactly.

    Args:
        kernel: [D, C, h, w].
        size: the new (height, width) of a patch in pixels.
    """
    height, width = kernel.shape[2:]
    if (height, width) == size:
        return kernel
    unit_patches = torch.eye(height * width, dtype=torch.float64).view(-1, 1, height, width)
    resized = F.interpolate(unit_patches, size=size, mode="bilinear", antialias=True, align_corners=False)
    to_new = torch.linalg.pinv(resized.flatten(1))  # [new pixels, old pixels]
    return (kernel.double().flatten(2) @ to_new.T).unflatten(2, size).to(kernel.dtype)


def adapt_positions(
    grid: Float[Tensor, "h w D"], size: tuple[int, int, int], method: PositionsInit
) -> Float[Tensor, "t h2 w2 D"] | None:
    """An image's grid of positions for a video's grid (t, h, w), each axis with its own meaning.

    `tile` repeats the grid for every time, and gives None where height or width differ; `resize` interpolates it
    (bicubic with antialiasing, any aspect), which over time means the same as repeating, since an image has one time;
    `resize_tile` names both steps.
    """
    time, height, width = size
    if method == "tile" and grid.shape[:2] != (height, width):
        return None
    return interpolate_grid(grid[None], (1, height, width)).expand(time, -1, -1, -1).clone()


def adapt_table_as_original(
    table: Float[Tensor, "n D"], num_tokens: int, times: int, method: PositionsInit
) -> Float[Tensor, "n2 D"]:
    """A table of positions for another number of tokens, as Scenic does it (`init_posemb`).

    It knows no height, width or time: `resize` takes both tables for squares, `tile` repeats the table as often as it
    fits, `resize_tile` resizes to num_tokens // times and then repeats. What comes out need not have `num_tokens` rows;
    there Scenic fails too.

    Args:
        table: [n, D], without the class token's position.
        num_tokens: of the model, without class token.
        times: tubelets along time, for `resize_tile`.
        method: as above.
    """
    if len(table) == num_tokens:
        return table
    if method != "tile":
        table = zoom_square(table, num_tokens if method == "resize" else num_tokens // times)
    if method != "resize":
        table = table.repeat(num_tokens // len(table) if len(table) else 0, 1)
    return table


def zoom_square(table: Float[Tensor, "n D"], num_tokens: int) -> Float[Tensor, "n2 D"]:
    """Zoom a table that stands for a square grid to isqrt(num_tokens) squared rows, linearly."""
    old, new = math.isqrt(len(table)), math.isqrt(num_tokens)
    if old * old != len(table):
        return table[:0]
    return zoom(table.unflatten(0, (old, old)), (new, new)).flatten(0, 1)


def zoom(grid: Float[Tensor, "*grid D"], size: tuple[int, ...]) -> Float[Tensor, "*grid2 D"]:
    """`scipy.ndimage.zoom(grid, ..., order=1)` to `size`, over all axes but the last: linear, corners on corners.

    Sample k of m over n values lies at k * ((n - 1) / (m - 1)). For some pairs (24 to 22, for example) rounding puts
    the last one behind the end, and SciPy gives 0 there; so does this, because Scenic's numbers are SciPy's.
    """
    result = grid.double()
    for axis, new in enumerate(size):
        weights = _linear_weights(grid.shape[axis], new)
        result = torch.tensordot(weights, result.movedim(axis, 0), dims=1).movedim(0, axis)
    return result.to(grid.dtype)


def _linear_weights(old: int, new: int) -> Tensor:
    """[new, old]: how much of each old value every new one takes."""
    step = (old - 1) / (new - 1) if new > 1 else 1.0
    position = torch.arange(new, dtype=torch.float64) * step
    below = position.floor().clamp(max=old - 1)
    weights = torch.zeros(new, old, dtype=torch.float64)
    rows = torch.arange(new)
    weights[rows, below.long()] += 1 - (position - below)
    weights[rows, (below.long() + 1).clamp(max=old - 1)] += position - below
    weights[position > old - 1] = 0
    return weights
