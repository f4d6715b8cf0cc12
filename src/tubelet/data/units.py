"""Independent units of samples: parts of one file, its copies and links are one unit, and so is a group."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from tubelet.data.content import copies
from tubelet.errors import VideoError
from tubelet.text import listing
from tubelet.video import FilePart, open_video


@runtime_checkable
class Grouped(Protocol):
    """A sample, a prediction: something of a video that may belong to a group."""

    @property
    def path(self) -> str:
        """Of the video."""

    @property
    def group(self) -> str | None:
        """See `Sample`."""


G = TypeVar("G", bound=Grouped)


def independent_unit(sample: Grouped) -> str:
    """The independent unit of a sample: its group, else its file, whatever part of the file it is.

    Samples of different units are taken to be independent: a split never cuts a unit, and intervals are drawn over
    them. Copies under other names are not looked for here, since that means reading files; `independent_units` does.
    """
    return f"file {file_of(sample.path)}" if sample.group is None else f"group {sample.group}"


def file_of(path: str) -> str:
    """The file that a path leads to: links are followed, and a video in a shard is the file it was made of."""
    return Files().of(path)


def independent_units(
    samples: Sequence[G], *, groups: bool = True, same: Sequence[Sequence[str]] | None = None
) -> list[list[G]]:
    """Samples that belong together, each unit and all of them in the order of the samples.

    Two samples are of one unit if they are of one file, of one group, or of two files with the same content; and if a
    third one joins them.

    Args:
        samples: to put together.
        groups: False looks at files and their content alone.
        same: paths of files with the same content, as `same_content` gives them; None looks for them.
    """
    files, units = Files(), _DisjointSets()
    for sample in samples:
        if groups and sample.group is not None:
            units.union(("file", files.of(sample.path)), ("group", sample.group))
    for paths in same_content(samples) if same is None else same:
        for path in paths[1:]:
            units.union(("file", files.of(paths[0])), ("file", files.of(path)))
    found: dict[Hashable, list[G]] = defaultdict(list)
    for sample in samples:
        found[units.find(("file", files.of(sample.path)))].append(sample)
    return list(found.values())


def same_content(samples: Iterable[Grouped]) -> list[list[str]]:
    """Groups of different files of these samples that hold the same, by their paths."""
    return Files().copies(sample.path for sample in samples)


class Files:
    """Where paths lead to; each folder is looked up once."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}
        self._known: dict[str, str] = {}

    def of(self, path: str) -> str:
        """See `file_of`."""
        if path not in self._known:
            self._known[path] = self._find(path)
        return self._known[path]

    def copies(self, paths: Iterable[str], *, whole: bool = False) -> list[list[str]]:
        """Groups of different videos with the same content; of several names of one file the first stands for all.

        What cannot be opened, as the same error page in place of many videos, shows nothing that could be known again.
        """
        first: dict[str, str] = {}
        for path in paths:
            first.setdefault(self.of(path), path)
        return [same for same in copies(first.values(), whole=whole) if _opens(same[0])]

    def _find(self, path: str) -> str:
        part = FilePart.parse(path)
        if part is not None:
            return f"{self._folder(os.path.dirname(part.file))}#{part.name}"
        folder, name = os.path.split(os.path.abspath(path))
        real = os.path.join(self._folder(folder), name)
        return os.path.realpath(real) if os.path.islink(real) else real

    def _folder(self, folder: str) -> str:
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return self._folders[folder]


def _opens(path: str) -> bool:
    try:
        with open_video(path, threads=1):
            return True
    except (VideoError, OSError):
        return False


class _DisjointSets:
    """A disjoint-set forest."""

    def __init__(self) -> None:
        self._parent: dict[Hashable, Hashable] = {}

    def find(self, item: Hashable) -> Hashable:
        """The representative of the set that holds an item."""
        parent = self._parent.setdefault(item, item)
        while parent != item:
            self._parent[item] = self._parent[parent]
            item = self._parent[item]
            parent = self._parent[item]
        return item

    def union(self, one: Hashable, other: Hashable) -> None:
        self._parent[self.find(other)] = self.find(one)


def copies_note(by_file: Iterable[Sequence[Grouped]]) -> list[str]:
    """A note about files with the content of others, in the units of `independent_units` without groups."""
    same = [names for unit in by_file if len(names := list(dict.fromkeys(sample.path for sample in unit))) > 1]
    if not same:
        return []
    shown = listing([listing(names, 3, " = ") for names in same], 3, "; ")
    return [
        f"{sum(len(names) - 1 for names in same)} files are copies of others or links to them ({shown}); they count as "
        "one where splits are made, and weigh more than others where a model learns"
    ]
