"""Flags out of the configuration's own dataclasses, so that a new setting is a new flag."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import typing
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

import tyro

from tubelet.config import ModelConfig, PreprocessingConfig, PretrainConfig, TrainConfig
from tubelet.errors import ConfigError

ALIASES = {"learning_rate": ["--lr"]}
NOT_FLAGS = {
    "source",  # the word DATA
    "num_classes",  # the data's
    "multi_label",  # the data's
    "crop_size",  # the model's image_size
    "median_frames",  # of the training videos
}
AS_JSON = ("flip_labels", "reverse_labels", "fractions")
"""Fields that are tables; a flag takes them as JSON, a file as TOML."""

EXAMPLES = {
    "flip_labels": '{"label": {"swipe left": "swipe right"}}',
    "reverse_labels": '{"label": {"sit": "stand"}}',
    "fractions": '{"train": 0.8, "val": 0.2}',
}

ORDER = (
    "optimisation",
    "masking",
    "model",
    "preprocessing",
    "data",
    "augmentation",
    "validation",
    "runtime",
    "monitoring",
    "adaptation",
)
"""Of the groups in the help."""


def flags_of(config: Any, name: str, without: Collection[str] = ()) -> type:
    """A dataclass with a field for each setting of `config`, which has the values there as defaults.

    Args:
        config: a dataclass; its docstring is the help.
        name: heading of these flags in the help.
        without: fields that are no flags.
    """
    hints = typing.get_type_hints(type(config))
    fields = []
    for field in dataclasses.fields(config):
        if field.name not in NOT_FLAGS and field.name not in without:
            hint, value = hints[field.name], getattr(config, field.name)
            if field.name in AS_JSON:
                hint, value = str, json.dumps(value)
            if field.name == "batch_size" and "fit_memory" not in without:
                hint = int | Literal["auto"]  # see `tubelet.config.override`
            fields.append((field.name, _annotated(field.name, hint), _default(value)))
    return _made(name, fields, type(config).__doc__)


def optional_flags_of(
    cls: type, name: str, shown: Mapping[str, Any] | None = None, without: Collection[str] = ()
) -> type:
    """A dataclass with a field for each of `cls`, None where no flag is given.

    Args:
        cls: a dataclass; its docstring is the help.
        name: heading of these flags in the help.
        shown: values that the help gives as defaults.
        without: fields that are no flags.
    """
    hints = typing.get_type_hints(cls)
    fields = []
    for field in dataclasses.fields(cls):
        if field.name not in NOT_FLAGS and field.name not in without:
            default = None if shown is None else shown.get(field.name)
            hint = _size_or_pair(hints[field.name]) if field.name == "image_size" else hints[field.name]
            fields.append((field.name, _annotated(field.name, hint | None, default), _default(None)))
    return _made(name, fields, cls.__doc__)


def model_flags(shown: ModelConfig | None = None, without: Collection[str] = ()) -> type:
    """Fields of `ModelConfig`, each optional."""
    values = None if shown is None else {field.name: getattr(shown, field.name) for field in dataclasses.fields(shown)}
    return optional_flags_of(ModelConfig, "Model", values, without)


def given(flags: Any) -> dict[str, Any]:
    """The optional flags that were given, by field name."""
    values = {field.name: getattr(flags, field.name) for field in dataclasses.fields(flags)}
    return {name: value for name, value in values.items() if value is not None}


def changed(flags: Any, config: Any) -> dict[str, Any]:
    """The settings whose flags say something else than `config`."""
    changes = {}
    for field in dataclasses.fields(flags):
        value, before = getattr(flags, field.name), getattr(config, field.name)
        if field.name in AS_JSON:
            value = _from_json(field.name, value)
        if value != before:
            changes[field.name] = value
    return changes


def groups_of(config: TrainConfig | PretrainConfig) -> dict[str, Any]:
    """The parts of a training's configuration that are dataclasses, by name."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return {name: value for name, value in values.items() if dataclasses.is_dataclass(value)}


def training_flags(
    config: TrainConfig | PretrainConfig, model: ModelConfig | None, without: Collection[str] = ()
) -> list[tuple[str, Any, Any]]:
    """Fields for a dataclass of options: one group of flags for each group of the configuration.

    Args:
        config: whose values are the defaults.
        model: what the help shows as the model's defaults.
        without: fields that are no flags.
    """
    groups = [(name, flags_of(value, name.capitalize(), without)) for name, value in groups_of(config).items()]
    preprocessing = dict(config.preprocessing)
    groups.append(("model", model_flags(model, without)))
    groups.append(
        ("preprocessing", optional_flags_of(PreprocessingConfig, "Preprocessing", preprocessing, ("num_frames",)))
    )
    groups.sort(key=lambda group: ORDER.index(group[0]) if group[0] in ORDER else len(ORDER))
    return [(name, cls, dataclasses.field(default_factory=cls)) for name, cls in groups]


def training_changes(options: Any, config: TrainConfig | PretrainConfig) -> dict[str, Any]:
    """What the flags of `training_flags` change, as `tubelet.train` takes it."""
    changes: dict[str, Any] = {}
    for name, group in groups_of(config).items():
        changes.update(changed(getattr(options, name), group))
    for name in ("model", "preprocessing"):
        fields = given(getattr(options, name))
        if fields:
            changes[name] = fields
    return changes


def in_flags(text: str) -> str:
    """A sentence of the library, with flags instead of fields: `hold_out=0.1` becomes `--hold-out 0.1`."""

    def flag(found: re.Match[str]) -> str:
        name, value = found["name"], found["value"].strip("'")
        if name not in _flag_names():
            return found[0]
        word = "--" + name.replace("_", "-")
        return word if value == "True" else f"{word} {value}"

    return re.sub(r"\b(?P<name>[a-z_]+)=(?P<value>'[^']*'|[^\s,;()]*[^\s,;().])", flag, text)


@functools.cache
def _flag_names() -> frozenset[str]:
    groups = [*groups_of(TrainConfig()).values(), TrainConfig()]
    names = {field.name for group in groups for field in dataclasses.fields(group)}
    described = (*dataclasses.fields(ModelConfig), *dataclasses.fields(PreprocessingConfig))
    return frozenset(names | {field.name for field in described}) - NOT_FLAGS


def _annotated(name: str, hint: Any, shown: Any = None) -> Any:
    how: dict[str, Any] = {}
    if name in ALIASES:
        how["aliases"] = ALIASES[name]
    if shown is not None:
        how["help_behavior_hint"] = f"(default: {shown})"
    return Annotated[hint, tyro.conf.arg(**how)] if how else hint


def _size_or_pair(hint: Any) -> Any:
    """`image_size` may be one number for a square."""
    return int | hint


def _default(value: Any) -> Any:
    return dataclasses.field(default_factory=lambda: value)


def _made(name: str, fields: list[tuple[str, Any, Any]], doc: str | None) -> type:
    made = dataclasses.make_dataclass(name, fields, frozen=True, kw_only=True)
    made.__doc__ = doc
    return made


def _from_json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        flag = "--" + name.replace("_", "-")
        raise ConfigError(f"{flag}: {text!r} is not JSON ({error}); write it like {flag} '{EXAMPLES[name]}'") from error
