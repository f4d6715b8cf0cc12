"""File names that suggest which videos belong together, for data without groups."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

from tubelet.data.table import Sample
from tubelet.video import FilePart

SUBJECT = re.compile(
    r"(?<![a-z0-9])(?:(?:s|p|g)|(?:subj|subject|sub|person|people|actor|user|participant|player|signer|patient)[_\- ]?)"
    r"(\d{1,4})(?![a-z0-9])"
    r"|(?<![a-z0-9])s\d{3}c\d{3}p(\d{3})r\d{3}a\d{3}",
    re.IGNORECASE,
)
"""`s01`, `P01`, `g07` (UCF's groups), `subject3`, `person_3`; `S001C001P001R001A001` as in NTU RGB+D."""

CUT = re.compile(r"(.+)_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)")
"""`VIDEO_000010_000020`: a video, its first and its last second."""

COUNTED = re.compile(r"(.+?)[_\-. ](?:part|clip|seg|scene|shot)?[_\- ]?(\d{1,6})", re.IGNORECASE)
"""`NAME_000`, `NAME_001`: pieces of one recording, or takes of it."""

SHOWN = 3
"""Files in a message."""

Belongs = Callable[[str, str], Hashable | None]
"""(folder, name without suffix) of a file to what it might belong to."""


def belonging_hint(samples: Sequence[Sample], root: str) -> str | None:
    """A note where names look as if several files were of one person or one recording; else None.

    Folder names above `root`, the folder of the data set, do not count.
    """
    labels: dict[tuple[str, str], Hashable] = {}
    for sample in samples:
        labels.setdefault(_named(sample.path, root), tuple(sample.shown.values()))
    kinds = max(len({folder for folder, _ in labels}), len(set(labels.values())))
    for belongs, what, whats in (
        (_subject, "person", "people"),
        (_cut_out, "recording", "recordings"),
        (_counted, "recording", "recordings"),
    ):
        found: dict[Hashable, list[tuple[str, str]]] = defaultdict(list)
        for file in labels:
            key = belongs(*file)
            if key is not None:
                found[key].append(file)
        several = [files for files in found.values() if len(files) > 1]
        if sum(map(len, several)) * 2 > len(labels) and _more_than_classes(found, several, labels, kinds, belongs):
            shown = ", ".join("/".join(filter(None, file)) for file in several[0][:SHOWN])
            return (
                f"these may belong together: {shown}{', ...' if len(several[0]) > SHOWN else ''} (by their names, "
                f"{len(labels)} files show {len(found)} {whats}). If they do, figures measured on a part of them are "
                f"too good: list the videos in a table with a column that says which {what} each of them shows, and "
                "name the column with --group-column"
            )
    return None


def _more_than_classes(
    found: Mapping[Hashable, list[tuple[str, str]]],
    several: Sequence[list[tuple[str, str]]],
    labels: Mapping[tuple[str, str], Hashable],
    kinds: int,
    belongs: Belongs,
) -> bool:
    """Whether names say more than the class or the folder does: wave_1, wave_2, clap_1, clap_2 are only numbered."""
    if belongs is _subject:
        each = [{labels[file] for file in files} for files in found.values()]
        return len(found) > 1 and not (all(len(one) == 1 for one in each) and len(found) <= len(set(labels.values())))
    return len(several) > 1.5 * kinds


def _named(path: str, root: str) -> tuple[str, str]:
    """(folder from the root, name without suffix) of a file."""
    part = FilePart.parse(path)
    name = os.path.relpath(path, root).replace(os.sep, "/") if part is None else part.name
    folder, _, last = name.rpartition("/")
    return folder, last if os.path.isdir(path) else os.path.splitext(last)[0]


def _subject(folder: str, name: str) -> Hashable | None:
    words = f"{folder}/{name}".replace("_", " ")
    match = SUBJECT.search(words)
    return None if match is None else int(match[1] or match[2])


def _cut_out(folder: str, name: str) -> Hashable | None:
    match = CUT.fullmatch(name)
    return match[1] if match is not None and float(match[2]) < float(match[3]) else None


def _counted(folder: str, name: str) -> Hashable | None:
    match = COUNTED.fullmatch(name)
    return (folder, match[1]) if match is not None else None
