"""Where a verb's words go: what was asked for to standard output, everything else to standard error.

Whatever is printed may hold names: of files, classes, settings. None of them is markup here, and what a terminal would
obey is written out (`tubelet.text.printable`); JSON alone is exact, since it escapes by itself.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tubelet.text import one_line, printable, printable_lines, shortened

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 160
"""Columns of a table that goes into a file or a pipe, where nothing wraps it."""


class Output:
    """What a verb prints with.

    Args:
        as_json: standard output gets JSON alone.
        silent: print nothing: one process of several that is not the first.
        quiet: print what was asked for and errors; no notes, no progress, no summary.
    """

    def __init__(self, as_json: bool = False, silent: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.silent = silent
        self.quiet = quiet

    @cached_property
    def console(self) -> Console:
        """For what the reader asked for: standard output; with `--json`, standard error. Markup is off."""
        return _console(sys.stderr if self.as_json else sys.stdout, self.silent)

    @cached_property
    def notes(self) -> Console:
        """For what happens meanwhile: progress, warnings. Standard error. Markup is off."""
        return _console(sys.stderr, self.silent or self.quiet)

    def data(self, data: Mapping[str, Any]) -> None:
        """With `--json`, print `data` as one line; otherwise nothing."""
        if self.as_json and not self.silent:
            print_json(data)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None] | None]:
        """A bar on standard error; its function takes (done, all). None, and no bar, without a terminal."""
        if self.silent or self.quiet or not self.notes.is_terminal:
            yield None
            return
        from rich.progress import Progress

        with Progress(console=self.notes, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def warn(self, message: str) -> None:
        """One line on standard error."""
        if not self.silent:
            print(f"tubelet: {one_line(message)}", file=sys.stderr)

    def note(self, message: str) -> None:
        """One line on standard error that `--quiet` leaves out."""
        if not self.quiet:
            self.warn(message)

    def open_page(self, page: Path) -> None:
        """Open a page in a browser."""
        import webbrowser

        webbrowser.open(page.resolve().as_uri())

    def next_command(self, words: str) -> None:
        """Name what may be done next, where somebody is looking: on a terminal, without `--json` and `--quiet`."""
        if not self.as_json and not self.quiet and self.console.is_terminal:
            self.notes.print(f"next: {printable(words)}", style="dim", soft_wrap=True)


def print_json(data: Mapping[str, Any]) -> None:
    """One line of JSON on standard output."""
    print(json.dumps(data, default=str, allow_nan=False), file=sys.stdout, flush=True)


def _console(stream: IO[str], silent: bool) -> Console:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Plain(Console):
        """A console that shows every name as it is."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable_lines(shortened(segment.text)), segment.style)

    width = None if stream.isatty() or os.environ.get("COLUMNS") else WIDTH_WITHOUT_TERMINAL
    return Plain(file=stream, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False, quiet=silent)
