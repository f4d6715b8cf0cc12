"""Configurations from TOML: the recipes of the package, with files and fields on top."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from tubelet.config.preset_model import recipe_fields
from tubelet.config.preset_table import preset
from tubelet.config.pretraining import PretrainConfig, for_pretraining
from tubelet.config.serialise import as_type, from_dict, to_dict
from tubelet.config.training import TrainConfig
from tubelet.errors import ConfigError
from tubelet.text import did_you_mean

C = TypeVar("C", TrainConfig, PretrainConfig)

MERGED = ("model", "preprocessing")
"""Fields of `TrainConfig` that are dictionaries: new entries are added to them."""

AUTO_BATCH = ("batch_size", "auto")
"""Sets `fit_memory`: the recipe's batch, in parts that fit."""


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
        given: whether training starts from the weights of a model that was passed.
    """
    if given:
        return "fine-tune", "the weights are those of the model: the recipe fine-tune, with small steps and few epochs"
    if init is None:
        return "small-data", "recipe: small-data (from scratch, few videos)"
    return "fine-tune", f"recipe: fine-tune (from the weights of {init}: small steps, few epochs)"


def train_config(
    recipe: str | os.PathLike[str] | None = None, *files: str | os.PathLike[str], **fields: Any
) -> TrainConfig:
    """The configuration of a training: a recipe, files on top of it, and fields on top of those.

    Args:
        recipe: name of a recipe of the package, or a TOML file; None is `default_recipe` of the `init` that files and
            fields name.
        files: TOML files with the tables and keys of `TrainConfig`; later ones win.
        fields: of `TrainConfig` and its groups, by their own names: `epochs=5, seed=1, mixup=0.2`.

    Raises:
        ConfigError: no such recipe or file, or an unknown key, with the nearest one.
    """
    tables = {Path(file): _read(Path(file)) for file in files}
    init = _last("init", tables, fields)
    name = default_recipe(init)[0] if recipe is None else recipe
    merged = _combined({"recipe": str(name), **_read_recipe(name)}, tables, fields)
    where = " + ".join([str(name), *map(str, files)])
    return _override(from_dict(TrainConfig, merged, where=where), fields)


def pretrain_config(
    recipe: str | os.PathLike[str] | None = None, *files: str | os.PathLike[str], **fields: Any
) -> PretrainConfig:
    """The configuration of a pretraining: model, frames and augmentation of a recipe, then files, then fields.

    Its weights start a training with that recipe.

    Args:
        recipe: as in `train_config`.
        files: TOML files with the tables and keys of `PretrainConfig`; later ones win.
        fields: of `PretrainConfig` and its groups, by their own names: `epochs=50, mask_ratio=0.9`.

    Raises:
        ConfigError: no such recipe or file, or an unknown key, with the nearest one.
    """
    tables = {Path(file): _read(Path(file)) for file in files}
    init = _last("init", tables, fields)
    below = to_dict(for_pretraining(train_config(recipe, **({} if init is None else {"init": init}))))
    merged = _combined(below, tables, fields)
    return _override(from_dict(PretrainConfig, merged, where=" + ".join(map(str, files))), fields)


def override(config: C, **fields: Any) -> C:
    """Change fields of a configuration or of its groups by their own names: `epochs=5, seed=1, mixup=0.2`.

    `model` and `preprocessing` take dictionaries, whose entries are added to those that are there. `batch_size="auto"`
    leaves the batch as it is and sets `fit_memory`; `epochs` without `min_steps` switches that off. `preset` decides
    the sizes of the model: those that came from the recipe give way, those that were set besides stay.

    Raises:
        ConfigError: no such field, with the nearest one; or fields that do not go together.
    """
    if not dataclasses.is_dataclass(config):
        raise ConfigError(f"expected a configuration, got a {type(config).__name__}; single fields are given by name")
    if fields.get("preset") is not None and config.recipe is not None:
        recipe, ours, typed = _read_recipe(config.recipe), {}, {}
        for group in MERGED:
            there, from_recipe = getattr(config, group), recipe.get(group, {})
            ours[group] = {name: value for name, value in there.items() if from_recipe.get(name) == value}
            typed[group] = {name: value for name, value in there.items() if name not in ours[group]}
        merged = _combined({"preset": config.preset, **ours}, {None: typed}, fields)
        config = dataclasses.replace(config, **{group: merged[group] for group in MERGED})
    return _override(config, fields)


def model_of_recipe(config: TrainConfig | PretrainConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of the model that a configuration has from its recipe, and those that did not fit or gave way."""
    if config.recipe is None:
        return {}, {}
    ours = _read_recipe(config.recipe).get("model", {})
    kept = {name: value for name, value in ours.items() if config.model.get(name) == value}
    return kept, {name: value for name, value in ours.items() if name not in config.model}


def _combined(
    recipe: Mapping[str, Any], tables: Mapping[Any, Mapping[str, Any]], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """A recipe with files on top; what the recipe says of the model gives way to what was typed (`preset_model`)."""
    merged = dict(recipe)
    for table in tables.values():
        merged = _merged(merged, table)
    in_files = {name: value for table in tables.values() for name, value in table.get("model", {}).items()}
    typed = {**in_files, **_by_name("model", fields.get("model", {}))}
    ours, named = recipe.get("model", {}), _last("preset", tables, fields)
    name = named or recipe.get("preset")
    if name is None:
        return merged
    where = "".join(f"{path}: " for path, table in tables.items() if path is not None and "model" in table)
    rest = recipe_fields(name, ours, typed, named=named is not None, where=where)
    merged |= {"preset": name, "model": {**rest, **in_files}}
    resized = {key for table in (*tables.values(), fields) for key in table.get("preprocessing", {})}
    if recipe.get("preset") is not None and "resize" in recipe.get("preprocessing", {}) and "resize" not in resized:
        before, now = _short_side(recipe["preset"], ours), _short_side(name, {**rest, **typed})
        resize = round(recipe["preprocessing"]["resize"] * now / before)
        merged["preprocessing"] = {**merged["preprocessing"], "resize": resize}
    return merged


def _by_name(group: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    hint = "; a preset is named by preset=" if group == "model" else ""
    raise ConfigError(f"{group}={value!r}: expected fields by their names, {{name: value}}{hint}")


def _short_side(name: str, model: Mapping[str, Any]) -> int:
    """Of the frames that a preset with these fields of the model takes."""
    size = as_type(model.get("image_size", preset(name).image_size), int | tuple[int, int], "model.image_size")
    return size if isinstance(size, int) else min(size)


def _last(name: str, tables: Mapping[Any, Mapping[str, Any]], fields: Mapping[str, Any]) -> Any:
    """A setting by the fields, or else by the last file that has it; None if none does."""
    values = [table[name] for table in (*tables.values(), fields) if table.get(name) is not None]
    return values[-1] if values else None


def _override(config: C, fields: Mapping[str, Any]) -> C:
    fields = _with_exact_epochs(fields)
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
            value = {**groups[name], **_by_name(name, value)}
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


def _with_exact_epochs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with `min_steps` off where they have `epochs` without it."""
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
            table["optimisation"] = _with_exact_epochs(optimisation)
        return table
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
