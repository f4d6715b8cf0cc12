"""The transforms of torchvision. Importing torchvision 0.24 or 0.25 turns PyAV's log on, and decoders then run in one
thread (`video/pyav_stream.py`); the log is left as it was."""

import av.logging

_level = av.logging.get_level()

from torchvision.transforms.v2 import InterpolationMode, RandAugment  # noqa: E402
from torchvision.transforms.v2 import functional as functional  # noqa: E402

av.logging.set_level(_level)

__all__ = ["InterpolationMode", "RandAugment", "functional"]
