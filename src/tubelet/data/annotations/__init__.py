"""Readers of the annotation files of published data sets, one module each."""

from __future__ import annotations

import csv
import re
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


SNIFFED = 2**16
"""Bytes of a file that are looked at to see whether it is an annotation file."""

SOMETHING = re.compile(r'\[\s*\{(?=[^}]*"id")(?=[^}]*"template")')
"""How a file of Something-Something v2 begins."""


def detect_folder(folder: Path) -> str:
    """A key of `FORMATS`, if one of the files that lie in the folder itself is an annotation file; or `folder`."""
    files = sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in (".csv", ".json"))
    found = (detect_format(file) for file in files if file.is_file())
    return next((known for known in found if known in FORMATS), "folder")


def detect_format(path: Path) -> str:
    """A key of `FORMATS`, by what only that data set's files have; or `table`. Files of other programs are tables."""
    if not path.is_file():
        return "table"
    with path.open("rb") as file:
        start = file.read(SNIFFED).decode("utf-8-sig", errors="replace")
    if path.suffix.lower() == ".json":
        return "something" if SOMETHING.match(start.lstrip()) else "table"
    if path.suffix.lower() != ".csv":
        return "table"
    try:
        header = next(csv.reader(start.split("\n")[:1]), [])
    except csv.Error:
        return "table"
    names = {name.strip().lower() for name in header}
    if {"youtube_id", "time_start", "time_end"} <= names:
        return "kinetics"
    if {"verb_class", "noun_class", "narration_id"} <= names:
        return "epic"
    return "moments" if moments.looks_like(path, header) else "table"
