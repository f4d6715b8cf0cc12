"""`metrics.jsonl`: one line an event."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeAlias

from tubelet.config.run_state import RESTORE
from tubelet.files import storage_errors
from tubelet.json_files import read_json_lines

Listener: TypeAlias = Callable[[Mapping[str, Any]], None]


class EventLog:
    """Appends JSON lines to a file, inside a `with`, and can go back to where it was, before.

    Args:
        path: the file; continued if it exists.

    Attributes:
        whole: False if it had lost lines, or was changed, when it went back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self.whole = True
        self._listeners: list[tuple[Listener, Callable[[], None]]] = []

    def write(self, event: str, **fields: Any) -> None:
        """Append {"event": event, **fields}. The system has the line when this returns: a killed process keeps it."""
        line = {"event": event, **fields}
        assert self._file is not None, "the log is not open"
        with storage_errors(self._path):
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()
        for listen, _ in self._listeners:
            listen(line)

    def position(self) -> int:
        """Bytes written so far, all of them on the disk when this returns; 0 before it was opened."""
        if self._file is None:
            return 0
        for _, flush in self._listeners:
            flush()
        with storage_errors(self._path):
            os.fsync(self._file.fileno())
        return self._file.tell()

    def rewind(self, position: int) -> None:
        """Forget what was written after `position`, by a process that got further than its last checkpoint.

        Of a file that is shorter than that, or was changed, the whole lines before it are kept.
        """
        with storage_errors(self._path):
            self._path.touch()
            end = self._path.read_bytes()[:position].rfind(b"\n") + 1
            os.truncate(self._path, end)
        self.whole = end == position

    @contextmanager
    def also(self, listen: Listener, flush: Callable[[], None]) -> Iterator[None]:
        """Inside the `with`, call `listen` with every event, and `flush` whenever events have to be on the disk."""
        listener = (listen, flush)
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def __enter__(self) -> EventLog:
        with storage_errors(self._path):
            self._file = self._path.open("ab")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        with storage_errors(self._path):
            self._file.close()


def read_events(path: str | Path, event: str | None = None) -> list[dict[str, Any]]:
    """The events of a `metrics.jsonl`, or those of one kind. A last line that was cut off is left out.

    Raises:
        DataError: the file cannot be read; the error names the line.
    """
    events = [fields for _, fields in read_json_lines(Path(path), RESTORE, unfinished=True)]
    return [fields for fields in events if event is None or fields.get("event") == event]
