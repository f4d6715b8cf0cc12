"""Starting a supervised training: from arguments to a `Trainer` and its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tubelet.config import PreprocessingConfig, TrainConfig, default_recipe, override, train_config
from tubelet.config.preset_model import GIVES_WAY, SIZES
from tubelet.config.recipes import model_of_recipe
from tubelet.data import Table, read_configured, require_labels_stay_right
from tubelet.distributed.world import ALONE, World
from tubelet.errors import ConfigError, DataError
from tubelet.model import ViViT
from tubelet.training.lengths import with_training_lengths
from tubelet.training.model import build_model, classes_of, in_float32, preprocessing_for
from tubelet.training.run_folder import RunFolder
from tubelet.training.settle import settled
from tubelet.training.setup import create_run, with_source
from tubelet.training.splits import divide
from tubelet.training.step import seed_step
from tubelet.training.supervised import SupervisedTask
from tubelet.training.trainer import Trainer
from tubelet.training.videos import note_videos


def start_run(
    data: Table | str | os.PathLike[str] | None,
    out: RunFolder,
    config: TrainConfig,
    model: ViViT | None,
    world: World = ALONE,
) -> tuple[Trainer, list[str]]:
    """Prepare a new run; its folder appears when all is in it.

    Args:
        data: to learn from.
        out: the folder.
        config: the rest.
        model: a model to train instead of the configuration's.
        world: processes that train it together; the first one reads the data and writes the folder.

    Returns:
        the trainer, and what was decided, for the user.
    """
    if world.first:
        out.require_unused()
    config = with_source(config, data)
    divided = world.broadcast(lambda: divide(data if isinstance(data, Table) else read_configured(config.data), config))
    seed_step(config.seed, -1)
    given = model is not None
    if model is None:
        model, start = build_model(config, divided.table)
    elif config.init is not None:
        raise ConfigError(f"a model was given, and init={config.init!r} names other weights; leave out one of the two")
    else:
        start = ("the model that was given", *in_float32(model))
        _adopt(model, config, divided.table)
        if config.optimisation.freeze == "none":
            config = override(config, freeze=model.frozen)
    described = model.preprocessing
    assert described is not None
    model.preprocessing, rates = world.broadcast(lambda: with_training_lengths(described, divided.train))
    known = world.broadcast(lambda: note_videos(model, divided.table, out.path.resolve().name, _choosing(config)))
    task, chosen = settled(SupervisedTask.of(model, divided.table, config, world), world)
    require_labels_stay_right(divided.table.classes, config.augmentation)
    notes = [*divided.notes, *_why(config, given), *start, *rates, *known, *chosen]
    return create_run(task, out, divided.table, notes, world)


def _choosing(config: TrainConfig) -> str | None:
    """The split that chooses the weights; None if the last ones are kept."""
    return config.validation.validation_split if config.validation.chooses else None


def _adopt(model: ViViT, config: TrainConfig, table: Table) -> None:
    """Make a model that was given ready for a table, or say why it is not."""
    if model.config.heads != table.heads:
        raise DataError(
            f"the model has {model.config.heads} classes, the data {table.heads}; call "
            f"model.reset_classifier({classes_of(table)!r})"
        )
    if set(model.config.multi_label) != set(table.multi_label):
        raise DataError(
            f"multi-label heads of the model: {', '.join(model.config.multi_label) or 'none'}, of the data: "
            f"{', '.join(table.multi_label) or 'none'}; call model.reset_classifier({classes_of(table)!r}, "
            f"multi_label={table.multi_label!r})"
        )
    model.operating_points = {}
    if model.labels is not None and model.labels != table.classes:
        raise DataError(
            "the model's labels are not those of the data, in their order; set model.labels to table.classes"
        )
    model.labels = {head: list(names) for head, names in table.classes.items()}
    wanted = _wanted_preprocessing(config, model.preprocessing)
    model.preprocessing = preprocessing_for(model.config, wanted, model.preprocessing)


def _wanted_preprocessing(config: TrainConfig, own: PreprocessingConfig | None) -> dict[str, Any]:
    """The fields of preprocessing that count over those of a model that was given.

    The recipe for random weights says how videos are read because nobody else does. It may be part of the configuration
    without anybody having named it, and must not change how a trained model sees; what was set besides counts.
    """
    if own is None or config.recipe != default_recipe(None)[0]:
        return config.preprocessing
    of_recipe = train_config(config.recipe).preprocessing
    return {name: value for name, value in config.preprocessing.items() if of_recipe.get(name) != value}


def _why(config: TrainConfig, given: bool) -> list[str]:
    """Which recipe this is, and why if it is the one that is taken where none was named."""
    if config.recipe is None:
        return []
    name, reason = default_recipe(config.init, given=given)
    return [reason if config.recipe == name else f"recipe: {config.recipe}", *([] if given else _which_model(config))]


def _which_model(config: TrainConfig) -> list[str]:
    """What preset and recipe each decide, where not all of the recipe's model was taken."""
    kept, gone = model_of_recipe(config)
    if config.preset is None or not gone:
        return []
    sizes = {name for name in gone if name in SIZES}
    lines = []
    if sizes - set(GIVES_WAY):
        lines.append(
            f"preset {config.preset}: sizes from it; from the recipe {config.recipe}: {_listed(kept) or 'nothing'}"
        )
        gone = {name: value for name, value in gone.items() if name not in sizes}
    if gone:
        lines.append(f"left out of the recipe's model, as it does not fit the rest: {_listed(gone)}")
    return lines


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in fields.items())
