"""The table of a run, from its `splits.csv`."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tubelet.config.run_state import RESTORE, RUN_FILE, read_run_file
from tubelet.data.table import Sample, Table
from tubelet.errors import DataError
from tubelet.video import video_exists

SPLITS_FILE = "splits.csv"


def run_table(folder: str | os.PathLike[str]) -> Table:
    """All videos of a run, with its splits and classes; a DataError if it lists none, or a file of it is damaged."""
    folder = Path(folder)
    if not (folder / SPLITS_FILE).is_file() or not (folder / RUN_FILE).is_file():
        raise DataError(f"{folder} is not a run that knows its videos (no {SPLITS_FILE}); name some")
    return splits_of(folder, read_run_file(folder, "labels", "data"))


def splits_of(folder: Path, run: Mapping[str, Any]) -> Table:
    """The table of the run in a folder, held against its `run.json`; a DataError if rows of `splits.csv` are
    missing."""
    table = read_splits(folder / SPLITS_FILE, run["labels"] or {}, run["data"]["root"])
    expected = run["data"].get("splits")
    if expected is not None and expected != table.splits:
        raise DataError(
            f"{folder / SPLITS_FILE} lists {_counts(table.splits)}, and the run was given {_counts(expected)}: rows "
            f"are missing or changed; {RESTORE}"
        )
    return table


def require_any(table: Table) -> None:
    """Hold that not all videos of a run are gone."""
    if not any(video_exists(sample.path) for sample in table.samples):
        raise DataError(
            f"none of the run's {len(table)} videos is where it was ({table.samples[0].path} for one). If they were "
            "moved, name the folder or table where they are now: they are known by their content"
        )


def read_splits(path: Path, classes: dict[str, list[str]], root: str) -> Table:
    """The table that `tubelet.data.write_table` wrote, sample for sample; nothing is looked for, left out or sorted.

    The classes and the root are those of the table. A damaged line is a DataError that names it.
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
                labels = {head: numbers[row[head]] for head, numbers in index.items()}
                start, end = seconds(row.get("start")), seconds(row.get("end"))
                more = (row.get(name) or None for name in ("split", "group", "content"))
                samples.append(Sample(row["path"], labels, start, end, *more))
    except KeyError as error:
        raise DataError(f"{path} line {line}: no column, or no class, is called {error}; {RESTORE}") from error
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} line {line}: damaged ({error}); {RESTORE}") from error
    if not samples:
        raise DataError(f"{path}: lists no video; {RESTORE}")
    return Table(tuple(samples), classes, root)


def _counts(splits: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {split or 'without split'}" for split, number in sorted(splits.items())) or "nothing"
