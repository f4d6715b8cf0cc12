"""Predictions in the terminal, and in the file of `tubelet predict --out`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tubelet.cli.output import Output
from tubelet.text import count, printable

if TYPE_CHECKING:
    from tubelet.prediction import Result, Summary


@contextmanager
def lines_to(file: Path | None, output: Output, *, overwrite: bool) -> Iterator[Callable[[Result], None]]:
    """Takes results for the file of --out."""
    if file is None:
        yield lambda result: None
        return
    from tubelet.prediction.writing import part_of, result_lines

    def unfinished(written: int) -> None:
        lines = count(written, "line")
        output.warn(f"not all was predicted; the first {lines} of {file} are in {part_of(file)}")

    with result_lines(file, overwrite=overwrite, unfinished=unfinished) as write:
        yield write


@contextmanager
def bar(output: Output, lines_are_seen: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar, where the results do not run over the same terminal."""
    if lines_are_seen:
        yield None
        return
    with output.progress("predicting") as progress:
        yield progress


def show_summary(summary: Summary, output: Output) -> None:
    """What the videos show in all, and what to know of the results."""
    for note in summary.notes():
        output.warn(note)
    if summary.videos > 1 and not output.as_json and not output.quiet:
        for line in summary.lines():
            output.console.print(line, soft_wrap=True)
    if summary.resampled:
        output.note(
            f"{summary.resampled} of {count(summary.videos, 'video')} sampled by timestamps, since the frame rate is "
            "not the model's (--no-resample takes frames by number)"
        )


def show_result(result: Result, output: Output) -> None:
    """A video and its most probable classes, or why it could not be read."""
    from tubelet.video.clip import damage_in_words

    if result.error is not None:
        output.warn(f"{result.path}: {result.error}")
        return
    if result.damaged:
        output.warn(f"{result.path}: {damage_in_words(result.damaged, len(result.indices))}")
    if output.as_json:
        return
    from rich.text import Text

    output.console.print(printable(result.path or ""), style="bold", soft_wrap=True)
    for head in result.heads.values():
        indent = "  "
        if len(result.heads) > 1:
            output.console.print(f"  {printable(head.name)}")
            indent = "    "
        best = [(printable(label), probability) for label, probability in head.reported(result.shown)]
        if not best:
            output.console.print(f"{indent}{printable(head.in_words(0))}", markup=False, soft_wrap=True)
            continue
        if head.is_unknown:
            output.console.print(f"{indent}{head.label}; the most probable classes:", soft_wrap=True)
        width = max(len(label) for label, _ in best)
        for label, probability in best:
            bar = ("▇" * round(20 * probability), "blue")
            line = Text.assemble(f"{indent}{probability:6.1%}  {label:<{width}}  ", bar)
            output.console.print(line, soft_wrap=True)
