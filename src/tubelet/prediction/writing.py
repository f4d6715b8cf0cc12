"""Results on disk as soon as they are there: what was found is kept, however the work ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tubelet.files import storage_errors
from tubelet.paths import require_free
from tubelet.prediction.result import Result


def part_of(file: Path) -> Path:
    """Where the lines of a file stand until it is complete."""
    return file.with_name(f"{file.name}.part")


@contextmanager
def part_lines(
    part: Path, done: Path | None = None, unfinished: Callable[[int], None] | None = None
) -> Iterator[Callable[[str], None]]:
    """Gives a function that takes lines. The file stays where there is an end before the end.

    Args:
        part: where they stand until the end of the `with`.
        done: the name that the file gets then; None removes it.
        unfinished: called with the number of lines where there is an error, or Ctrl-C, before the end.
    """
    written = 0

    def write(line: str) -> None:
        nonlocal written
        with storage_errors(part):
            lines.write(line + "\n")
            lines.flush()
        written += 1

    try:
        with storage_errors(part):
            lines = part.open("w", encoding="utf-8")
        try:
            yield write
        finally:
            with storage_errors(part):
                lines.close()
        if done is not None:
            with storage_errors(done):
                part.replace(done)
    except BaseException:
        if not written:
            part.unlink(missing_ok=True)
        elif unfinished is not None:
            unfinished(written)
        raise
    if done is None:
        part.unlink(missing_ok=True)


@contextmanager
def result_lines(
    file: str | Path, *, overwrite: bool = False, unfinished: Callable[[int], None] | None = None
) -> Iterator[Callable[[Result], None]]:
    """Gives a function that writes results, one line of JSON each, to a file that appears when all are in it.

        with result_lines("results.jsonl") as write:
            for result in Predictor("run").stream(videos):
                write(result)

    Until then they stand in a file of the same name with `.part` behind it.

    Args:
        file: to write.
        overwrite: replace files that exist.
        unfinished: called with the number of lines where there is an error, or Ctrl-C, before the end.

    Raises:
        ConfigError: a file exists, and `overwrite` is False.
    """
    file = Path(file)
    require_free(file, overwrite=overwrite)
    require_free(part_of(file), overwrite=overwrite)
    with part_lines(part_of(file), file, unfinished) as write:
        yield lambda result: write(result.to_json())
