"""Which tensors of a source were loaded as they are, adapted, newly initialised, or not used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tubelet.config import from_dict, to_dict
from tubelet.text import as_message

Status = Literal["loaded", "adapted", "new", "unused"]
STATUSES: tuple[Status, ...] = ("loaded", "adapted", "new", "unused")


@dataclass(frozen=True)
class Entry:
    """One tensor.

    Attributes:
        name: its name in our state dict; empty if `unused`.
        source: its name in the source (several joined by " + "); empty if `new`.
        status: `loaded`: the same numbers, at most laid out otherwise; `adapted`: other numbers, computed from the
            source's; `new`: not from the source; `unused`: in the source and not in the model.
        how: what was done, or why; may be empty for `loaded`.
    """

    name: str
    source: str
    status: Status
    how: str = ""


@dataclass(frozen=True)
class LoadReport:
    """The tensors that were loaded. Prints as a short table; `to_dict` is for `--json` and the run folder.

    Attributes:
        source: the file, folder, or name that was loaded.
        format: of the source ("native", "scenic", ...).
        entries: one for every tensor of the model and every one of the source that was not used.
        notes: assumptions, unknown labels and the like.
    """

    source: str
    format: str
    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """How many tensors of each status; all four keys are there."""
        found = Counter(entry.status for entry in self.entries)
        return {status: found[status] for status in STATUSES}

    def names(self, status: Status) -> list[str]:
        """Our names of the tensors of one status (the source's names for `unused`)."""
        return [entry.name or entry.source for entry in self.entries if entry.status == status]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready data that `from_dict` reads back."""
        return {**to_dict(self), "counts": self.counts()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LoadReport:
        """The report that `to_dict` described.

        Raises:
            ConfigError: unknown keys or wrong types.
        """
        return from_dict(cls, {key: value for key, value in data.items() if key != "counts"})

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.counts().items() if count)
        lines = [f"{self.source} ({self.format}): {counts or 'nothing'}"]
        rows = _rows(self.entries)
        width = max((len(kind) for _, kind, _, _ in rows), default=0)
        for status, kind, count, how in rows:
            lines.append(f"  {status:<8}{count:>4}  {kind:<{width}}  {how}".rstrip())
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(map(as_message, lines))


def _rows(entries: tuple[Entry, ...]) -> list[tuple[str, str, int, str]]:
    """(status, what, count, how): one for each part of the model that had the same done to it, in order of STATUSES."""
    found: dict[tuple[Status, str, str], list[str]] = {}
    for entry in entries:
        kind = re.sub(r"(blocks\.|layers?\.|encoderblock_)\d+", r"\1*", entry.name or entry.source)
        how = "" if entry.status == "loaded" else entry.how
        found.setdefault((entry.status, _part(kind), how), []).append(kind)
    rows = [
        (status, kinds[0] if len(set(kinds)) == 1 else part, len(kinds), how)
        for (status, part, how), kinds in found.items()
    ]
    return sorted(rows, key=lambda row: STATUSES.index(row[0]))


def _part(kind: str) -> str:
    """What a tensor belongs to: all of an encoder's blocks, or the module that holds it."""
    up_to_blocks = re.match(r".*\*", kind)
    return up_to_blocks[0] if up_to_blocks else re.sub(r"[./][^./]*$", "", kind)
