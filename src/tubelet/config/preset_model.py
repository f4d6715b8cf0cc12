"""The model of a training, where a preset, a recipe, files and flags each set fields of it.

the preset that the user names          sets the sizes
fields of the model that the user set   override it
the recipe                              adds the rest, as far as it fits
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from tubelet.config.model import ModelConfig
from tubelet.config.preset_table import preset
from tubelet.errors import ConfigError

SIZES = (
    "variant",
    "image_size",
    "num_frames",
    "in_channels",
    "tubelet_size",
    "sampled_frames",
    "hidden_size",
    "num_layers",
    "num_heads",
    "mlp_dim",
    "temporal_layers",
    "attention_order",
)
"""Fields of the model that a preset decides."""

GIVES_WAY = (
    "temporal_layers",
    "attention_order",
    "sampled_frames",
    "tubelet_size",
    "pool",
    "embedding",
    "head_norm",
    "residual_init",
    "positions",
)
"""Fields of a recipe's model that have no meaning in every model, and are left out where they do not fit."""


def recipe_fields(
    name: str, recipe: Mapping[str, Any], typed: Mapping[str, Any], *, named: bool, where: str = ""
) -> dict[str, Any]:
    """The fields of a recipe's model that remain beside a preset and the fields that a user typed.

    `named` is whether the user named the preset: its sizes then win over the recipe's. `where` has the files in which
    fields were typed, for the error: "run.toml: ".
    """
    rest = {field: value for field, value in recipe.items() if field not in typed}
    if not typed and not named:
        return rest
    sizes = None
    if named:
        rest = {field: value for field, value in rest.items() if field not in SIZES}
        sizes = _sizes(_typed_model(name, typed, where))
    candidates = [field for field in GIVES_WAY if field in rest]
    for count in range(len(candidates) + 1):
        for left_out in itertools.combinations(candidates, count):
            kept = {field: value for field, value in rest.items() if field not in left_out}
            model = _built(name, {**kept, **typed})
            if model is not None and sizes in (None, _sizes(model)):
                return kept
    return rest  # building it raises the error


def _typed_model(name: str, typed: Mapping[str, Any], where: str) -> ModelConfig:
    """The preset with the fields that were typed."""
    preset(name)
    try:
        return preset(name, **typed)
    except ConfigError as error:
        raise ConfigError(f"{where}preset={name} and {_in_words(typed)} do not go together: {error}") from error


def _built(name: str, fields: Mapping[str, Any]) -> ModelConfig | None:
    try:
        return preset(name, **fields)
    except ConfigError:
        return None


def _sizes(model: ModelConfig) -> dict[str, Any]:
    return {name: getattr(model, name) for name in SIZES}


def _in_words(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in fields.items())
