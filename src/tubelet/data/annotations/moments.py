"""Moments in Time: CSV files without a header, path, label and the votes for and against it."""

from __future__ import annotations

import csv
from pathlib import Path

from tubelet.data.annotations.common import Annotations, split_files
from tubelet.data.records import Record
from tubelet.errors import DataError

FILES = {"train": ["training*.csv", "train*.csv"], "val": ["validation*.csv", "val*.csv"]}
FOLDERS = {"train": "training", "val": "validation"}


def read(path: Path, root: Path) -> Annotations:
    """Read one annotation file, or a folder with those of the splits (trainingSet.csv, validationSet.csv).

    Videos lie below `root` as the files name them (`clapping/x.mp4`), or below `training` and `validation` there. The
    order of the classes is that of moments_categories.txt beside the file.

    Raises:
        DataError: a line of another form, or a class that the list of categories does not have.
    """
    folder = path if path.is_dir() else path.parent
    records = []
    for split, file in split_files(path, FILES, "Moments in Time"):
        base = root / FOLDERS.get(split or "", "")
        base = base if base.is_dir() else root
        with file.open(encoding="utf-8", newline="") as lines:
            for number, cells in enumerate(csv.reader(lines), 1):
                if not cells:
                    continue
                if len(cells) < 2:
                    raise DataError(f"{file.name} line {number}: expected path,label,votes for,votes against")
                where = f"{file.name} line {number}"
                records.append(
                    Record(str(base / cells[0].strip()), {"label": cells[1].strip()}, split=split, line=where)
                )
    categories = folder / "moments_categories.txt"
    if not categories.is_file():
        return Annotations(
            records, None, [f"no {categories.name} in {folder}: classes are numbered in the order of their names"]
        )
    with categories.open(encoding="utf-8", newline="") as lines:
        numbers = {cells[0]: int(cells[1]) for cells in csv.reader(lines) if cells}
    return Annotations(records, {"label": sorted(numbers, key=lambda name: numbers[name])})
