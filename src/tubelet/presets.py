"""The function that builds a model by name. The table of names and sizes is `tubelet.config.preset_table`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tubelet.config import ModelConfig, replace
from tubelet.config.preset_table import SIZES, preset, presets

if TYPE_CHECKING:
    from tubelet.model import ViViT

__all__ = ["SIZES", "create", "preset", "presets"]


def create(model: str | ModelConfig, /, **overrides: Any) -> ViViT:
    """Build a model with new, random weights.

    Args:
        model: a preset's name (`tubelet models` lists them) or a configuration.
        overrides: fields of `ModelConfig` by name: `num_classes=5, image_size=(128, 160)`. `labels=[...]` (or
            a dictionary of head name to names) sets the class names, and with them `num_classes`.

    Returns:
        a `ViViT`, in training mode, on the CPU.

    Raises:
        ConfigError: no such preset, no such field, or values that do not fit together.
    """
    from tubelet.model import ViViT

    labels = overrides.pop("labels", None)
    if labels is not None:
        named = labels if isinstance(labels, dict) else {"label": labels}
        sizes = {head: len(names) for head, names in named.items()}
        overrides.setdefault("num_classes", sizes if isinstance(labels, dict) else sizes["label"])
        labels = named
    config = preset(model, **overrides) if isinstance(model, str) else replace(model, **overrides)
    return ViViT(config, labels=labels)
