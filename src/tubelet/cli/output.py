"""Where a verb's words go: what was asked for to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 160
"""Columns of a table that goes into a file or a pipe, where nothing wraps it."""


class Output:
    """What a verb prints with.

    Args:
        as_json: standard output gets JSON alone.
        silent: print nothing: one process of several that is not the first.
    """

    def __init__(self, as_json: bool = False, silent: bool = False) -> None:
        self.as_json = as_json
        self.silent = silent

    @cached_property
    def console(self) -> Console:
        """For what the reader asked for: standard output; with `--json`, standard error."""
        return _console(sys.stderr if self.as_json else sys.stdout, self.silent)

    @cached_property
    def notes(self) -> Console:
        """For what happens meanwhile: progress, warnings. Standard error."""
        return _console(sys.stderr, self.silent)

    def data(self, data: Mapping[str, Any]) -> None:
        """With `--json`, print `data` as one line; otherwise nothing."""
        if self.as_json and not self.silent:
            print(json.dumps(data, default=str, allow_nan=False), file=sys.stdout, flush=True)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None] | None]:
        """A bar on standard error; its function takes (done, all). None, and no bar, without a terminal."""
        if self.silent or not self.notes.is_terminal:
            yield None
            return
        from rich.progress import Progress

        with Progress(console=self.notes, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def warn(self, message: str) -> None:
        """One line on standard error."""
        if not self.silent:
            print(f"tubelet: {message}", file=sys.stderr)


def _console(stream: IO[str], silent: bool) -> Console:
    from rich.console import Console

    width = None if stream.isatty() or os.environ.get("COLUMNS") else WIDTH_WITHOUT_TERMINAL
    return Console(file=stream, width=width, highlight=False, soft_wrap=False, quiet=silent)
