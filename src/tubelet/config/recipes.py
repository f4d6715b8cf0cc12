"""Whole trainings as TOML: the package's recipes, and files of one's own on top of them."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from tubelet.config.pretraining import PretrainConfig, for_pretraining
from tubelet.config.serialise import did_you_mean, from_dict, to_dict
from tubelet.config.training import TrainConfig
from tubelet.errors import ConfigError

C = TypeVar("C", TrainConfig, PretrainConfig)

MERGED = ("model", "preprocessing")
"""Fields of `TrainConfig` that are dictionaries: new entries are added to them."""

AUTO_BATCH = ("batch_size", "auto")
"""Another way to say `fit_memory=True`: the recipe's batch, in parts that fit."""


def recipes() -> dict[str, str]:
    """The recipes of the package: name to the first line of its header."""
    folder = resources.files("tubelet") / "recipes"
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".toml"):
            found[entry.name.removesuffix(".toml")] = entry.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
    return found


def default_recipe(init: str | None, *, given: bool = False) -> tuple[str, str]:
    """The recipe for a training that names none, and why it is that one.

    Args:
        init: what the weights start from.
        given: whether a model was handed over, whose weights are what training starts from.
    """
    if given:
        return "fine-tune", "the weights are those of the model: the recipe fine-tune, with small steps and few epochs"
    if init is None:
        return "small-data", "the weights start at random: the recipe small-data, which is made for few videos"
    return "fine-tune", f"the weights start from {init}: the recipe fine-tune, with small steps and few epochs"


def train_config(
    recipe: str | os.PathLike[str] | None = None, *files: str | os.PathLike[str], **fields: Any
) -> TrainConfig:
    """A configuration out of a recipe, files on top of it, and fields on top of those.

    Args:
        recipe: name of a recipe of the package, or a TOML file; None is `default_recipe` of the `init` that files and
            fields name.
        files: TOML files with the tables and keys of `TrainConfig`; later ones win.
        fields: of `TrainConfig` and its groups, by their own names: `epochs=5, seed=1, mixup=0.2`.

    Raises:
        ConfigError: no such recipe or file, or an unknown key, with the nearest one.
    """
    tables = [_read(Path(file)) for file in files]
    init = fields.get("init") or next((table["init"] for table in reversed(tables) if "init" in table), None)
    name = default_recipe(init)[0] if recipe is None else recipe
    merged: dict[str, Any] = {"recipe": str(name)}
    for table in (_read_recipe(name), *tables):
        merged = _merged(merged, table)
    where = " + ".join([str(name), *map(str, files)])
    return override(from_dict(TrainConfig, merged, where=where), **fields)


def pretrain_config(
    recipe: str | os.PathLike[str] | None = None, *files: str | os.PathLike[str], **fields: Any
) -> PretrainConfig:
    """The configuration of a pretraining: model, frames and augmentation of a recipe for trainings, then files, then
    fields.

    So what comes out starts a training with that recipe.

    Args:
        recipe: as in `train_config`.
        files: TOML files with the tables and keys of `PretrainConfig`; later ones win.
        fields: of `PretrainConfig` and its groups, by their own names: `epochs=50, mask_ratio=0.9`.

    Raises:
        ConfigError: no such recipe or file, or an unknown key, with the nearest one.
    """
    tables = [_read(Path(file)) for file in files]
    init = fields.get("init") or next((table["init"] for table in reversed(tables) if "init" in table), None)
    merged = to_dict(for_pretraining(train_config(recipe, **({} if init is None else {"init": init}))))
    for table in tables:
        merged = _merged(merged, table)
    return override(from_dict(PretrainConfig, merged, where=" + ".join(map(str, files))), **fields)


def override(config: C, **fields: Any) -> C:
    """Change fields of a configuration or of its groups by their own names: `epochs=5, seed=1, mixup=0.2`.

    `model` and `preprocessing` take dictionaries, whose entries are added to those that are there. `batch_size="auto"`
    leaves the batch as it is and sets `fit_memory`; `epochs` without `min_steps` switches that off.

    Raises:
        ConfigError: no such field, with the nearest one.
    """
    fields = _just(fields)
    groups = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    owner = dict.fromkeys(groups, "")
    for group, value in groups.items():
        if dataclasses.is_dataclass(value):
            owner.update({field.name: group for field in dataclasses.fields(value)})
    changes: dict[str, dict[str, Any]] = {}
    for name, value in fields.items():
        if (name, value) == AUTO_BATCH:
            name, value = "fit_memory", True
        if name not in owner:
            raise ConfigError(f"unknown field {name!r} of a training{did_you_mean(name, owner)}")
        if name in MERGED:
            value = {**groups[name], **value}
        changes.setdefault(owner[name], {})[name] = value
    top = changes.pop("", {})
    nested = {group: _replaced(groups[group], values) for group, values in changes.items()}
    return _replaced(config, {**nested, **top})


def _replaced(config: Any, values: Mapping[str, Any]) -> Any:
    """`dataclasses.replace` with the conversions of `from_dict`: lists for tuples, whole numbers for floats."""
    present = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return from_dict(type(config), {**present, **values})


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _just(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings; if they have `epochs`, `min_steps` must not change these unless it comes along."""
    return {"min_steps": None, **settings} if "epochs" in settings else dict(settings)


def _read_recipe(name: str | os.PathLike[str]) -> dict[str, Any]:
    known = recipes()
    if isinstance(name, str) and name in known:
        file = resources.files("tubelet") / "recipes" / f"{name}.toml"
        return tomllib.loads(file.read_text(encoding="utf-8"))
    if Path(name).suffix == ".toml":
        return _read(Path(name))
    raise ConfigError(f"no recipe {str(name)!r}{did_you_mean(str(name), known)}; or name a .toml file")


def _read(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        optimisation = table.get("optimisation")
        if isinstance(optimisation, dict):
            if ("batch_size", optimisation.get("batch_size")) == AUTO_BATCH:
                del optimisation["batch_size"]
                optimisation["fit_memory"] = True
            table["optimisation"] = _just(optimisation)
        return table
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
