"""Moments in Time: CSV files without a header, path, label and the votes for and against it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tubelet.data.annotations.common import Annotations, in_order, split_files
from tubelet.data.records import Record
from tubelet.data.rows import read_lines, read_text
from tubelet.errors import DataError

FILES = {"train": ["training*.csv", "train*.csv"], "val": ["validation*.csv", "val*.csv"]}
CATEGORIES = "moments_categories.txt"
FOLDERS = {"train": "training", "val": "validation"}


def looks_like(path: Path, header: Sequence[str]) -> bool:
    """Whether a file is of this data set. A list `path,label,start,end` looks the same, so its name counts too."""
    known = (path.parent / CATEGORIES).is_file() or path.name.lower() in ("trainingset.csv", "validationset.csv")
    return (
        known
        and len(header) == 4
        and header[0].endswith(".mp4")
        and all(cell.strip().isdecimal() for cell in header[2:])
    )


def read(path: Path, root: Path) -> Annotations:
    """Read one annotation file, or a folder with those of the splits (trainingSet.csv, validationSet.csv).

    Videos lie below `root` as the files name them (`clapping/x.mp4`), or below `training` and `validation` there. The
    order of the classes is that of moments_categories.txt beside the file.
    """
    folder = path if path.is_dir() else path.parent
    records = []
    for split, file in split_files(path, FILES, "Moments in Time"):
        base = root / FOLDERS.get(split or "", "")
        base = base if base.is_dir() else root
        for number, cells in read_lines(file.name, read_text(file)):
            where = f"{file.name} line {number}"
            if len(cells) < 2 or not all(cells[:2]):
                raise DataError(f"{where}: expected path,label,votes for,votes against")
            records.append(Record(str(base / cells[0]), {"label": cells[1]}, split=split, line=where))
    categories = folder / CATEGORIES
    if not categories.is_file():
        return Annotations(
            records, None, [f"no {CATEGORIES} in {folder}: classes are numbered in the order of their names"]
        )
    numbers: dict[str, str] = {}
    for number, cells in read_lines(CATEGORIES, read_text(categories)):
        if len(cells) != 2:
            raise DataError(f"{CATEGORIES} line {number}: expected class,number")
        numbers[cells[0]] = cells[1]
    return Annotations(records, {"label": in_order(numbers, CATEGORIES)})
