"""Training and validation videos."""

from __future__ import annotations

from dataclasses import dataclass

from tubelet.config import DataConfig, TrainConfig
from tubelet.config.split_names import split_name
from tubelet.data import Table, assign_splits, hold_out
from tubelet.data.train_classes import untrained_classes
from tubelet.errors import ConfigError, DataError
from tubelet.text import count, listing


@dataclass(frozen=True)
class Divided:
    """A data set made ready for training.

    Attributes:
        table: all samples, each with its split.
        train: training samples.
        validation: validation samples; None if there are none.
        notes: for the user.
    """

    table: Table
    train: Table
    validation: Table | None
    notes: tuple[str, ...]


def divide(table: Table, config: TrainConfig) -> Divided:
    """Use the splits that the data has, hold out what the configuration says, and make the splits that are lacking.

    Raises:
        DataError: splits that cannot be used, or a head with a single class.
        ConfigError: something is to be held out for a split that there is already.
    """
    _require_choice(table)
    validation = config.validation
    split = validation.validation_split
    if validation.hold_out is not None or validation.hold_out_groups:
        table = _held_out(table, config)
    elif any(sample.split is None for sample in table.samples):
        table = assign_splits(table, config.data.fractions, seed=config.seed)
    watched = table.split(split) if split in table.splits else None
    notes = [table.describe(), *table.notes, *_untrained(table)]
    if watched is None:
        notes.append(
            f"no sample is in {split!r}: nothing is validated and the last weights are delivered (hold_out=0.1 takes a "
            "tenth of the training samples for it)"
        )
    elif validation.test_chooses:
        notes.append(
            "the test videos choose which weights are delivered (allow_test_validation): what is measured on them is "
            "too good, and no figure of a test"
        )
    return Divided(table, table.split("train"), watched, tuple(notes))


def _held_out(table: Table, config: TrainConfig) -> Table:
    """The validation split made of training samples; samples without a split are training samples first."""
    validation, split = config.validation, config.validation.validation_split
    if split in table.splits:
        raise ConfigError(
            f"the data has {table.splits[split]} samples in {split!r} already, so nothing is held out for it; "
            "leave hold_out and hold_out_groups away, or name another validation_split"
        )
    if any(sample.split is None for sample in table.samples):
        shares = {split_name(name): share for name, share in config.data.fractions.items()}
        rest = {name: share for name, share in shares.items() if name != split}
        if split in shares and shares != DataConfig().fractions:
            raise ConfigError(
                f"fractions say how much {split!r} is, and hold_out says it too; leave {split!r} out of the fractions"
            )
        whole = sum(rest.values())
        table = assign_splits(table, {name: share / whole for name, share in rest.items()}, seed=config.seed)
    return hold_out(
        table, fraction=validation.hold_out, groups=validation.hold_out_groups, into=split, seed=config.seed
    )


def _require_choice(table: Table) -> None:
    for head, names in table.classes.items():
        if len(names) < (1 if head in table.multi_label else 2):
            what = f"the class {names[0]!r}" if names else "no class"
            which = "" if head == "label" else f" of the head {head!r}"
            raise DataError(
                f"all videos are of {what}{which}; a classifier needs two classes at least: add videos that show "
                "something else, or, where other columns have several values, name those (labels)"
            )


def _untrained(table: Table) -> list[str]:
    """A note on the classes that are asked for and were never shown."""
    notes = []
    for head, names in untrained_classes(table).items():
        noun = "class" if head == "label" else f"{head} class"
        have = "has" if len(names) == 1 else "have"
        which = listing([repr(name) for name in names])
        notes.append(
            f"{count(len(names), noun, f'{noun}es')} {have} no training video ({which}), so that the model cannot "
            f"predict {'it' if len(names) == 1 else 'them'}"
        )
    return notes
