"""The videos of a run, as its `splits.csv` lists them."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

from tubelet.data.table import Sample, Table
from tubelet.errors import DataError
from tubelet.video import video_exists

SPLITS_FILE = "splits.csv"
RUN_FILE = "run.json"


def run_table(folder: str | os.PathLike[str]) -> Table:
    """All videos that a run was given, with the splits and the classes that they have there.

    Args:
        folder: of the run.

    Raises:
        DataError: the folder holds no run that lists its videos, or a file of it is damaged.
    """
    folder = Path(folder)
    if not (folder / SPLITS_FILE).is_file() or not (folder / RUN_FILE).is_file():
        raise DataError(f"{folder} is not a run that knows its videos (no {SPLITS_FILE}); name some")
    try:
        run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        return read_splits(folder / SPLITS_FILE, run["labels"] or {}, run["data"]["root"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise DataError(
            f"{folder}: {RUN_FILE} or {SPLITS_FILE} is damaged ({type(error).__name__}: {error}); name some"
        ) from error


def require_any(table: Table) -> None:
    """Hold that not all videos of a run are gone.

    Raises:
        DataError: they are; it says how a data set that was moved is found again.
    """
    if not any(video_exists(sample.path) for sample in table.samples):
        raise DataError(
            f"none of the run's {len(table)} videos is where it was ({table.samples[0].path} for one). If they were "
            "moved, name the folder or table where they are now: they are known by their content"
        )


def read_splits(path: Path, classes: dict[str, list[str]], root: str) -> Table:
    """The table that `tubelet.data.write_table` wrote, sample for sample; nothing is looked for, left out or sorted.

    Args:
        path: of the CSV.
        classes: class names by head.
        root: of the table.
    """
    index = {head: {name: number for number, name in enumerate(names)} for head, names in classes.items()}

    def seconds(text: str | None) -> float | None:
        return float(text) if text else None

    samples = []
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        for row in csv.DictReader(file):
            labels = {head: numbers[row[head]] for head, numbers in index.items()}
            start, end = seconds(row.get("start")), seconds(row.get("end"))
            more = (row.get(name) or None for name in ("split", "group", "content"))
            samples.append(Sample(row["path"], labels, start, end, *more))
    return Table(tuple(samples), classes, root)
