"""LoRA through peft: small matrices beside the linear layers of the blocks learn instead of them (Hu et al., 2022).

A layer's output gets SCALE * B A x added, with A [r, in] drawn at random and B [out, r] zero at first. Checkpoints hold
A and B; what is delivered is a plain model with SCALE * B A added to the layer's weights, exact up to rounding.
"""

from __future__ import annotations

import copy
from typing import Any

from tubelet.errors import ConfigError
from tubelet.given_model import require_as_configured
from tubelet.model import ViViT

LAYERS = r"(.*\.)?blocks\.\d+\.(.*\.)?(qkv|out|fc1|fc2)"
"""Full names of the layers that get an adapter: all linear ones of the blocks, in every variant."""

SCALE = 2
"""Factor on B A, whatever the rank; peft's `lora_alpha` is this times the rank."""

RATE = 10.0
"""Factor on the learning rate of adapters: they are best at about ten times that of whole layers (Schulman, 2025)."""

MARK = ".lora_"
"""In the names of an adapter's parameters."""


def add_adapters(model: ViViT, rank: int) -> None:
    """Put adapters beside the linear layers of a model's blocks; they and the head learn, and nothing else.

    The embedding, with its BatchNorms, is in evaluation mode. What the model computes stays the same.

    Args:
        model: with layers as its configuration describes them; it is changed.
        rank: rows of A, columns of B.

    Raises:
        ConfigError: peft is not installed, or a layer of the model was replaced.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError(f"lora={rank} needs peft: pip install 'tubelet[lora]'") from error
    require_as_configured(model, f"lora={rank}")
    model.freeze("embedding")
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=LAYERS), model)
    model.head.requires_grad_(True)


def is_adapter(name: str) -> bool:
    """Whether a parameter is an adapter's, by its name."""
    return MARK in name


def merged(model: ViViT) -> ViViT:
    """A copy of a model with its adapters added to their layers: a plain ViViT.

    Args:
        model: with adapters, which stay as they are.
    """
    from peft.tuners.lora import LoraLayer

    plain = copy.deepcopy(model)
    layers: dict[str, Any] = {name: one for name, one in plain.named_modules() if isinstance(one, LoraLayer)}
    for name, layer in layers.items():
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(plain.get_submodule(parent), child, layer.get_base_layer())
    plain.requires_grad_(True)
    plain.freeze("none")
    return plain
