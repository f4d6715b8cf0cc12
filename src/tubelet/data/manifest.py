"""Records out of a table of text: a CSV, TSV or JSONL file with a row for each video."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tubelet.config.data import TableFormat
from tubelet.config.split_names import split_name
from tubelet.data.columns import (
    columns_for,
    find_column,
    frames_per_second,
    name_in,
    named_column,
    unread_note,
    window_columns,
    window_of,
)
from tubelet.data.label_cells import label_cells, one_hot_note
from tubelet.data.records import Record
from tubelet.data.rows import Rows
from tubelet.errors import DataError


def manifest_records(rows: Rows, root: Path, options: TableFormat) -> tuple[list[Record], list[str]]:
    """The records, and notes on other columns that may be meant and columns that are not read.

    Paths start from `root`. A column that is missing or a cell that cannot be used is a DataError that names the line.
    """
    header = rows.header
    if not rows.rows:
        raise DataError(f"{rows.name}: no rows below the header")
    path = find_column(header, "path")
    if path is None:
        raise DataError(f"{rows.name}: no column is called path, video or file; the columns are: {', '.join(header)}")
    cells, notes = label_cells(rows, options)
    split = _column(rows, options.split_column, "split")
    group = _column(rows, options.group_column, "group")
    start, end = window_columns(header)
    rate = find_column(header, "frame rate") if start or end else None
    records = []
    for line, row in rows.rows:
        where = rows.where(line)
        if not row[path]:
            raise DataError(f"{where}: the path is empty")
        labels, label_sets = cells.read(row, where)
        times = window_of(row[start] if start else "", row[end] if end else "", where)
        records.append(
            Record(
                os.path.normpath(root / row[path]),
                labels,
                *times,
                split=(split_name(name_in(row[split], split, where)) or None) if split else None,
                group=(name_in(row[group], group, where) or None) if group else None,
                line=where,
                frame_rate=frames_per_second(row[rate], where) if rate else None,
                label_sets=label_sets,
            )
        )
    if rate and not any(os.path.isdir(record.path) for record in records):
        rate = None
    notes += one_hot_note(rows, cells)
    if options.labels is None:
        others = [column for column in header if find_column([column], "label") and column not in cells.columns]
        notes += _or_meant("labels are", cells.columns[0], others)
    passed_over = set[str]()
    for meaning, column in (("path", path), ("start", start), ("end", end)):
        others = [other for other in columns_for(header, meaning) if other != column]
        passed_over.update(others)
        notes += _or_meant(f"{meaning} is", column, others)
    read = {path, *cells.columns, split, group, start, end, rate, *passed_over}
    return records, [*notes, *unread_note(header, read, group)]


def _column(rows: Rows, named: str | None, meaning: str) -> str | None:
    return named_column(rows.header, named, rows.name) if named else find_column(rows.header, meaning)


def _or_meant(what: str, column: str | None, others: Iterable[str]) -> list[str]:
    listed = ", ".join(others)
    return [f"{what} taken from the column {column!r}; {listed} could be meant as well"] if listed else []
