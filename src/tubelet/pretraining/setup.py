"""Starting a pretraining, and going on with one: from arguments to a `Pretrainer` and its folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from tubelet.config import ModelConfig, PreprocessingConfig, PretrainConfig, from_dict, override, to_dict
from tubelet.data import Table, read_configured, split_name, write_table
from tubelet.data.run_table import splits_of
from tubelet.errors import ConfigError, DataError
from tubelet.model import ViViT
from tubelet.pretraining.trainer import Pretrainer
from tubelet.text import moment
from tubelet.training.environment import describe_environment
from tubelet.training.lengths import with_training_lengths
from tubelet.training.model import build_model
from tubelet.training.restore import restore
from tubelet.training.run_folder import PRETRAINING, RunFolder, appearing
from tubelet.training.setup import require_same
from tubelet.training.step import seed_step
from tubelet.training.videos import note_videos
from tubelet.version import __version__
from tubelet.weights.native import load_provenance, save_provenance


def start_pretraining(
    data: Table | str | os.PathLike[str] | None, out: RunFolder, config: PretrainConfig
) -> tuple[Pretrainer, list[str]]:
    """Prepare a new run; its folder appears when all is in it.

    Returns:
        the pretrainer, and what was decided, for the user.
    """
    out.require_unused()
    if isinstance(data, str | os.PathLike):
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, source=os.path.abspath(data)))
    whole = data if isinstance(data, Table) else read_configured(dataclasses.replace(config.data, labels=()))
    table, notes = without_labels(whole), [*whole.notes]
    chosen, which = choose(table, config.splits)
    seed_step(config.seed, -1)
    model, start = build_model(config.as_training(), chosen)
    model.labels = None
    assert model.preprocessing is not None
    model.preprocessing, rates = with_training_lengths(model.preprocessing, chosen)
    known = note_videos(model, table, out.path.resolve().name, None, learns=tuple(chosen.splits))
    pretrainer = Pretrainer(model, chosen, config)
    notes = [*notes, which, *start, *rates, *known, describe_size(pretrainer)]
    with appearing(out) as hidden, pretrainer.writing_to(hidden):
        write_table(table, hidden.splits)
        save_provenance(model, hidden.path)
        pretrainer.save()
        hidden.write_run(_description(pretrainer, table, notes))
    return pretrainer, notes


def resume_pretraining(
    data: Table | str | os.PathLike[str] | None,
    out: RunFolder,
    config: PretrainConfig | None,
    changes: Mapping[str, Any],
) -> tuple[Pretrainer, list[str]]:
    """Prepare to go on with a run from its last checkpoint.

    Args:
        data: may be given again, but not changed.
        out: the run.
        config: may be given again; what changes what is learned may not differ.
        changes: fields to change.

    Raises:
        ConfigError: no pretraining there, or a setting that would change what is learned.
        InUseError: another process works in it.
        WeightsError: no checkpoint of it is whole.
    """
    out.take_up()
    run = out.read_run()
    if not out.is_pretraining():
        raise ConfigError(f"{out.path} holds a training, not a pretraining; go on with it by `tubelet train --resume`")
    stored = from_dict(PretrainConfig, run["config"], where=f"{out.run}: config")
    wanted = override(config or stored, **changes)
    if isinstance(data, Table):
        raise ConfigError("a resumed run reads its own splits.csv; leave the table out")
    source = stored.data.source if data is None else os.path.abspath(data)
    wanted = dataclasses.replace(wanted, data=dataclasses.replace(wanted.data, source=source))
    require_same(to_dict(stored), to_dict(wanted))
    chosen, _ = choose(splits_of(out.path, run), wanted.splits)
    model = ViViT(
        from_dict(ModelConfig, run["model"], where=f"{out.run}: model"),
        from_dict(PreprocessingConfig, run["preprocessing"], where=f"{out.run}: preprocessing"),
    )
    model.provenance = load_provenance(out.path, out.path.name)
    pretrainer = Pretrainer(model, chosen, wanted)
    with pretrainer.writing_to(out):
        _, damage = restore(pretrainer, out)
    position = pretrainer.position
    run["resumed"].append({"when": moment(), "step": position.step, **describe_environment(pretrainer.device)})
    out.write_run(run)
    where = f"resumed after {position.epoch} epochs and {position.batch} steps of the next"
    return pretrainer, [*damage, where, describe_size(pretrainer)]


def without_labels(table: Table) -> Table:
    """The same videos with their labels forgotten; one that was listed with several labels is there once."""
    bare = dict.fromkeys(
        (sample.path, sample.start, sample.end, sample.split, sample.group) for sample in table.samples
    )
    samples = tuple(
        dataclasses.replace(table.samples[0], path=path, labels={}, start=start, end=end, split=split, group=group)
        for path, start, end, split, group in bare
    )
    return dataclasses.replace(table, samples=samples, classes={})


def choose(table: Table, splits: tuple[str, ...]) -> tuple[Table, str]:
    """The videos to learn from, and a sentence about them.

    Raises:
        DataError: a split that is not there.
    """
    if set(table.splits) <= {""}:
        note = (
            f"the data has no splits: all {len(table)} videos are learned from, without labels. To keep some unseen, "
            "name the split_column of the table, or give the splits.csv of a training"
        )
        return table, note
    wanted = tuple(dict.fromkeys(split_name(split) for split in splits))
    for name in wanted:
        if name not in table.splits:
            there = ", ".join(f"{split or 'no split'} ({count})" for split, count in sorted(table.splits.items()))
            raise DataError(f"no video is in the split {name!r}; there are: {there}")
    chosen = table.select(number for number, sample in enumerate(table.samples) if sample.split in wanted)
    left = len(table) - len(chosen)
    return chosen, f"{len(chosen)} videos of {', '.join(wanted)} are learned from, without labels; {left} are not seen"


def describe_size(pretrainer: Pretrainer) -> str:
    """One line: parameters, what is visible, steps."""
    masked, config = pretrainer.masked, pretrainer.model.config
    encoder = sum(parameter.numel() for parameter in masked.model.parameters())
    decoder = sum(parameter.numel() for parameter in masked.parameters()) - encoder
    visible = masked.visible_times * masked.visible_places
    precision = str(pretrainer.dtype).removeprefix("torch.")
    form = ", blocks in their training form (tubelet.optimise)" if pretrainer.fast else ""
    return (
        f"{encoder / 1e6:.2f} M parameters and {decoder / 1e6:.2f} M of the decoder, {visible} of {config.num_tokens} "
        f"tokens a clip visible, {precision} on {pretrainer.device}{form}; "
        f"{pretrainer.steps_per_epoch} steps an epoch, {pretrainer.total_steps} in all"
    )


def _description(pretrainer: Pretrainer, table: Table, notes: list[str]) -> dict[str, Any]:
    """What `run.json` holds."""
    model = pretrainer.model
    assert model.preprocessing is not None
    return {
        "tubelet": __version__,
        "kind": PRETRAINING,
        "created": moment(),
        "config": to_dict(pretrainer.config),
        "model": to_dict(model.config),
        "preprocessing": to_dict(model.preprocessing),
        "labels": None,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "data": {
            "root": table.root,
            "description": table.describe(),
            "splits": table.splits,
            "learned_from": len(pretrainer.clips),
        },
        "steps_per_epoch": pretrainer.steps_per_epoch,
        "total_steps": pretrainer.total_steps,
        "notes": notes,
        "environment": describe_environment(pretrainer.device),
        "resumed": [],
    }
