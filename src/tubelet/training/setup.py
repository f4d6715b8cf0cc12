"""Starting a run, and going on with one: from arguments to a `Trainer` and its folder."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from tubelet.config import (
    ModelConfig,
    PreprocessingConfig,
    TrainConfig,
    default_recipe,
    from_dict,
    override,
    to_dict,
    train_config,
)
from tubelet.config.preset_model import GIVES_WAY, SIZES
from tubelet.config.recipes import model_of_recipe
from tubelet.config.resume import MAY_CHANGE
from tubelet.data import Table, read_configured, require_labels_stay_right, write_table
from tubelet.data.run_table import splits_of
from tubelet.distributed.world import ALONE, World
from tubelet.errors import ConfigError, DataError
from tubelet.features import FeatureClips
from tubelet.given_model import replaced_layers
from tubelet.model import ViViT
from tubelet.text import listing, moment
from tubelet.training.environment import describe_environment
from tubelet.training.fitting import SHARE, fitting
from tubelet.training.lengths import with_training_lengths
from tubelet.training.memory import available_memory, expected_memory
from tubelet.training.model import build_model, classes_of, preprocessing_for
from tubelet.training.restore import restore
from tubelet.training.run_folder import RunFolder, appearing
from tubelet.training.splits import divide
from tubelet.training.step import seed_step
from tubelet.training.trainer import Trainer
from tubelet.training.videos import note_videos
from tubelet.version import __version__
from tubelet.weights.native import load_provenance, save_provenance

CHOSEN = {"fit_memory": "accumulate_steps", "min_steps": "epochs"}
"""Settings of the optimisation that ask for another one to be chosen when a run begins, and that other one."""


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
    if isinstance(data, str | os.PathLike):
        config = replace(config, data=replace(config.data, source=os.path.abspath(data)))
    divided = world.from_first(
        lambda: divide(data if isinstance(data, Table) else read_configured(config.data), config)
    )
    seed_step(config.seed, -1)
    given = model is not None
    if model is None:
        model, start = build_model(config, divided.table)
    elif config.init is not None:
        raise ConfigError(f"a model was given, and init={config.init!r} names other weights; leave out one of the two")
    else:
        start = (_adopt(model, config, divided.table),)
        if config.optimisation.freeze == "none":
            config = override(config, freeze=model.frozen)
    described = model.preprocessing
    assert described is not None
    model.preprocessing, rates = world.from_first(lambda: with_training_lengths(described, divided.train))
    known = world.from_first(lambda: note_videos(model, divided.table, out.path.resolve().name, _choosing(config)))
    trainer = Trainer(model, divided.train, divided.validation, config, world)
    require_labels_stay_right(divided.table.classes, config.augmentation)
    more = _more_epochs(trainer)
    notes = [*divided.notes, *_why(config, given), *start, *rates, *known, *more, _size(trainer), *_features(trainer)]
    if config.optimisation.fit_memory:
        fit = fitting(trainer)
        trainer.config = override(trainer.config, accumulate_steps=fit.accumulate_steps)
        notes.append(fit.note)
    else:
        notes += _fitted(trainer)
    with appearing(out, world) as hidden, trainer.writing_to(hidden):
        trainer.save()
        if world.first:
            write_table(divided.table, hidden.splits)
            save_provenance(model, hidden.path)
            hidden.write_run(_description(trainer, divided.table, notes))
    return trainer, notes


def resume_run(
    data: Table | str | os.PathLike[str] | None,
    out: RunFolder,
    config: TrainConfig | None,
    changes: Mapping[str, Any],
    world: World = ALONE,
    model: ViViT | None = None,
) -> tuple[Trainer, list[str]]:
    """Prepare to go on with a run from its last checkpoint.

    Args:
        data: may be given again, but not changed.
        out: the run.
        config: may be given again; only settings of `MAY_CHANGE` may differ.
        changes: fields to change.
        world: processes that go on with it together, as many as there are.
        model: one like that of the run, if that has layers of the user's own; it gets the weights of the run.

    Raises:
        ConfigError: no run, or a setting that would change what is learned.
        InUseError: another process works in it.
        WeightsError: no checkpoint of it is whole.
        DataError: its list of videos is not what it was.
    """
    out.take_up(world)
    run = out.read_run()
    stored = from_dict(TrainConfig, run["config"], where=f"{out.run}: config")
    wanted = override(config or stored, **changes)
    if isinstance(data, Table):
        raise ConfigError("a resumed run reads its own splits.csv; leave the table out")
    source = stored.data.source if data is None else os.path.abspath(data)
    wanted = replace(wanted, data=replace(wanted.data, source=source))
    for asked, chosen in CHOSEN.items():
        value = getattr(wanted.optimisation, asked)
        if value and value == getattr(stored.optimisation, asked):
            wanted = override(wanted, **{asked: value, chosen: getattr(stored.optimisation, chosen)})
    require_same(to_dict(stored), to_dict(wanted))
    table = splits_of(out.path, run)
    made = ViViT(
        from_dict(ModelConfig, run["model"], where=f"{out.run}: model"),
        from_dict(PreprocessingConfig, run["preprocessing"], where=f"{out.run}: preprocessing"),
        run["labels"],
    )
    model = _like_that_of_the_run(model or made, made, run.get("replaced_layers", []))
    model.provenance = load_provenance(out.path, out.path.name)
    split = wanted.validation.validation_split
    validation = table.split(split) if split in table.splits else None
    trainer = Trainer(model, table.split("train"), validation, wanted, world)
    with trainer.writing_to(out):
        checkpoint, damage = restore(trainer, out, world)
        trainer.deliver_again(checkpoint)
    if world.first:
        environment = describe_environment(trainer.device, world.size)
        run["resumed"].append({"when": moment(), "step": trainer.position.step, **environment})
        out.write_run(run)
    position = trainer.position
    if position.ended is not None:
        where = f"this run is complete ({position.ended}): {position.step} steps in {position.epoch} epochs are done"
    else:
        where = f"resumed after {position.epoch} epochs and {position.batch} steps of the next"
    return trainer, [*damage, where, _size(trainer), *_features(trainer)]


def _like_that_of_the_run(model: ViViT, made: ViViT, replaced: list[str]) -> ViViT:
    """The model to go on with, if its configuration and the layers that a user put into it are those of the run."""
    if model.config != made.config or replaced_layers(model) != replaced:
        if not replaced:
            raise ConfigError("the run has a model of its configuration, and another one was given; leave it out")
        raise ConfigError(
            f"the run has a model with layers of its own, {listing(replaced, 3)}; make it in the same way, and give it "
            "to tubelet.train with resume=True"
        )
    model.preprocessing, model.labels = made.preprocessing, made.labels
    return model


def _choosing(config: TrainConfig) -> str | None:
    """The split that chooses the weights; None if the last ones are kept."""
    return config.validation.validation_split if config.validation.chooses else None


def _adopt(model: ViViT, config: TrainConfig, table: Table) -> str:
    """Make a model that was given ready for a table, or say why it is not."""
    if model.config.heads != table.heads:
        raise DataError(
            f"the model has {model.config.heads} classes, the data {table.heads}; call "
            f"model.reset_classifier({classes_of(table)!r})"
        )
    if model.labels is not None and model.labels != table.classes:
        raise DataError(
            "the model's labels are not those of the data, in their order; set model.labels to table.classes"
        )
    model.labels = {head: list(names) for head, names in table.classes.items()}
    wanted = _wanted_preprocessing(config, model.preprocessing)
    model.preprocessing = preprocessing_for(model.config, wanted, model.preprocessing)
    return "the model that was given"


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


def _more_epochs(trainer: Trainer) -> list[str]:
    """Raise the epochs to what makes `min_steps` optimiser steps, and say so."""
    optimisation, steps = trainer.config.optimisation, trainer.steps_per_epoch
    least = optimisation.min_steps
    if least is None or steps * optimisation.epochs >= least:
        return []
    epochs = math.ceil(least / steps)
    trainer.config = override(trainer.config, epochs=epochs, min_steps=least)
    return [
        f"{epochs} epochs instead of {optimisation.epochs}, so that there are {least:,} steps ({steps} per epoch; "
        f"min_steps={least}). For fewer: epochs={optimisation.epochs}"
    ]


def _fitted(trainer: Trainer) -> list[str]:
    """Let batches through the model in parts where they would not fit into memory, and say so.

    Where nothing says that a training takes more than there is, the system ends it without a word.
    """
    optimisation, runtime, model = trainer.config.optimisation, trainer.config.runtime, trainer.model
    frozen = optimisation.freeze in ("spatial", "encoder") or trainer.config.data.cache == "features"
    if trainer.device.type != "cpu" or optimisation.accumulate_steps > 1 or frozen:
        return []
    clips = -(-optimisation.batch_size // trainer.world.local_size)
    each = 2 if trainer.dtype == torch.bfloat16 else 4
    kept = sum(tensor.nbytes for tensor in model.parameters()) * (3 if optimisation.optimiser == "adamw" else 2)
    wanted = kept + expected_memory(model.config, clips, each, runtime.activation_checkpointing)
    free = available_memory() // trainer.world.local_size
    if wanted <= SHARE * free:
        return []
    words = f"a batch of {clips} clips takes about {wanted / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free"
    if trainer.world.size > 1 or runtime.step_in_backward:
        return [
            f"{words}: the training may run out of memory; use a smaller batch_size or activation_checkpointing=True"
        ]
    fit = fitting(trainer)
    trainer.config = override(trainer.config, accumulate_steps=fit.accumulate_steps)
    return [f"{words}, so memory was measured. {fit.note}"]


def _size(trainer: Trainer) -> str:
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    trained = sum(parameter.numel() for parameter in trainer.model.parameters() if parameter.requires_grad)
    frozen = f" ({trained / 1e6:.2f} M are trained, freeze={trainer.model.frozen})" if trained < parameters else ""
    precision = str(trainer.dtype).removeprefix("torch.")
    form = ", blocks in their training form (tubelet.optimise)" if trainer.fast else ""
    return (
        f"{parameters / 1e6:.2f} M parameters{frozen}, {trainer.model.config.num_tokens} tokens a clip, {precision} on "
        f"{trainer.device}{_processes(trainer)}{form}; "
        f"steps: {trainer.steps_per_epoch} an epoch, {trainer.total_steps} in all"
    )


def _features(trainer: Trainer) -> list[str]:
    """Where the features are, if it learns from such."""
    if not isinstance(trainer.clips, FeatureClips):
        return []
    return [f"learns from features of the videos, kept in {trainer.clips.store.folder.parent}"]


def _processes(trainer: Trainer) -> str:
    size = trainer.world.size
    return f" in {size} processes ({'fsdp' if trainer.parallel.sharded else 'ddp'})" if size > 1 else ""


def _description(trainer: Trainer, table: Table, notes: Sequence[str]) -> dict[str, Any]:
    """What `run.json` holds."""
    model = trainer.model
    assert model.preprocessing is not None
    return {
        "tubelet": __version__,
        "created": moment(),
        "config": to_dict(trainer.config),
        "model": to_dict(model.config),
        "preprocessing": to_dict(model.preprocessing),
        "labels": model.labels,
        "replaced_layers": replaced_layers(model),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "data": {"root": table.root, "description": table.describe(), "splits": table.splits},
        "steps_per_epoch": trainer.steps_per_epoch,
        "total_steps": trainer.total_steps,
        "notes": list(notes),
        "environment": describe_environment(trainer.device, trainer.world.size),
        "resumed": [],
    }


def require_same(stored: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> None:
    """Raise a ConfigError for the first setting that differs and may not."""
    for name in {**stored, **wanted}:
        full, value, there = prefix + name, stored.get(name), wanted.get(name)
        if full in MAY_CHANGE or there == value:
            continue
        if isinstance(value, dict) and isinstance(there, dict):
            require_same(value, there, f"{full}.")
            continue
        raise ConfigError(
            f"{full} was {value!r} when the run began and cannot become {there!r}: a resumed run ends as if it had "
            "never stopped. Leave it out, or start a new run with init"
        )
