"""The meaning of the columns of a table, and of their cells."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from tubelet.errors import DataError
from tubelet.text import did_you_mean

NAMES: dict[str, tuple[str, ...]] = {
    "path": (
        "path",
        "video",
        "videopath",
        "file",
        "filename",
        "filepath",
        "videofile",
        "videofilename",
        "clip",
        "clippath",
    ),
    "label": ("label", "labels", "class", "classname", "category", "action", "target"),
    "start": ("starttime", "startseconds", "startsec", "timestart", "starttimestamp", "start", "begin"),
    "end": ("endtime", "endseconds", "endsec", "timeend", "endtimestamp", "stoptime", "stoptimestamp", "end", "stop"),
    "split": ("split", "subset", "partition", "set"),
    "group": ("group",),
    "frame rate": ("fps", "framerate", "framespersecond"),
}
"""What columns are called; case, spaces, - and _ do not matter. The first that is there counts: a name that says time
before one that could count frames."""

OTHER_UNITS = re.compile(r"(start|begin|end|stop)(frames?|ms|msec|milliseconds?)|(frames?|ms)(start|begin|end|stop)")
"""Plain names of columns that bound a part of a video, but not in seconds."""

TIME = re.compile(r"\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
"""Seconds, as people and Python write them."""


def plain(name: str) -> str:
    """A column's name without what does not matter: `Video Path` is `videopath`."""
    return re.sub(r"[\s_\-]+", "", name.strip().lower())


def find_column(header: Sequence[str], meaning: str) -> str | None:
    """The column with this meaning, under any of its usual names, or None.

    A split may have a first name too: the only column that ends in `split` (`cross_subject_split`) is one.
    """
    usual = columns_for(header, meaning)
    if usual or meaning != "split":
        return usual[0] if usual else None
    ending = [column for column in header if plain(column).endswith("split")]
    return ending[0] if len(ending) == 1 else None


def columns_for(header: Sequence[str], meaning: str) -> list[str]:
    """All columns with this meaning, the one that counts first."""
    by_name = {plain(column): column for column in reversed(header)}
    return [by_name[name] for name in NAMES[meaning] if name in by_name]


def window_columns(header: Sequence[str]) -> tuple[str | None, str | None]:
    """The columns of start and end, in seconds; of several a pair (`start_time` with `end_time`)."""
    starts, ends = columns_for(header, "start"), columns_for(header, "end")
    for start in starts:
        for end in ends:
            if re.sub("start|begin", "", plain(start)) == re.sub("stop|end", "", plain(end)):
                return start, end
    return next(iter(starts), None), next(iter(ends), None)


def unread_note(header: Sequence[str], read: Collection[str | None], group: str | None) -> list[str]:
    """Notes on the columns that are not `read`, except other columns of labels."""
    columns = [column for column in header if column not in read and find_column([column], "label") is None]
    bounds = [column for column in columns if OTHER_UNITS.fullmatch(plain(column))]
    others = [column for column in columns if column not in bounds]
    notes = []
    if bounds:
        timed = {*columns_for(header, "start"), *columns_for(header, "end")} & set(read)
        what = f"{' and '.join(sorted(timed))} are used" if timed else "whole videos are used"
        notes.append(
            f"not read: the columns {', '.join(bounds)}, which bound parts of the videos, but not in seconds: "
            f"{what} (start and end, in seconds, are read)"
        )
    if others:
        advice = "--split-column names one with train, val and test"
        if group is None:
            which = "which videos belong together (a person, a source video)"
            advice = f"--group-column names one that says {which}, {advice}"
        notes.append(f"not read: the columns {', '.join(others)}; {advice}")
    return notes


def named_column(header: Sequence[str], name: str, where: str) -> str:
    """The column that the user names; a DataError if there is none."""
    if name in header:
        return name
    matches = [column for column in header if plain(column) == plain(name)]
    if not matches:
        raise DataError(f"{where}: no column {name!r}{did_you_mean(name, header)}")
    return matches[0]


def label_columns(
    header: Sequence[str], labels: Sequence[str] | Mapping[str, str] | None, where: str
) -> dict[str, str]:
    """Head name to column. `labels` are columns, or head name to column; None looks for a column of a usual name.

    One column makes the head `label`, several make heads of their own names. A DataError if a column is not there, none
    is found, or its name cannot be a head's.
    """
    if labels is None:
        column = find_column(header, "label")
        if column is None:
            raise DataError(
                f"{where}: no column is called label, class or similar; name the columns with labels, one or several, "
                f"out of: {', '.join(header)}"
            )
        return {"label": column}
    if isinstance(labels, Mapping):
        heads = {head: named_column(header, column, where) for head, column in labels.items()}
    elif len(labels) == 1:
        heads = {"label": named_column(header, labels[0], where)}
    else:
        columns = [named_column(header, name, where) for name in labels]
        heads = {re.sub(r"\W+", "_", column.strip()): column for column in columns}
        if len(heads) < len(columns):
            raise DataError(f"{where}: labels {list(labels)} name a column twice")
    for head in heads:
        if not head.isidentifier():
            raise DataError(f"{where}: a head cannot be called {head!r}; use a name of letters, digits and _")
    return heads


def name_in(cell: str, column: str, where: str) -> str:
    """The name in a cell of a label, a split or a group; a DataError for a list or an object, and for NUL."""
    if re.search("[\0\ud800-\udfff]", cell):
        raise DataError(f"{where}: the column {column!r} holds NUL or half a character; write the name without it")
    for parse in (json.loads, ast.literal_eval) if cell[:1] in ("[", "{", "(") else ():
        try:
            value = parse(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, list | dict | set | tuple):
            raise DataError(
                f"{where}: the column {column!r} holds a {type(value).__name__} ({cell:.60}), expected one name. A "
                "video has one class in each column, or a list of names in JSON; other labels have their own column"
            )
    return cell


def frames_per_second(text: str, where: str) -> float | None:
    """Frame rate of a folder of frames; None for an empty cell."""
    if not text:
        return None
    rate = float(text) if TIME.fullmatch(text) else 0.0
    if not 0 < rate < math.inf:
        raise DataError(f"{where}: {text!r} is no frame rate; use frames per second, 25 or 29.97")
    return rate


def seconds(text: str, where: str) -> float | None:
    """Seconds of `12.5`, `1:02.5` or `00:01:02.50`; None for an empty cell."""
    text = text.strip()
    if not text:
        return None
    words = text.split(":")
    parts = [float(word) for word in words] if all(map(TIME.fullmatch, words)) else []
    if not 1 <= len(parts) <= 3 or not all(map(math.isfinite, parts)) or any(part >= 60 for part in parts[1:]):
        raise DataError(f"{where}: {text!r} is no time; use seconds (12.5) or hours:minutes:seconds (00:01:02.50)")
    total = 0.0
    for part in parts:
        total = total * 60 + part
    return total


def window_of(start: str, end: str, where: str) -> tuple[float | None, float | None]:
    """(start, end) in seconds; a DataError if the end is not after the start."""
    first, last = seconds(start, where), seconds(end, where)
    if last is not None and last <= (first or 0.0):
        raise DataError(f"{where}: the end ({end} s) is not after the start ({start or 0} s)")
    return first, last


def missing_columns(header: Iterable[str], needed: Iterable[str]) -> list[str]:
    """The needed columns that a header lacks."""
    there = set(header)
    return [name for name in needed if name not in there]
