"""Which videos are learned from and which are watched by."""

from __future__ import annotations

from dataclasses import dataclass

from tubelet.config import TrainConfig
from tubelet.data import Table, assign_splits, hold_out
from tubelet.errors import ConfigError


@dataclass(frozen=True)
class Divided:
    """A data set made ready for training.

    Attributes:
        table: all samples, each with its split.
        train: what is learned from.
        validation: what is watched by; None if there is nothing.
        notes: what was decided, for the user.
    """

    table: Table
    train: Table
    validation: Table | None
    notes: tuple[str, ...]


def divide(table: Table, config: TrainConfig) -> Divided:
    """Use the splits that the data has, make the ones that it lacks, and hold out what the configuration says.

    Raises:
        DataError: splits that cannot be used.
        ConfigError: something is to be held out for a split that there is already.
    """
    validation, notes = config.validation, list(table.notes)
    if any(sample.split is None for sample in table.samples):
        table = assign_splits(table, config.data.fractions, seed=config.seed)
    split = validation.validation_split
    if validation.hold_out is not None or validation.hold_out_groups:
        if split in table.splits:
            raise ConfigError(
                f"the data has {table.splits[split]} samples in {split!r} already, so nothing is held out for it; "
                "leave hold_out and hold_out_groups away, or name another validation_split"
            )
        fraction, groups = validation.hold_out, validation.hold_out_groups
        table = hold_out(table, fraction=fraction, groups=groups, into=split, seed=config.seed)
    watched = table.split(split) if split in table.splits else None
    notes.insert(0, table.describe())
    if watched is None:
        notes.append(
            f"no sample is in {split!r}: nothing is validated and the last weights are delivered (hold_out=0.1 takes a "
            "tenth of the training samples for it)"
        )
    return Divided(table, table.split("train"), watched, tuple(notes))
