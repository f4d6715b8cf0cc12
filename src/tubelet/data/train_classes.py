"""Whether a split has every class: what train lacks cannot be learned."""

from __future__ import annotations

from collections.abc import Iterable

from tubelet.data.table import Sample, Table
from tubelet.errors import DataError
from tubelet.text import listing

TRAIN = "train"

Class = tuple[str, int]
"""Head and index."""


def require_train_classes(table: Table) -> None:
    """Hold that every class that occurs anywhere occurs in train.

    Raises:
        DataError: a class does not; it is named.
    """
    require_classes(table, TRAIN, classes_of(table.samples))


def untrained_classes(table: Table) -> dict[str, list[str]]:
    """Head to the names of classes that occur, but not in train; heads without such are not in it."""
    lacking = classes_of(table.samples) - classes_of(sample for sample in table.samples if sample.split == TRAIN)
    found: dict[str, list[str]] = {}
    for head, index in sorted(lacking):
        found.setdefault(head, []).append(table.classes[head][index])
    return found


def classes_of(samples: Iterable[Sample]) -> set[Class]:
    """The classes that occur, of all heads."""
    return {(head, index) for sample in samples for head, shown in sample.shown.items() for index in shown}


def require_classes(table: Table, split: str, wanted: set[Class]) -> None:
    """Hold that these classes occur in a split."""
    lacking = wanted - classes_of(sample for sample in table.samples if sample.split == split)
    for head, names in table.classes.items():
        missing = [repr(names[index]) for of, index in sorted(lacking) if of == head]
        if missing:
            what = "class" if head == "label" else f"{head} class"
            where = "training video" if split == TRAIN else f"video in {split!r}"
            raise DataError(
                f"no {where} of the {what} {listing(missing)}; it can be neither learned nor tested: add "
                f"videos to {split}, or leave the class out"
            )
