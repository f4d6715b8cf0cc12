"""Where in the frame a training clip looks: scale jitter and crop, the same for all frames."""

from __future__ import annotations

from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from tubelet.config import AugmentationConfig, PreprocessingConfig
from tubelet.data.draws import Draws, integer, uniform


def crop_region(
    height: int, width: int, augmentation: AugmentationConfig, preprocessing: PreprocessingConfig, draws: Draws
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the region that becomes the crop.

    Scale jitter of the original (`scale_jitter_augm`, DMVR): height and width are stretched by independent factors,
    then a crop is taken at random. Cropping a region that is smaller by these factors and resizing only that is the
    same up to a fraction of a pixel, and much less work. A frame is never stretched to less than the crop.
    """
    crop_height, crop_width = preprocessing.crop_size
    scale = draws.of("scale")
    region_height = min(height, max(1, round(crop_height / uniform(scale, *augmentation.scale_jitter))))
    region_width = min(width, max(1, round(crop_width / uniform(scale, *augmentation.scale_jitter))))
    spare_height, spare_width = height - region_height, width - region_width
    if augmentation.crop == "centre":
        return -(-spare_height // 2), -(-spare_width // 2), region_height, region_width
    crop = draws.of("crop")
    return integer(crop, spare_height + 1), integer(crop, spare_width + 1), region_height, region_width


def jitter_crop(
    frames: UInt8[Tensor, "T 3 H W"], augmentation: AugmentationConfig, preprocessing: PreprocessingConfig, draws: Draws
) -> UInt8[Tensor, "T 3 h w"]:
    """Crop the drawn region out of resized frames and make it `crop_size`."""
    top, left, height, width = crop_region(frames.shape[-2], frames.shape[-1], augmentation, preprocessing, draws)
    region = frames[..., top : top + height, left : left + width]
    if (height, width) == tuple(preprocessing.crop_size):
        return region
    mode = InterpolationMode.BICUBIC if preprocessing.interpolation == "bicubic" else InterpolationMode.BILINEAR
    return transforms.resize(
        region, list(preprocessing.crop_size), interpolation=mode, antialias=preprocessing.antialias
    )
