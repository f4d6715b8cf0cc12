"""Frames of another size: to the bit what torchvision makes of them, without the import of it, which takes seconds."""

from __future__ import annotations

import platform
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor


def resize_frames(
    frames: UInt8[Tensor, "*T C H W"],
    size: tuple[int, int],
    *,
    interpolation: Literal["bilinear", "bicubic"] = "bilinear",
    antialias: bool = True,
) -> UInt8[Tensor, "*T C h w"]:
    """Resize to (height, width): the same bits as `torchvision.transforms.v2.functional.resize`.

    Args:
        frames: any number of leading dimensions, none included.
        size: (height, width) in pixels.
        interpolation: `bilinear` or `bicubic`.
        antialias: low-pass filter when shrinking.
    """
    channels, height, width = frames.shape[-3:]
    if (height, width) == size:
        return frames
    lead = frames.shape[:-3]
    pictures = frames.reshape(-1, channels, height, width)
    if len(pictures) == 1 and pictures.is_contiguous(memory_format=torch.channels_last):
        # interpolate takes a single picture for planes, whatever its layout, unless its stride says otherwise
        strides = (pictures.numel(), *pictures.stride()[1:])
        pictures = pictures.as_strided((1, channels, height, width), strides)
    native = frames.device.type == "cpu" and (interpolation == "bicubic" or _resizes_bytes())
    if not native:
        pictures = pictures.float()
    resized = F.interpolate(pictures, size=size, mode=interpolation, align_corners=False, antialias=antialias)
    if not native:
        if interpolation == "bicubic":
            resized = resized.clamp_(0, 255)
        resized = resized.round_().to(torch.uint8)
    return resized.reshape(*lead, channels, *size)


def _resizes_bytes() -> bool:
    """Whether torch has a fast bilinear kernel for uint8 here; torchvision goes by the same rule."""
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") or platform.machine() in ("aarch64", "arm64")
