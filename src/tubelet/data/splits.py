"""Splits that are made: the same whatever order the videos are listed in, and hardly changed when videos are added.

What is divided are units (`tubelet.data.units`): a group, or a file with all its parts, copies and links. No unit is
ever in two splits that are made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from tubelet.config.split_names import split_name
from tubelet.data.division import SameContent, divide, unit_name
from tubelet.data.grouping_hints import belonging_hint
from tubelet.data.table import Sample, Table
from tubelet.data.train_classes import TRAIN, classes_of, require_classes, require_train_classes
from tubelet.data.units import copies_note, independent_units, same_content
from tubelet.errors import DataError
from tubelet.text import listing


def assign_splits(table: Table, fractions: Mapping[str, float] | None = None, *, seed: int = 0) -> Table:
    """Put every sample that has no split into one; samples that have one keep it.

    Samples of one group (a person, a source video) go together, and so do the parts of one file, its copies and links
    to it. Where one of them has a split, the others follow it.

    Within each class these units are ordered by a hash of the seed and their key, and the order is cut at the
    fractions. So each class is divided alike, the order of listing does not matter, and one more video moves at most
    one other across each cut. A class of at least as many units as splits has one in each; smaller ones go to train
    first. With several heads, the classes of the head that has most are divided so. If a unit holds several classes,
    whole units are put where most samples of their classes are lacking, train first.

    Args:
        table: read by `read_table`.
        fractions: split to its share; 0.8 train and 0.2 val by default.
        seed: another one gives another division.

    Returns:
        the table, with notes on copies, on names that look as if videos belonged together, and on splits that stay
        empty.

    Raises:
        DataError: fractions that do not add up to 1 or lack train, a class that train has no sample of, too few units,
            or samples without a split whose group or file is in several.
    """
    shares = {split_name(name): share for name, share in (fractions or {TRAIN: 0.8, "val": 0.2}).items()}
    if TRAIN not in shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise DataError(f"fractions {dict(fractions or {})} need a share for train, all above 0, that add up to 1")
    if any(sample.split is None for sample in table.samples):
        same = same_content(table.samples)
        table = _follow(_follow(table, same, groups=False), same, groups=True)
        open_samples = [sample for sample in table.samples if sample.split is None]
        chosen = divide(table, open_samples, same, shares, seed)
        table = table.with_splits(lambda sample: sample.split or chosen[id(sample)])
        empty = [split for split in shares if split not in table.splits]
        table = _noted(table, [*_copies(table.samples, same), *_why_empty(empty), *_hint(open_samples, table.root)])
    require_train_classes(table)
    return table


def hold_out(
    table: Table,
    *,
    fraction: float | None = None,
    groups: Sequence[str] = (),
    out_of: str = TRAIN,
    into: str = "val",
    seed: int = 0,
) -> Table:
    """Move a part of one split into another, to have something to choose by where only train and test are given.

    Units stay whole, as in `assign_splits`.

    Args:
        table: with splits; where no sample has one, all of them are in `out_of`.
        fraction: of each class (or of the groups) to move; or
        groups: move the samples of these groups (persons), and what is of the same files.
        out_of: split to take from.
        into: split to move to.
        seed: as in `assign_splits`.

    Returns:
        the table, with notes as of `assign_splits`.

    Raises:
        DataError: both or none of `fraction` and `groups`, an unknown group, or a class that the split has lost.
    """
    out_of, into = split_name(out_of), split_name(into)
    same = same_content(table.samples)
    if all(sample.split is None for sample in table.samples):
        table = _noted(table.with_splits(lambda sample: out_of), _copies(table.samples, same))
    source = table.split(out_of)
    if (fraction is None) == (not groups):
        raise DataError("say what to hold out: a fraction, or groups")
    if groups:
        moved = _of_groups(source, same, groups, out_of)
    else:
        share = fraction or 0.0
        if not 0 < share < 1:
            raise DataError(f"fraction={share} must be between 0 and 1")
        chosen = divide(source, source.samples, same, {TRAIN: 1 - share, into: share}, seed)
        moved = {key for key, split in chosen.items() if split == into}
    table = table.with_splits(lambda sample: into if id(sample) in moved else sample.split)
    require_classes(table, out_of, classes_of(source.samples))
    return _noted(table, [*_why_empty([] if moved else [into]), *_hint(source.samples, table.root)])


def _of_groups(source: Table, same: SameContent, groups: Sequence[str], out_of: str) -> set[int]:
    """ids of the samples of some groups, and of what belongs to them."""
    known = {sample.group for sample in source.samples}
    unknown = [group for group in groups if group not in known]
    if unknown:
        there = ", ".join(sorted(group for group in known if group)) or "none (name a group_column)"
        raise DataError(f"no sample of the group {unknown[0]!r} in the split {out_of!r}; groups there: {there}")
    wanted = set(groups)
    chosen = [
        unit for unit in independent_units(source.samples, same=same) if wanted & {sample.group for sample in unit}
    ]
    return {id(sample) for unit in chosen for sample in unit}


def _follow(table: Table, same: SameContent, *, groups: bool) -> Table:
    """Samples without a split take that of their file (or, with `groups`, of their group)."""
    chosen: dict[int, str] = {}
    torn = []
    for unit in independent_units(table.samples, groups=groups, same=same):
        settled = sorted({sample.split for sample in unit if sample.split is not None})
        without = [sample for sample in unit if sample.split is None]
        if without and len(settled) > 1:
            torn.append(f"{unit_name(table, unit)} is in {' and '.join(settled)}, and {len(without)} more are open")
        elif without and settled:
            chosen.update((id(sample), settled[0]) for sample in without)
    if torn:
        raise DataError(
            f"{len(torn)} groups or files are in several splits and have samples without one: "
            f"{listing(torn, between='; ')}; say where these belong, or leave them out"
        )
    return table.with_splits(lambda sample: sample.split or chosen.get(id(sample)))


def _copies(samples: Sequence[Sample], same: SameContent) -> list[str]:
    return copies_note(independent_units(samples, groups=False, same=same))


def _hint(samples: Sequence[Sample], root: str) -> list[str]:
    """A note on names that suggest groups, where no sample has a group."""
    hint = None if any(sample.group is not None for sample in samples) else belonging_hint(samples, root)
    return [hint] if hint else []


def _why_empty(empty: Sequence[str]) -> list[str]:
    if not empty:
        return []
    return [
        f"nothing could be put into {', '.join(empty)}: no class has two videos (or groups) that are independent of "
        "each other. Parts of one file, copies and links count as one"
    ]


def _noted(table: Table, notes: Iterable[str]) -> Table:
    return dataclasses.replace(table, notes=tuple(dict.fromkeys([*table.notes, *notes])))


def without_splits(table: Table) -> Table:
    """The same samples with their splits taken away, to divide them anew."""
    return table.with_splits(lambda sample: None)
