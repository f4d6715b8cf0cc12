"""The labels of a row: one name in a cell, several in a cell, or a column of 0 and 1 for each class."""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tubelet.config.data import KEEP_WHOLE, TableFormat
from tubelet.data.columns import label_columns, name_in
from tubelet.data.rows import Rows
from tubelet.errors import DataError
from tubelet.text import count, did_you_mean

SEPARATORS = (";", "|")
"""Looked for where no separator is given. A comma is part of many class names, and must be given."""

LIST = "a list in JSON"
ONE_HOT = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


@dataclass(frozen=True)
class LabelCells:
    """How the labels of a row are read.

    Attributes:
        single: head to the column that holds its class.
        several: multi-label head to the column and what stands between its labels: a separator, or `LIST`.
        one_hot: the classes of the multi-label head `label` that have a column each.
        background: the label that means none of the classes of a multi-label head.
    """

    single: Mapping[str, str] = field(default_factory=dict)
    several: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    one_hot: Sequence[str] = ()
    background: str | None = None

    @property
    def columns(self) -> list[str]:
        """All columns that are read."""
        return [*self.single.values(), *(column for column, _ in self.several.values()), *self.one_hot]

    def read(self, row: Mapping[str, str], where: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
        """The class of each head, and the classes of each multi-label head; a DataError names the cell."""
        labels = {head: name_in(row[column], column, where) for head, column in self.single.items()}
        for head, name in labels.items():
            if not name:
                raise DataError(
                    f"{where}: the label in column {self.single[head]!r} is empty; fill it in or leave the row out"
                )
        sets = {}
        for head, (column, between) in self.several.items():
            cell = row[column]
            if between != LIST or _as_list(cell) is None:
                name_in(cell, column, where)  # refuses other lists and objects
            if between == LIST and cell and _as_list(cell) is None:
                raise DataError(f"{where}: {cell:.60} is no list; the column {column!r} holds lists of names in JSON")
            names = _parts(cell, between)
            if self.background in names:
                if len(names) > 1:
                    raise DataError(
                        f"{where}: the column {column!r} holds {self.background!r} (background), which means none of "
                        f"the classes, beside {', '.join(name for name in names if name != self.background)}"
                    )
                names = ()
            sets[head] = names
        if self.one_hot:
            sets["label"] = tuple(column for column in self.one_hot if _is_shown(row[column], column, where))
        return labels, sets


def label_cells(rows: Rows, options: TableFormat) -> tuple[LabelCells, list[str]]:
    """How to read the labels of a table, and notes on what was decided; a DataError if options do not fit it."""
    if options.one_hot:
        if options.label_separator is not None or options.background is not None:
            raise DataError("one_hot=True takes columns of 0 and 1, which have no label_separator and no background")
        return _one_hot(rows, options)
    if options.label_separator == "":
        raise DataError("label_separator is empty; name what stands between labels, or 'none'")
    if options.labels is not None and not options.labels:
        return LabelCells(), []
    heads = label_columns(rows.header, options.labels, rows.name)
    single: dict[str, str] = {}
    several: dict[str, tuple[str, str]] = {}
    notes = []
    for head, column in heads.items():
        cells = [row[column] for _, row in rows.rows]
        between = _between(cells, options.label_separator)
        if between is None:
            single[head] = column
        else:
            several[head] = column, between
            notes.append(_described(column, cells, between, options))
    if options.splits_cells and not several:
        columns = ", ".join(map(repr, heads.values()))
        raise DataError(
            f"{rows.name}: no cell of {columns} holds label_separator={options.label_separator!r}; leave it out"
        )
    return LabelCells(single, several, background=options.background), notes


def _between(cells: Sequence[str], given: str | None) -> str | None:
    """What stands between the labels of the cells of a column; None if each holds one class."""
    if given == KEEP_WHOLE:
        return None
    if given is not None:
        return given if any(given in cell for cell in cells) else None
    if any(_as_list(cell) is not None for cell in cells):
        return LIST
    return next((separator for separator in SEPARATORS if _recur(cells, separator)), None)


def _recur(cells: Sequence[str], separator: str) -> bool:
    """Whether every part of every cell that is split occurs in another cell too, with other parts or alone."""
    different = {frozenset(_parts(cell, separator)) for cell in cells}
    times = Counter(part for parts in different for part in parts)
    return all(times[part] > 1 for parts in different if len(parts) > 1 for part in parts) and any(
        len(parts) > 1 for parts in different
    )


def _described(column: str, cells: Sequence[str], between: str, options: TableFormat) -> str:
    sets = [set(_parts(cell, between)) - {options.background} for cell in cells]
    what = f"the column {column!r} is split at {between!r}" if between != LIST else f"the column {column!r} holds lists"
    total, none = sum(map(len, sets)), sum(not one for one in sets)
    classes = len({name for one in sets for name in one})
    text = f"{what}: {count(classes, 'class', 'classes')}, {total / len(sets):.2f} labels a video" + (
        f", {count(none, 'video')} with none" if none else ""
    )
    return (
        text
        if options.splits_cells or between == LIST
        else f"{text}; label_separator='none' takes every cell for one class"
    )


def _parts(cell: str, between: str) -> tuple[str, ...]:
    """The different labels in a cell, in order."""
    names = (_as_list(cell) or []) if between == LIST else [part.strip() for part in cell.split(between)]
    return tuple(dict.fromkeys(name for name in names if name))


def _as_list(cell: str) -> list[str] | None:
    """The names in a cell that is a list of texts in JSON."""
    if not cell.startswith("["):
        return None
    try:
        names = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    fits = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return [name.strip() for name in names] if fits else None


def _one_hot(rows: Rows, options: TableFormat) -> tuple[LabelCells, list[str]]:
    if not options.labels or isinstance(options.labels, Mapping):
        raise DataError("one_hot=True needs the columns of the classes: name them with labels, or a pattern as 'tag_*'")
    columns: list[str] = []
    for name in options.labels:
        found = [column for column in rows.header if fnmatch.fnmatchcase(column, name)]
        if not found:
            raise DataError(f"{rows.name}: no column {name!r}{did_you_mean(name, rows.header)}")
        columns += [column for column in found if column not in columns]
    empty = [column for column in columns if not any(_is_shown(r[column], column, rows.where(n)) for n, r in rows.rows)]
    notes = [f"{count(len(columns), 'column')} of 0 and 1 are the classes of one multi-label head"]
    if empty:
        notes.append(f"no video shows {', '.join(empty)}: left out of the classes")
    return LabelCells(one_hot=columns), notes


def _is_shown(cell: str, column: str, where: str) -> bool:
    found = ONE_HOT.get(cell.lower())
    if found is None:
        raise DataError(f"{where}: the column {column!r} holds {cell!r:.40}; one_hot=True takes 0 and 1")
    return found


def one_hot_note(rows: Rows, cells: LabelCells) -> list[str]:
    """A note where several heads hold nothing but 0 and 1: they may be meant as classes of one."""
    columns = list(cells.single.values())
    if len(columns) < 2 or any(row[column] not in ("0", "1") for _, row in rows.rows for column in columns):
        return []
    return [
        f"each of the columns {', '.join(columns)} holds 0 and 1 alone, and is a head with two classes; one_hot=True "
        "makes them the classes of one multi-label head"
    ]
