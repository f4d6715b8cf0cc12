"""How much memory a computation takes, and how much there is."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tubelet.config import ModelConfig
from tubelet.config.model_cost import stem_channels
from tubelet.errors import ConfigError


class _Allocations(TorchDispatchMode):
    """Counts the bytes of tensors that are alive; each storage once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._note(leaf.untyped_storage())
        return out

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known and self._known[key]() is not None:
            return

        def freed(_: Any) -> None:
            self.now -= size

        self._known[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)


def peak_memory(compute: Callable[[], Any]) -> int:
    """Peak bytes of the tensors that `compute` makes, without the temporary memory of single operations."""
    with _Allocations() as allocations:
        compute()
    return allocations.peak


KEPT_FLOATS = {
    "spatio_temporal": 9,
    "factorised_encoder": 9,
    "factorised_self_attention": 18,
    "factorised_dot_product": 13,
}
"""Activations of a block for each token, as multiples of its width (measured)."""

STEM_INPUT, STEM_MAPS = 3.2, 2.8
"""The same of the convolutional stem, for each value of a clip and for each value of its two feature maps."""


def expected_memory(config: ModelConfig, clips: int, bytes_each: int = 4, checkpointing: bool = False) -> int:
    """Bytes of the activations of a training step, by a formula: to a tenth or so.

    Args:
        config: of the model.
        clips: at once.
        bytes_each: of an element.
        checkpointing: activation checkpointing of blocks.
    """
    a_token = config.hidden_size * KEPT_FLOATS[config.variant]
    layers = config.num_layers * config.hidden_size + a_token if checkpointing else config.num_layers * a_token
    floats = float(config.num_tokens * layers)
    if config.embedding == "conv_stem":
        first, second = stem_channels(config.hidden_size)
        pixels = config.num_frames * math.prod(config.image_size)
        floats += pixels * (STEM_INPUT * config.in_channels + STEM_MAPS * (first / 4 + second / 16))
    return round(clips * floats * bytes_each)


def available_memory() -> int:
    """Bytes of main memory that are free for this process.

    Raises:
        ConfigError: this system does not say.
    """
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
        return min([free, *_left_in_control_groups()])
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2  # what others use is not said
    except (AttributeError, ValueError, OSError):
        raise ConfigError(
            "this system does not say how much memory is free, so no batch can be chosen by it; give "
            "accumulate_steps a number"
        ) from None


def _left_in_control_groups() -> list[int]:
    """What the limits of a container leave."""
    places = [
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ]
    left = []
    for limit, used in places:
        if Path(limit).is_file() and Path(used).is_file():
            text = Path(limit).read_text().strip()
            if text.isdigit():
                left.append(max(0, int(text) - int(Path(used).read_text())))
    return left
