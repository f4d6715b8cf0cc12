"""Runs of any task: making the folder of a new one, going on with one, and what `run.json` holds."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from tubelet.config import ModelConfig, PreprocessingConfig, PretrainConfig, TrainConfig, from_dict, override, to_dict
from tubelet.config.resume import MAY_CHANGE
from tubelet.data import Table, write_table
from tubelet.data.run_table import splits_of
from tubelet.distributed.world import ALONE, World
from tubelet.errors import ConfigError
from tubelet.given_model import replaced_layers
from tubelet.model import ViViT
from tubelet.text import listing, moment
from tubelet.training.adapters import is_adapter
from tubelet.training.environment import describe_environment
from tubelet.training.restore import restore
from tubelet.training.run_folder import RunFolder, appearing
from tubelet.training.task import Task
from tubelet.training.trainer import Trainer
from tubelet.version import __version__
from tubelet.weights.native import load_provenance, save_provenance

C = TypeVar("C", TrainConfig, PretrainConfig)

CHOSEN = {"fit_memory": "accumulate_steps", "min_steps": "epochs"}
"""Settings of the optimisation that ask for another one to be chosen when a run begins, and that other one."""


def with_source(config: C, data: Table | str | os.PathLike[str] | None) -> C:
    """The configuration with the data that was named."""
    if not isinstance(data, str | os.PathLike):
        return config
    return replace(config, data=replace(config.data, source=os.path.abspath(data)))


def create_run(
    task: Task, out: RunFolder, table: Table, notes: Sequence[str], world: World
) -> tuple[Trainer, list[str]]:
    """Make the folder of a new run, which appears when all is in it.

    Args:
        task: with its settings settled.
        out: the folder.
        table: all videos, with their splits.
        notes: for the user so far.
        world: processes that train together; the first one writes the folder.

    Returns:
        the trainer and all notes.
    """
    trainer = Trainer(task, out, world.broadcast(lambda: secrets.token_hex(8)), world)
    told = [*notes, _size(trainer), *task.notes()]
    with appearing(out, world) as hidden:
        trainer.save(hidden)
        if world.first:
            hidden.metrics.touch()
            write_table(table, hidden.splits)
            save_provenance(task.model, hidden.path)
            hidden.write_run(_description(trainer, table, told))
    return trainer, told


def resume_run(
    kind: type[Task],
    data: Table | str | os.PathLike[str] | None,
    out: RunFolder,
    config: TrainConfig | PretrainConfig | None,
    changes: Mapping[str, Any],
    world: World = ALONE,
    model: ViViT | None = None,
) -> tuple[Trainer, list[str]]:
    """Prepare to go on with a run from its last checkpoint.

    Args:
        kind: of its task.
        data: may be given again, but not changed.
        out: the run.
        config: may be given again; only settings of `MAY_CHANGE` may differ.
        changes: fields to change.
        world: processes that go on with it together, as many as there are.
        model: one like that of the run, if that has layers of the user's own; it gets the weights of the run.

    Raises:
        ConfigError: no run of this kind, or a setting that would change what is learned.
        InUseError: another process works in it.
        WeightsError: no checkpoint of it is whole.
        DataError: its list of videos is not what it was.
    """
    out.take_up(world)
    run = out.read_run()
    if run.get("kind") != kind.kind:
        pretrained = kind.kind is None
        there, here = ("pretraining", "training")[:: 1 if pretrained else -1]
        verb = "pretrain" if pretrained else "train"
        raise ConfigError(f"{out.path} holds a {there}, not a {here}; go on with it by `tubelet {verb} --resume`")
    stored: Any = from_dict(kind.config_type, run["config"], where=f"{out.run}: config")
    given: Any = config or stored
    wanted = override(given, **changes)
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
    trainer = Trainer(kind.of(model, table, wanted, world), out, run.get("id"), world)
    checkpoint, damage = restore(trainer)
    trainer.export_again(checkpoint)
    position = trainer.position
    if world.first:
        environment = describe_environment(trainer.task.device, world.size)
        run["resumed"].append({"when": moment(), "step": position.step, **environment})
        out.write_run(run)
    if position.ended is not None:
        where = f"this run is complete ({position.ended}): {position.step} steps in {position.epoch} epochs are done"
    else:
        where = f"resumed after {position.epoch} epochs and {position.batch} steps of the next"
    return trainer, [*damage, where, _size(trainer), *trainer.task.notes()]


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


def _size(trainer: Trainer) -> str:
    """The model, where it is trained, and the steps."""
    task, size = trainer.task, trainer.world.size
    processes = f" in {size} processes ({'fsdp' if trainer.parallel.sharded else 'ddp'})" if size > 1 else ""
    form = ", blocks in their training form (tubelet.optimise)" if trainer.fast else ""
    return (
        f"{task.size()}, {str(task.dtype).removeprefix('torch.')} on {task.device}{processes}{form}; "
        f"steps: {task.steps_per_epoch} an epoch, {trainer.total_steps} in all"
    )


def _description(trainer: Trainer, table: Table, notes: Sequence[str]) -> dict[str, Any]:
    """What `run.json` holds."""
    task, model = trainer.task, trainer.task.model
    assert model.preprocessing is not None
    return {
        "tubelet": __version__,
        **({} if task.kind is None else {"kind": task.kind}),
        "id": trainer.run_id,
        "created": moment(),
        "config": to_dict(trainer.config),
        "model": to_dict(model.config),
        "preprocessing": to_dict(model.preprocessing),
        "labels": model.labels,
        "replaced_layers": [] if task.config.optimisation.lora is not None else replaced_layers(model),
        "parameters": sum(one.numel() for name, one in model.named_parameters() if not is_adapter(name)),
        "data": {"root": table.root, "description": table.describe(), "splits": table.splits, **task.data_fields()},
        "steps_per_epoch": task.steps_per_epoch,
        "total_steps": trainer.total_steps,
        "notes": list(notes),
        "environment": describe_environment(task.device, trainer.world.size),
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
