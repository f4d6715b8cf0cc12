"""Scale jitter, crop and rotation of a training clip, the same for all frames."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from tubelet.config import AugmentationConfig, PreprocessingConfig
from tubelet.data.draws import Draws, integer, uniform
from tubelet.video.resize import resize_frames


def crop_region(
    height: int, width: int, augmentation: AugmentationConfig, preprocessing: PreprocessingConfig, draws: Draws
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the region that becomes the crop.

    Scale jitter as in Scenic (`scale_jitter_augm` of DMVR): height and width are stretched by independent factors,
    then a crop is taken at random. Cropping a region that is smaller by these factors and resizing only that is the
    same up to a fraction of a pixel, and much less work. A frame is never stretched to less than the crop.
    """
    crop_height, crop_width = preprocessing.crop_size
    scale = draws.rng("scale")
    region_height = min(height, max(1, round(crop_height / uniform(scale, *augmentation.scale_jitter))))
    region_width = min(width, max(1, round(crop_width / uniform(scale, *augmentation.scale_jitter))))
    spare_height, spare_width = height - region_height, width - region_width
    if augmentation.crop == "centre":
        return -(-spare_height // 2), -(-spare_width // 2), region_height, region_width
    crop = draws.rng("crop")
    return integer(crop, spare_height + 1), integer(crop, spare_width + 1), region_height, region_width


def jitter_crop(
    frames: UInt8[Tensor, "T 3 H W"], augmentation: AugmentationConfig, preprocessing: PreprocessingConfig, draws: Draws
) -> UInt8[Tensor, "T 3 h w"]:
    """Crop a random region, rotated by a random angle, out of resized frames, and resize it to `crop_size`."""
    region = crop_region(frames.shape[-2], frames.shape[-1], augmentation, preprocessing, draws)
    if augmentation.rotate:
        angle = uniform(draws.rng("rotate"), -augmentation.rotate, augmentation.rotate)
        return rotated_crop(frames, region, angle, preprocessing.crop_size)
    top, left, height, width = region
    cropped = frames[..., top : top + height, left : left + width]
    if (height, width) == tuple(preprocessing.crop_size):
        return cropped
    return resize_frames(
        cropped,
        preprocessing.crop_size,
        interpolation=preprocessing.interpolation,
        antialias=preprocessing.antialias,
    )


def rotated_crop(
    frames: UInt8[Tensor, "T 3 H W"], region: tuple[int, int, int, int], angle: float, size: tuple[int, int]
) -> UInt8[Tensor, "T 3 h w"]:
    """A region (top, left, height, width) of the frames, rotated about its own centre, resized to `size` (h, w).

    The angle is in degrees; the content turns clockwise. Bilinear, in one pass.
    """
    top, left, height, width = region
    turn = math.radians(angle)
    rows = (torch.arange(size[0]) + 0.5) / size[0] * height - height / 2
    columns = (torch.arange(size[1]) + 0.5) / size[1] * width - width / 2
    y, x = rows[:, None], columns[None, :]
    across = left + width / 2 + x * math.cos(turn) + y * math.sin(turn)
    down = top + height / 2 - x * math.sin(turn) + y * math.cos(turn)
    grid = torch.stack([2 * across / frames.shape[-1] - 1, 2 * down / frames.shape[-2] - 1], dim=-1)
    pictures = frames.flatten(0, 1)[None].float()
    sampled = F.grid_sample(pictures, grid[None], mode="bilinear", padding_mode="border", align_corners=False)
    return sampled[0].round_().to(torch.uint8).unflatten(0, frames.shape[:2])
