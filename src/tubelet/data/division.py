"""Samples divided between splits: each class alike, whole units, and every class in train."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from tubelet.data.table import Sample, Table
from tubelet.data.train_classes import TRAIN, Class, classes_of
from tubelet.data.units import independent_units
from tubelet.errors import DataError

SameContent = Sequence[Sequence[str]]
"""Paths of files with the same content."""


def divide(
    table: Table, samples: Sequence[Sample], same: SameContent, shares: Mapping[str, float], seed: int
) -> dict[int, str]:
    """Divide samples by class, units whole; the id of each sample to its split.

    Args:
        table: with other samples too, which stay where they are.
        samples: to divide.
        same: paths of files with the same content.
        shares: split to its share, train included.
        seed: of the order of the units.
    """
    head = max(table.classes, key=lambda name: len(table.classes[name]), default=None)
    found: dict[str, list[Sample]] = defaultdict(list)
    for unit in independent_units(samples, same=same):
        found[unit_name(table, unit)] += unit
    order = sorted(found, key=lambda name: (_hash(seed, name), name))
    contents = {name: Counter(stratum for sample in found[name] for stratum in _strata(sample, head)) for name in order}
    divided = {id(sample) for sample in samples}
    given = classes_of(s for s in table.samples if s.split == TRAIN and id(s) not in divided)
    classes = {name: classes_of(found[name]) for name in order}
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


def _strata(sample: Sample, head: str | None) -> tuple[int, ...]:
    """The classes that a sample is divided by."""
    return (-1,) if head is None else sample.shown[head] or (-1,)


def unit_name(table: Table, unit: Iterable[Sample]) -> str:
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
