"""A page of every configuration class with its fields, and one of the recipes."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from importlib.resources import files
from typing import Any

import docstring_parser

from _site.tables import code, table
from tubelet import config
from tubelet.config import recipes
from tubelet.config.public_weights import PUBLIC_WEIGHTS

CLASSES = [
    *("TrainConfig", "ModelConfig", "PreprocessingConfig", "DataConfig", "AugmentationConfig"),
    *("OptimisationConfig", "ValidationConfig", "RuntimeConfig", "MonitoringConfig", "AdaptationConfig"),
    *("PretrainConfig", "MaskingConfig", "ShardConfig"),
]
"""In the order in which somebody needs them."""


def pages() -> dict[str, str]:
    """File below `reference/` -> Markdown."""
    parts = [
        "# Every setting",
        "The same names in Python (`tubelet.train(..., learning_rate=1e-4)`), in TOML (`[optimisation]`, then "
        "`learning_rate = 1e-4`) and on the command line (`--learning-rate 1e-4`). An unknown name is an error that "
        "names the nearest. Order: preset, recipe, `--config`, flags.",
        *(_section(getattr(config, name)) for name in CLASSES),
    ]
    return {
        "configuration.md": "\n\n".join(parts) + "\n",
        "recipes.md": _recipes(),
        "public-weights.md": _public_weights(),
    }


def _section(cls: Any) -> str:
    said = docstring_parser.parse(inspect.getdoc(cls) or "", docstring_parser.DocstringStyle.GOOGLE)
    meanings = {name: param.description or "" for param in said.params for name in re.split(r",\s*", param.arg_name)}
    hints = typing.get_type_hints(cls)
    rows = [
        [code(field.name), code(_type(hints[field.name])), code(_default(field)), _line(meanings[field.name])]
        for field in dataclasses.fields(cls)
    ]
    about = "\n\n".join(part for part in (said.short_description, said.long_description) if part)
    return f"## {cls.__name__}\n\n{about}\n\n{table(('field', 'type', 'default', 'meaning'), rows)}"


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def _type(hint: Any) -> str:
    shown = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
    return re.sub(r"\b(?:typing|collections\.abc|tubelet(?:\.\w+)+)\.", "", shown)


def _default(field: Any) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    if field.default_factory is dataclasses.MISSING:
        return "required"
    value = field.default_factory()
    return f"{type(value).__name__}()" if dataclasses.is_dataclass(value) else repr(value)


def _public_weights() -> str:
    head = ("weights", "model", "preprocessing", "licence", "top-1, as published", "load")
    rows = [
        [code(one.name), one.model, one.preprocessing, one.licence, one.accuracy or "", code(one.load)]
        for one in PUBLIC_WEIGHTS
    ]
    return (
        "# Public weights\n\n`tubelet models --public` prints this too, with the command that starts a training from "
        "each. Licences and figures are those of the publishers (README of Scenic, cards on the Hub). Scenic's files "
        "are downloaded first: `curl -O ADDRESS`. [Weights](../weights.md) says what is carried over.\n\n"
        + table(head, rows)
    )


def _recipes() -> str:
    parts = [
        "# Every recipe",
        "Whole configurations: `tubelet train DATA --recipe NAME`, `tubelet.train(..., recipe=NAME)`.",
    ]
    for name in recipes():
        text = files("tubelet").joinpath("recipes", f"{name}.toml").read_text(encoding="utf-8")
        parts.append(f"## {name}\n\n```toml\n{text.strip()}\n```")
    return "\n\n".join(parts) + "\n"
