"""What the C library does with large blocks of memory that were freed."""

from __future__ import annotations

import ctypes
import os
import platform

from torch import nn

BLOCK = 2**20
"""Bytes from which a block goes back to the system as soon as it is freed."""

LARGE_MODEL = 50_000_000
"""Parameters from which a step spends little enough of its time on new pages."""

_MMAP_THRESHOLD = -3  # of mallopt, in glibc's malloc.h


def return_freed_blocks(model: nn.Module) -> bool:
    """Give tensors of a megabyte and more back to the system when they are freed, if `model` is a large one.

    glibc keeps freed blocks of up to 32 MB for itself, and a training step, whose blocks are of all sizes and live for
    all spans of time, leaves holes that nothing fits into. Giving them back takes less memory and more time
    (docs/performance.md has figures for ViViT-B), so it is for those who have chosen that already: a training with
    activation checkpointing. Small models, whose steps spend their time on small tensors, would lose up to half of
    their speed to new pages, and are left as they are. So is a process that is started with MALLOC_MMAP_THRESHOLD_ set.

    Returns:
        whether the C library was told so, for the rest of the process: it is glibc, and the model large.
    """
    if "MALLOC_MMAP_THRESHOLD_" in os.environ or platform.libc_ver()[0] != "glibc":
        return False
    if sum(parameter.numel() for parameter in model.parameters()) < LARGE_MODEL:
        return False
    return bool(ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, BLOCK))
