"""The models of the paper by name, and the function that builds one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tubelet.config import ModelConfig, did_you_mean, replace
from tubelet.errors import ConfigError

if TYPE_CHECKING:
    from tubelet.model import ViViT

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 192, "num_layers": 12, "num_heads": 3, "mlp_dim": 768},
    "small": {"hidden_size": 384, "num_layers": 12, "num_heads": 6, "mlp_dim": 1536},
    "base": {"hidden_size": 768, "num_layers": 12, "num_heads": 12, "mlp_dim": 3072},
    "large": {"hidden_size": 1024, "num_layers": 24, "num_heads": 16, "mlp_dim": 4096},
    "huge": {"hidden_size": 1280, "num_layers": 32, "num_heads": 16, "mlp_dim": 5120},
}
"""Base, large and huge as in the paper (section 4.1); tiny and small as in DeiT (Touvron et al., 2021)."""

TUBELETS: dict[str, tuple[int, int, int]] = {"16x2": (2, 16, 16), "16x4": (4, 16, 16), "16x8": (8, 16, 16)}
HUGE_TUBELETS: dict[str, tuple[int, int, int]] = {"14x2": (2, 14, 14)}

VARIANTS: dict[str, str] = {
    "": "spatio_temporal",
    "_fe": "factorised_encoder",
    "_fsa": "factorised_self_attention",
    "_fdp": "factorised_dot_product",
}


def presets() -> dict[str, ModelConfig]:
    """Every preset by name: `vivit_{size}_{patch}x{frames}{variant}`, 32 frames of 224 x 224, 400 classes.

    The factorised encoder has 4 temporal layers, as in the paper's ablations; the released large models for Kinetics
    have 24 (`temporal_layers=24`).
    """
    table = {}
    for size, dimensions in SIZES.items():
        for patch, tubelet_size in (HUGE_TUBELETS if size == "huge" else TUBELETS).items():
            for suffix, variant in VARIANTS.items():
                fields: dict[str, Any] = {**dimensions, "tubelet_size": tubelet_size, "variant": variant}
                if variant == "factorised_dot_product" and fields["num_heads"] % 2:
                    fields["num_heads"] += 1  # half of the heads for time, half for space
                table[f"vivit_{size}_{patch}{suffix}"] = ModelConfig(**fields)
    return table


def preset(name: str, **overrides: Any) -> ModelConfig:
    """The configuration of a preset, with fields of `ModelConfig` overridden by name.

    Raises:
        ConfigError: no such preset, no such field, or values that do not fit together.
    """
    table = presets()
    if name not in table:
        raise ConfigError(f"unknown preset {name!r}{did_you_mean(name, table)}")
    return replace(table[name], **overrides)


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
        named = labels if isinstance(labels, dict) else {"label": list(labels)}
        sizes = {head: len(names) for head, names in named.items()}
        overrides.setdefault("num_classes", sizes if isinstance(labels, dict) else sizes["label"])
        labels = named
    config = preset(model, **overrides) if isinstance(model, str) else replace(model, **overrides)
    return ViViT(config, labels=labels)
