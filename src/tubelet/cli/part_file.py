"""Lines that are kept as they come, in a file that stays where there is an end before the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tubelet.cli.output import Output


@contextmanager
def part_lines(
    part: Path, done: Path | None, output: Output, unfinished: Callable[[int], str]
) -> Iterator[Callable[[str], None]]:
    """Gives a function that takes lines.

    Args:
        part: where they stand until the end of the `with`.
        done: the name that the file gets then; None removes it.
        output: warns where there is an end before the end.
        unfinished: the warning, by the number of lines that are there.
    """
    written = 0

    def write(line: str) -> None:
        nonlocal written
        lines.write(line + "\n")
        lines.flush()
        written += 1

    try:
        with part.open("w", encoding="utf-8") as lines:
            yield write
        if done is not None:
            part.replace(done)
    except BaseException:
        if written:
            output.warn(unfinished(written))
        else:
            part.unlink(missing_ok=True)
        raise
    if done is None:
        part.unlink(missing_ok=True)
