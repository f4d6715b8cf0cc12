"""The annotation files of published data sets, each in a module of its own, so that nobody has to convert them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tubelet.data.annotations import epic, kinetics, moments, something
from tubelet.data.annotations.common import Annotations

__all__ = ["FORMATS", "Annotations", "Format", "detect_folder", "detect_format"]


@dataclass(frozen=True)
class Format:
    """A data set whose annotations can be read.

    Attributes:
        title: its name.
        read: (annotation file or the folder of them, folder of the videos) to annotations.
    """

    title: str
    read: Callable[[Path, Path], Annotations]


FORMATS = {
    "kinetics": Format("Kinetics", kinetics.read),
    "something": Format("Something-Something v2", something.read),
    "epic": Format("EPIC-Kitchens", epic.read),
    "moments": Format("Moments in Time", moments.read),
}


def detect_folder(folder: Path) -> str:
    """A key of `FORMATS`, if one of the files that lie in the folder itself is an annotation file; or `folder`."""
    files = sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in (".csv", ".json"))
    found = (detect_format(file) for file in files if file.is_file())
    return next((known for known in found if known in FORMATS), "folder")


def detect_format(path: Path) -> str:
    """A key of `FORMATS`, by what only that data set's files have; or `table`."""
    if path.suffix.lower() == ".json":
        with path.open(encoding="utf-8") as file:
            start = file.read(4096)
        return "something" if '"template"' in start else "table"
    if path.suffix.lower() != ".csv":
        return "table"
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        header = next(csv.reader(file), [])
    names = {name.strip().lower() for name in header}
    if "youtube_id" in names:
        return "kinetics"
    if {"verb_class", "noun_class", "narration_id"} <= names:
        return "epic"
    if len(header) == 4 and header[0].endswith(".mp4") and header[2].isdecimal() and header[3].isdecimal():
        return "moments"
    return "table"
