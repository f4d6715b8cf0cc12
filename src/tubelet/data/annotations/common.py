"""Shared by the readers of annotation files: finding videos by name, and the files of each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tubelet.data.class_folders import read_folder
from tubelet.data.records import Record
from tubelet.errors import DataError

LONGEST = 10
"""Digits beyond which something is no number of a class."""


@dataclass(frozen=True)
class Annotations:
    """What a reader gives.

    Attributes:
        records: one for each annotated video or part of one.
        classes: class names by head in the data set's own order; None sorts the names that occur.
        notes: for the user.
    """

    records: list[Record]
    classes: dict[str, list[str]] | None = None
    notes: list[str] = field(default_factory=list)


class Videos:
    """The videos anywhere below a folder, by their names without suffix. A DataError without the folder."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"{root} is no folder; name the one that the videos lie in, at any depth (video_root)")
        self.root = root
        self._by_name: dict[str, str] = {}
        records, _ = read_folder(root, labelled=False)
        for record in records:
            self._by_name.setdefault(Path(record.path).stem, record.path)

    def find(self, *names: str) -> str | None:
        """The path of the first of these names that is there."""
        return next((self._by_name[name] for name in names if name in self._by_name), None)

    def expected(self, name: str) -> str:
        """The path to name in an error if a video is not there."""
        return str(self.root / name)


def in_order(numbers: Mapping[str, object], where: str) -> list[str]:
    """Class names in the order of their numbers, which run from 0; a DataError otherwise."""
    by_number = {}
    for name, number in numbers.items():
        text = str(number)
        if not (text.isdecimal() and len(text) < LONGEST) or int(text) in by_number:
            raise DataError(f"{where}: the class {name!r} has the number {text!r:.40}; expected one of its own, from 0")
        by_number[int(text)] = name
    if sorted(by_number) != list(range(len(by_number))):
        raise DataError(f"{where}: class numbers do not run from 0 to {len(by_number) - 1}")
    return [by_number[number] for number in range(len(by_number))]


def split_files(path: Path, names: Mapping[str, Sequence[str]], title: str) -> list[tuple[str | None, Path]]:
    """(split, file) of each annotation file: `path`, or those in it that match `names`; a DataError without any."""
    if path.is_file():
        split = next(
            (split for split, patterns in names.items() if any(path.match(pattern) for pattern in patterns)), None
        )
        return [(split, path)]
    found: list[tuple[str | None, Path]] = []
    for split, patterns in names.items():
        files = sorted({file for pattern in patterns for file in path.glob(pattern) if file.is_file()})
        if len(files) > 1:
            listed = ", ".join(file.name for file in files)
            raise DataError(f"{path} holds several files for the split {split}: {listed}; name the file itself")
        found += [(split, file) for file in files]
    if not found:
        wanted = ", ".join(pattern for patterns in names.values() for pattern in patterns)
        raise DataError(
            f"{path} holds no annotations of {title}; expected files such as {wanted}. "
            "format='folder' reads class folders"
        )
    return found
