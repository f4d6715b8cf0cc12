"""Dataclasses to plain dictionaries and back, strictly: an unknown key or a wrong type is an error that helps."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from tubelet.errors import ConfigError
from tubelet.text import did_you_mean

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as JSON-ready data: nested dataclasses become dictionaries, tuples become lists."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def from_dict(cls: type[T], data: Mapping[str, Any], *, where: str = "") -> T:
    """Build the dataclass `cls` from a dictionary.

    Args:
        cls: a dataclass type.
        data: field name to value; lists are taken where tuples are declared.
        where: what the dictionary is, for the error ("runs/x/config.json: model").

    Raises:
        ConfigError: an unknown key (with the nearest field name), a missing one, or a value of the wrong type.
    """
    prefix = f"{where}: " if where else ""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{prefix}expected a table of {cls.__name__} fields, got {type(data).__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise ConfigError(f"{prefix}unknown field {key!r} of {cls.__name__}{did_you_mean(key, fields)}")
    hints = _hints(cls)  # type: ignore[arg-type]  # classes are hashable
    values = {key: as_type(value, hints[key], f"{prefix}{key}") for key, value in data.items()}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"{prefix}the field {name!r} of {cls.__name__} is missing")
    return cls(**values)


def check_types(config: Any) -> None:
    """Hold a constructed dataclass to its declared types, and its numbers to finite ones; a ConfigError otherwise."""
    hints = _hints(type(config))  # type: ignore[arg-type]  # classes are hashable
    for field in dataclasses.fields(config):
        _require_finite(as_type(getattr(config, field.name), hints[field.name], field.name), field.name)


def as_type(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint`, or a ConfigError that names `where` it comes from.

    Only lists (to tuples), tables (to dataclasses) and whole numbers (to floats) are converted.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _coerce_union(value, args, where)
    if origin is Literal:
        if value not in args:
            choices = ", ".join(repr(arg) for arg in args)
            raise ConfigError(f"{where}={value!r} is not one of {choices}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list, got {value!r}")
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(as_type(item, args[0], where) for item in value)
        if len(value) != len(args):
            raise ConfigError(f"{where}: expected {len(args)} values, got {len(value)}: {value!r}")
        return tuple(as_type(item, arg, where) for item, arg in zip(value, args, strict=True))
    if origin is list:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list, got {value!r}")
        return [as_type(item, args[0], where) for item in value]
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected a table, got {value!r}")
        return {as_type(k, args[0], where): as_type(v, args[1], where) for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_dict(hint, value, where=where)  # type: ignore[arg-type]
    return _coerce_plain(value, hint, where)


def _require_finite(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: expected a finite number, got {value}")
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        _require_finite(part, where)


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    """The types of the fields of a dataclass; resolving them is slow."""
    return typing.get_type_hints(cls)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _coerce_union(value: Any, args: tuple[Any, ...], where: str) -> Any:
    if value is None and type(None) in args:
        return None
    reasons = []
    for arg in args:
        if arg is not type(None):
            try:
                return as_type(value, arg, where)
            except ConfigError as error:
                reasons.append(str(error))
    raise ConfigError(reasons[0] if len(reasons) == 1 else "; or ".join(reasons))


def _coerce_plain(value: Any, hint: type, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) and hint is not bool:
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}")
    if not isinstance(value, hint):
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value
