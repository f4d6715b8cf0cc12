"""The models of the paper by name: one literal table of sizes."""

from __future__ import annotations

import functools
from typing import Any

from tubelet.config.model import ModelConfig, replace
from tubelet.errors import ConfigError
from tubelet.text import did_you_mean

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
    return dict(_table())


@functools.cache
def _table() -> dict[str, ModelConfig]:
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
    table = _table()
    if str(name) not in table:  # files say anything
        raise ConfigError(f"unknown preset {name!r}{did_you_mean(str(name), table)}")
    return replace(table[name], **overrides)
