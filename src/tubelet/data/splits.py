"""Splits that are made: the same whatever order the videos are listed in, and hardly changed when videos are added.

What is divided are units (`tubelet.data.units`): a group, or a file with all its parts, copies and links. No unit is
ever in two splits that are made.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from tubelet.config.split_names import split_name
from tubelet.data.hints import belonging_hint
from tubelet.data.table import Sample, Table
from tubelet.data.units import copies_note, independent_units, same_content
from tubelet.errors import DataError
from tubelet.text import listing

TRAIN = "train"

Class = tuple[str, int]
"""Head and index."""

Same = Sequence[Sequence[str]]
"""Paths of files with the same content."""


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
        fractions: split to its share; 0.8 train and 0.2 val if nothing is said.
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
        chosen = _divide(table, open_samples, same, shares, seed)
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
        chosen = _divide(source, source.samples, same, {TRAIN: 1 - share, into: share}, seed)
        moved = {key for key, split in chosen.items() if split == into}
    table = table.with_splits(lambda sample: into if id(sample) in moved else sample.split)
    _require_classes(table, out_of, _classes_of(source.samples))
    return _noted(table, [*_why_empty([] if moved else [into]), *_hint(source.samples, table.root)])


def _of_groups(source: Table, same: Same, groups: Sequence[str], out_of: str) -> set[int]:
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


def _follow(table: Table, same: Same, *, groups: bool) -> Table:
    """Samples without a split take that of their file (or, with `groups`, of their group)."""
    chosen: dict[int, str] = {}
    torn = []
    for unit in independent_units(table.samples, groups=groups, same=same):
        settled = sorted({sample.split for sample in unit if sample.split is not None})
        without = [sample for sample in unit if sample.split is None]
        if without and len(settled) > 1:
            torn.append(f"{_unit_name(table, unit)} is in {' and '.join(settled)}, and {len(without)} more are open")
        elif without and settled:
            chosen.update((id(sample), settled[0]) for sample in without)
    if torn:
        raise DataError(
            f"{len(torn)} groups or files are in several splits and have samples without one: "
            f"{listing(torn, between='; ')}; say where these belong, or leave them out"
        )
    return table.with_splits(lambda sample: sample.split or chosen.get(id(sample)))


def _copies(samples: Sequence[Sample], same: Same) -> list[str]:
    return copies_note(independent_units(samples, groups=False, same=same))


def _hint(samples: Sequence[Sample], root: str) -> list[str]:
    """Names that look as if some videos belonged together, where nobody says which do."""
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


def require_train_classes(table: Table) -> None:
    """Hold that every class that occurs anywhere occurs in train.

    Raises:
        DataError: a class does not; it is named.
    """
    _require_classes(table, TRAIN, _classes_of(table.samples))


def untrained_classes(table: Table) -> dict[str, list[str]]:
    """Head to the names of classes that occur, but not in train; heads without such are not in it."""
    lacking = _classes_of(table.samples) - _classes_of(sample for sample in table.samples if sample.split == TRAIN)
    found: dict[str, list[str]] = {}
    for head, index in sorted(lacking):
        found.setdefault(head, []).append(table.classes[head][index])
    return found


def _classes_of(samples: Iterable[Sample]) -> set[Class]:
    return {label for sample in samples for label in sample.labels.items()}


def _require_classes(table: Table, split: str, wanted: set[Class]) -> None:
    lacking = wanted - _classes_of(sample for sample in table.samples if sample.split == split)
    for head, names in table.classes.items():
        missing = [repr(names[index]) for of, index in sorted(lacking) if of == head]
        if missing:
            what = "class" if head == "label" else f"{head} class"
            where = "training video" if split == TRAIN else f"video in {split!r}"
            raise DataError(
                f"no {where} of the {what} {listing(missing)}; it can be neither learned nor tested: add "
                f"videos to {split}, or leave the class out"
            )


def _divide(
    table: Table, samples: Sequence[Sample], same: Same, shares: Mapping[str, float], seed: int
) -> dict[int, str]:
    """id of a sample to its split."""
    head = max(table.classes, key=lambda name: len(table.classes[name]), default=None)
    found: dict[str, list[Sample]] = defaultdict(list)
    for unit in independent_units(samples, same=same):
        found[_unit_name(table, unit)] += unit
    order = sorted(found, key=lambda name: (_hash(seed, name), name))
    contents = {name: Counter(_stratum(sample, head) for sample in found[name]) for name in order}
    divided = {id(sample) for sample in samples}
    given = _classes_of(s for s in table.samples if s.split == TRAIN and id(s) not in divided)
    classes = {name: _classes_of(found[name]) for name in order}
    strata: dict[int, list[str]] = defaultdict(list)
    for name in order:
        if len(contents[name]) == 1:
            strata[next(iter(contents[name]))].append(name)
    split_of: dict[str, str] = {}
    for names in strata.values():
        split_of.update(_cut(names, shares))
    if len(split_of) < len(order):
        trained = given.union(*(classes[name] for name, split in split_of.items() if split == TRAIN))
        mixed = [name for name in order if name not in split_of]
        first = _covering(mixed, classes, trained)
        split_of.update(_fill(mixed, contents, shares, first, split_of, table.splits))
    _give_train_every_class(order, classes, given, split_of)
    return {id(sample): split_of[name] for name, unit in found.items() for sample in unit}


def _stratum(sample: Sample, head: str | None) -> int:
    return -1 if head is None else sample.labels[head]


def _unit_name(table: Table, unit: Iterable[Sample]) -> str:
    """The lasting name of a unit: the first of its groups, or else of its files."""
    return min(
        f"sample {table.key(dataclasses.replace(sample, start=None, end=None))}"
        if sample.group is None
        else f"group {sample.group}"
        for sample in unit
    )


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


def _covering(order: Sequence[str], classes: Mapping[str, set[Class]], given: set[Class]) -> list[str]:
    """Units that train needs to have every class: for each that it lacks, rarest first, the one that holds most."""
    holders: dict[Class, list[str]] = defaultdict(list)
    for name in order:
        for one in classes[name]:
            holders[one].append(name)
    chosen, covered = [], set(given)
    for one in sorted(holders, key=lambda one: (len(holders[one]), one)):
        if one not in covered:
            name = max(holders[one], key=lambda name: len(classes[name] - covered))
            chosen.append(name)
            covered |= classes[name]
    return chosen


def _fill(
    order: Sequence[str],
    contents: Mapping[str, Counter[int]],
    shares: Mapping[str, float],
    first: Sequence[str],
    placed: Mapping[str, str],
    given: Collection[str],
) -> dict[str, str]:
    """Whole units, one after the other, to the split that lacks most of their classes; every split gets a unit.

    Args:
        order: of the units that hold several classes.
        contents: unit to the samples of each class in it, of all units.
        shares: of the splits.
        first: units that go to train before all others.
        placed: where the other units are.
        given: splits that have samples already.
    """
    there = {*given, *placed.values(), *([TRAIN] if first else [])}
    empty = dict.fromkeys(split for split in shares if split not in there)
    if len(order) - len(first) < len(empty):
        raise DataError(
            f"{len(contents)} groups cannot be divided into {len(shares)} splits so that train has every class (parts "
            "of one file, its copies and links are a group too); name the splits in a column"
        )
    totals: Counter[int] = Counter()
    for content in contents.values():
        totals.update(content)
    lacking = {split: {one: share * count for one, count in totals.items()} for split, share in shares.items()}
    result: dict[str, str] = {}

    def put(name: str, split: str) -> None:
        result[name] = split
        for one, count in contents[name].items():
            lacking[split][one] -= count

    def need(name: str, split: str) -> float:
        return sum(count * lacking[split][one] / totals[one] for one, count in contents[name].items())

    for name, split in placed.items():
        put(name, split)
    for name in first:
        put(name, TRAIN)
    left = [name for name in order if name not in result]
    for place, name in enumerate(left):
        open_splits = list(empty) if len(left) - place <= len(empty) else list(shares)
        split = max(open_splits, key=lambda split: (need(name, split), split == TRAIN, split))
        put(name, split)
        empty.pop(split, None)
    return result


def _give_train_every_class(
    order: Sequence[str], classes: Mapping[str, set[Class]], given: set[Class], split_of: dict[str, str]
) -> None:
    """With several heads only one is divided class by class: move a unit of each class that train lacks."""
    trained = given.union(*(classes[name] for name in order if split_of[name] == TRAIN))
    for one in sorted(set().union(*classes.values()) - trained):
        if one not in trained:
            moved = next(name for name in order if one in classes[name])
            split_of[moved] = TRAIN
            trained |= classes[moved]


def _hash(seed: int, name: str) -> bytes:
    return hashlib.blake2b(os.fsencode(f"{seed}/{name}"), digest_size=16).digest()


def without_splits(table: Table) -> Table:
    """The same samples with their splits taken away, to divide them anew."""
    return dataclasses.replace(
        table, samples=tuple(dataclasses.replace(sample, split=None) for sample in table.samples)
    )
