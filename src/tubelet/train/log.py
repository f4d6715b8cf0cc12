"""`metrics.jsonl`: what happened, one line an event."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any


class EventLog:
    """Appends JSON lines to a file and can go back to where it was.

    Args:
        path: the file; continued if it exists.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")

    def write(self, event: str, **fields: Any) -> None:
        """Append {"event": event, **fields}. The system has the line when this returns: a killed process keeps it."""
        self._file.write(json.dumps({"event": event, **fields}).encode() + b"\n")
        self._file.flush()

    def position(self) -> int:
        """Bytes written so far, all of them on the disk when this returns."""
        os.fsync(self._file.fileno())
        return self._file.tell()

    def rewind(self, position: int) -> None:
        """Forget what was written after `position`, by a process that got further than its last checkpoint."""
        self._file.truncate(position)
        self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_events(path: str | Path, event: str | None = None) -> list[dict[str, Any]]:
    """The events of a `metrics.jsonl`, or those of one kind. A last line that was cut off is left out."""
    events = []
    for line in Path(path).read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            fields = json.loads(line)
            if event is None or fields["event"] == event:
                events.append(fields)
    return events
