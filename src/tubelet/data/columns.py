"""Which column of a table means what, and what its cells say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tubelet.config.serialise import did_you_mean
from tubelet.errors import DataError

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
    "start": ("start", "starttime", "startseconds", "startsec", "timestart", "starttimestamp", "begin"),
    "end": ("end", "endtime", "endseconds", "endsec", "timeend", "endtimestamp", "stop", "stoptime", "stoptimestamp"),
    "split": ("split", "subset", "partition", "set"),
    "group": ("group",),
}
"""What columns are called; case, spaces, - and _ do not matter. The first that is there counts."""


def plain(name: str) -> str:
    """A column's name without what does not matter: `Video Path` is `videopath`."""
    return re.sub(r"[\s_\-]+", "", name.strip().lower())


def find_column(header: Sequence[str], meaning: str) -> str | None:
    """The column with this meaning, under any of its usual names, or None.

    A split may have a first name too: the only column that ends in `split` (`cross_subject_split`) is one.
    """
    by_name = {plain(column): column for column in reversed(header)}
    usual = next((by_name[name] for name in NAMES[meaning] if name in by_name), None)
    if usual is not None or meaning != "split":
        return usual
    ending = [column for column in header if plain(column).endswith("split")]
    return ending[0] if len(ending) == 1 else None


def named_column(header: Sequence[str], name: str, where: str) -> str:
    """The column that the user names.

    Raises:
        DataError: there is none.
    """
    if name in header:
        return name
    matches = [column for column in header if plain(column) == plain(name)]
    if not matches:
        raise DataError(f"{where}: no column {name!r}{did_you_mean(name, header)}")
    return matches[0]


def label_columns(
    header: Sequence[str], labels: Sequence[str] | Mapping[str, str] | None, where: str
) -> dict[str, str]:
    """Head name to column.

    Args:
        header: of the table.
        labels: columns named by the user; or head name to column; None looks for a column of a usual name. One column
            makes the head `label`, several make heads of their own names.
        where: the table, for errors.

    Raises:
        DataError: there is no such column, none was found, or a name that cannot be a head's.
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


def seconds(text: str, where: str) -> float | None:
    """Seconds out of `12.5`, `1:02.5` or `00:01:02.50`; None out of nothing.

    Raises:
        DataError: neither.
    """
    text = text.strip()
    if not text:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(0 <= part < float("inf") for part in parts):
        raise DataError(f"{where}: {text!r} is no time; use seconds (12.5) or hours:minutes:seconds (00:01:02.50)")
    total = 0.0
    for part in parts:
        total = total * 60 + part
    return total


def window_of(start: str, end: str, where: str) -> tuple[float | None, float | None]:
    """(start, end) in seconds.

    Raises:
        DataError: no times, or the end is not after the start.
    """
    first, last = seconds(start, where), seconds(end, where)
    if last is not None and last <= (first or 0.0):
        raise DataError(f"{where}: the end ({end} s) is not after the start ({start or 0} s)")
    return first, last


def missing_columns(header: Iterable[str], needed: Iterable[str]) -> list[str]:
    """Those that a table of a known format lacks."""
    there = {plain(column) for column in header}
    return [name for name in needed if plain(name) not in there]
