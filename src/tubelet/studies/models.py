"""The base's model with other fields: what does not fit another variant or embedding is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tubelet.config import ModelConfig, TrainConfig
from tubelet.errors import ConfigError
from tubelet.presets import preset

VARIANTS = {
    "model-1": ("spatio-temporal attention (1)", "spatio_temporal"),
    "model-2": ("factorised encoder (2)", "factorised_encoder"),
    "model-3": ("factorised self-attention (3)", "factorised_self_attention"),
    "model-4": ("factorised dot-product (4)", "factorised_dot_product"),
}
"""Names of folders: labels, and what `ModelConfig.variant` calls them."""

OWN_FIELDS = {
    "temporal_layers": ("factorised_encoder",),
    "attention_order": ("factorised_self_attention",),
}


def model_of(base: TrainConfig) -> ModelConfig:
    """The model that a configuration describes.

    Raises:
        ConfigError: only its weights know.
    """
    if base.preset is None:
        raise ConfigError("a study that varies the model needs its name: set preset; `tubelet models` lists them")
    return preset(base.preset, **base.model)


def with_model(base: TrainConfig, **fields: Any) -> TrainConfig:
    """The training of another model."""
    model = {**base.model, **fields}
    variant = fields.get("variant", model_of(base).variant)
    for name, owners in OWN_FIELDS.items():
        if variant not in owners and name not in fields:
            model.pop(name, None)
    if variant in ("factorised_self_attention", "factorised_dot_product") and model.get("pool") == "cls":
        model.pop("pool")
    if fields.get("embedding", "uniform_frames") != "uniform_frames":
        model.pop("sampled_frames", None)
    return replace(base, model=model)


def with_size(base: TrainConfig, size: int) -> TrainConfig:
    """The training on frames of another size, resized as much before the crop as the base's are."""
    config = with_model(base, image_size=size)
    before = min(model_of(base).image_size)
    if "resize" not in base.preprocessing:
        return config
    resize = max(size, round(base.preprocessing["resize"] * size / before))
    return replace(config, preprocessing={**base.preprocessing, "resize": resize})
