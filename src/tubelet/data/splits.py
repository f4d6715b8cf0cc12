"""Splits that are made: the same whatever order the videos are listed in, and hardly changed when videos are added."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from tubelet.data.table import Sample, Table, split_name
from tubelet.errors import DataError

TRAIN = "train"


def assign_splits(table: Table, fractions: Mapping[str, float] | None = None, *, seed: int = 0) -> Table:
    """Put every sample that has no split into one; samples that have one keep it.

    Within each class samples are ordered by a hash of the seed and their key, and the order is cut at the fractions. So
    each class is divided alike, the order of listing does not matter, and one more video moves at most one other across
    each cut. A class of at least as many videos as splits has one in each; smaller ones go to train first. With several
    heads, the classes of the head that has most are divided so.

    Samples with a group (a person, a source video) go together; if a group holds several classes, whole groups are put
    where most samples are lacking.

    Args:
        table: read by `read_table`.
        fractions: split to its share; 0.8 train and 0.2 val if nothing is said.
        seed: another one gives another division.

    Raises:
        DataError: fractions that do not add up to 1 or lack train, or a class that train has no sample of.
    """
    shares = {split_name(name): share for name, share in (fractions or {TRAIN: 0.8, "val": 0.2}).items()}
    if TRAIN not in shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise DataError(f"fractions {dict(fractions or {})} need a share for train, all above 0, that add up to 1")
    open_samples = [sample for sample in table.samples if sample.split is None]
    if open_samples:
        keys = {id(sample): table.key(sample) for sample in open_samples}
        chosen = _divide(table, open_samples, keys, shares, seed)
        table = table.with_splits(lambda sample: sample.split or chosen[id(sample)])
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

    Args:
        table: with splits.
        fraction: of each class (or of the groups) to move; or
        groups: move exactly the samples of these groups (persons).
        out_of: split to take from.
        into: split to move to.
        seed: as in `assign_splits`.

    Raises:
        DataError: both or none of `fraction` and `groups`, an unknown group, or a class that train has lost.
    """
    source = table.split(out_of)
    if (fraction is None) == (not groups):
        raise DataError("say what to hold out: a fraction, or groups")
    if groups:
        known = {sample.group for sample in source.samples}
        unknown = [group for group in groups if group not in known]
        if unknown:
            there = ", ".join(sorted(group for group in known if group)) or "none (name a group_column)"
            raise DataError(f"no sample of the group {unknown[0]!r} in the split {out_of!r}; groups there: {there}")
        moved = {id(sample) for sample in source.samples if sample.group in groups}
    else:
        share = fraction or 0.0
        if not 0 < share < 1:
            raise DataError(f"fraction={share} must be between 0 and 1")
        keys = {id(sample): table.key(sample) for sample in source.samples}
        chosen = _divide(table, list(source.samples), keys, {TRAIN: 1 - share, into: share}, seed)
        moved = {key for key, split in chosen.items() if split == into}
    table = table.with_splits(lambda sample: split_name(into) if id(sample) in moved else sample.split)
    require_train_classes(table)
    return table


def require_train_classes(table: Table) -> None:
    """Hold that every class that occurs anywhere occurs in train.

    Raises:
        DataError: a class does not; it is named.
    """
    for head, names in table.classes.items():
        trained = {sample.labels[head] for sample in table.samples if sample.split == TRAIN}
        lacking = sorted({sample.labels[head] for sample in table.samples} - trained)
        if lacking:
            listed = ", ".join(repr(names[index]) for index in lacking[:5])
            more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
            what = "class" if head == "label" else f"{head} class"
            raise DataError(
                f"no training video of the {what} {listed}{more}; it can be neither learned nor tested: add videos to "
                "train, or leave the class out"
            )


def _divide(
    table: Table, samples: list[Sample], keys: Mapping[int, str], shares: Mapping[str, float], seed: int
) -> dict[int, str]:
    """id of a sample to its split."""
    head = max(table.classes, key=lambda name: len(table.classes[name]), default=None)

    def stratum(sample: Sample) -> int:
        return -1 if head is None else sample.labels[head]

    units: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        units[f"group {sample.group}" if sample.group is not None else f"sample {keys[id(sample)]}"].append(sample)
    order = sorted(units, key=lambda name: (_hash(seed, name), name))
    if any(len({stratum(sample) for sample in unit}) > 1 for unit in units.values()):
        split_of = _fill(order, {name: len(unit) for name, unit in units.items()}, shares)
    else:
        strata: dict[int, list[str]] = defaultdict(list)
        for name in order:
            strata[stratum(units[name][0])].append(name)
        split_of = {}
        for names in strata.values():
            split_of.update(_cut(names, shares))
    chosen = {id(sample): split_of[name] for name, unit in units.items() for sample in unit}
    if not any(sample.group is not None for sample in samples):
        _give_train_every_class(table, samples, keys, chosen, seed)
    return chosen


def _cut(names: list[str], shares: Mapping[str, float]) -> dict[str, str]:
    """Cut an ordered list at the fractions: the others from the front, in order of their share, train what is left."""
    others = sorted((name for name in shares if name != TRAIN), key=lambda name: (-shares[name], name))
    room = len(names) - 1
    result, place = {}, 0
    for split in others:
        count = min(max(1, round(shares[split] * len(names))), room)
        result.update(dict.fromkeys(names[place : place + count], split))
        place, room = place + count, room - count
    result.update(dict.fromkeys(names[place:], TRAIN))
    return result


def _fill(order: list[str], sizes: Mapping[str, int], shares: Mapping[str, float]) -> dict[str, str]:
    """Whole groups, one after the other, to the split that lacks most samples; every split gets a group."""
    if len(order) < len(shares):
        raise DataError(f"{len(order)} groups cannot be divided into {len(shares)} splits; name the splits in a column")
    total = sum(sizes.values())
    lacking = {split: share * total for split, share in shares.items()}
    result: dict[str, str] = {}
    for place, name in enumerate(order):
        empty = [split for split in shares if split not in result.values()]
        open_splits = empty if len(order) - place <= len(empty) else list(shares)
        split = max(open_splits, key=lambda split: (lacking[split], split == TRAIN, split))
        lacking[split] -= sizes[name]
        result[name] = split
    return result


def _give_train_every_class(
    table: Table, samples: list[Sample], keys: Mapping[int, str], chosen: dict[int, str], seed: int
) -> None:
    """With several heads only one is divided class by class: move a sample of each class that train lacks."""
    given = [sample for sample in table.samples if sample.split == TRAIN]
    for head in table.classes:
        trained = {sample.labels[head] for sample in given}
        trained |= {sample.labels[head] for sample in samples if chosen[id(sample)] == TRAIN}
        for index in sorted({sample.labels[head] for sample in samples} - trained):
            of_class = [sample for sample in samples if sample.labels[head] == index]
            moved = min(of_class, key=lambda sample: _hash(seed, keys[id(sample)]))
            chosen[id(moved)] = TRAIN


def _hash(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()


def without_splits(table: Table) -> Table:
    """The same samples with their splits taken away, to divide them anew."""
    return dataclasses.replace(
        table, samples=tuple(dataclasses.replace(sample, split=None) for sample in table.samples)
    )
