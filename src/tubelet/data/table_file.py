"""Tables as CSV files."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path

from tubelet.config.run_state import RESTORE
from tubelet.data.table import Sample, Table
from tubelet.errors import DataError
from tubelet.files import replacing_shared

OPTIONAL = ("start", "end", "split", "group", "content")
"""Columns that are written where a sample has a value."""


def write_table(table: Table, path: str | Path) -> Path:
    """Write a table as CSV: path, one column for each head, and start, end, split, group where a sample has them.

    Paths are absolute, so that `read_table` finds the videos again wherever the CSV lies.
    """
    extra = [name for name in OPTIONAL if any(getattr(sample, name) is not None for sample in table.samples)]
    with (
        replacing_shared(Path(path)) as partial,
        partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", *table.classes, *extra])
        for sample in table.samples:
            cells = ["" if value is None else value for value in (getattr(sample, name) for name in extra)]
            writer.writerow([os.path.abspath(sample.path), *table.class_names(sample), *cells])
    return Path(path)


def read_splits(path: Path, classes: dict[str, list[str]], root: str, multi_label: Sequence[str] = ()) -> Table:
    """The table that `tubelet.data.write_table` wrote, sample for sample; nothing is looked for, left out or sorted.

    The classes, the root and the multi-label heads are those of the table. A damaged line is a DataError that names it.
    """
    index = {head: {name: number for number, name in enumerate(names)} for head, names in classes.items()}

    def seconds(text: str | None) -> float | None:
        return float(text) if text else None

    samples: list[Sample] = []
    line = 1
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = csv.DictReader(file, strict=True)
            for row in rows:
                line = rows.line_num
                if None in row or None in row.values() or not row["path"]:
                    raise ValueError("another number of cells than the header has, or no path")
                labels = {head: numbers[row[head]] for head, numbers in index.items() if head not in multi_label}
                sets = {
                    head: tuple(sorted(index[head][name] for name in json.loads(row[head]))) for head in multi_label
                }
                start, end = seconds(row.get("start")), seconds(row.get("end"))
                split, group, content = (row.get(name) or None for name in ("split", "group", "content"))
                samples.append(Sample(row["path"], labels, start, end, split, group, content, sets))
    except KeyError as error:
        raise DataError(f"{path} line {line}: no column, or no class, is called {error}; {RESTORE}") from error
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} line {line}: damaged ({error}); {RESTORE}") from error
    if not samples:
        raise DataError(f"{path}: lists no video; {RESTORE}")
    return Table(tuple(samples), classes, root, multi_label=tuple(multi_label))
