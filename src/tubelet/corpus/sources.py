"""What a corpus is made of: the videos of a folder, a pattern, a table, or an object store, in a settled order."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tubelet.corpus.store import file_system
from tubelet.data.columns import find_column, window_columns, window_of
from tubelet.data.rows import read_rows
from tubelet.errors import DataError
from tubelet.paths import beside
from tubelet.prediction.sources import find_videos
from tubelet.text import address_without_password
from tubelet.video.live import is_address
from tubelet.video.suffixes import VIDEO_SUFFIXES

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".txt", ".parquet")


class Video(NamedTuple):
    """A row of the plan.

    Attributes:
        id: its place in the list, from 0. Two rows may have the same path.
        path: absolute, or a URL.
        start: seconds from the start of the file; None is the beginning.
        end: seconds; None is the end.
    """

    id: int
    path: str
    start: float | None = None
    end: float | None = None


def list_videos(source: str | os.PathLike[str]) -> list[Video]:
    """The videos of a source.

    A table is taken as it stands: a row for each of its rows, whether or not the file exists, and however often.

    Args:
        source: a folder (all levels; links are followed, circles are not), a pattern (`clips/*.mp4`), a table (CSV,
            TSV, JSONL, Parquet) with a column `path` and perhaps `start` and `end`, or the URL of a folder, a pattern
            or a table in an object store (`s3://bucket/videos`). Paths in a table start from its folder.

    Raises:
        DataError: there is nothing, or the table cannot be read.
    """
    name = os.fspath(source).removeprefix("file://")
    if is_address(name):
        found = _of_url(name)
    elif name.lower().endswith(TABLES) and os.path.isfile(name):
        found = _of_table(Path(name), os.path.dirname(os.path.abspath(name)))
    else:
        paths = find_videos(name)
        if paths is None and not os.path.exists(name):
            raise DataError(f"{name} does not exist{beside(name)}; expected a folder, a pattern, a table or a URL")
        found = ((os.path.abspath(path), None, None) for path in ([name] if paths is None else paths))
    videos = [Video(number, *one) for number, one in enumerate(found)]
    if not videos:
        raise DataError(f"{address_without_password(name)}: no video; expected files with {', '.join(VIDEO_SUFFIXES)}")
    return videos


_Found = Iterator[tuple[str, float | None, float | None]]


def _of_url(url: str) -> _Found:
    files, path = file_system(url)
    if url.lower().endswith(TABLES):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / path.rsplit("/", 1)[-1]
            try:
                files.get_file(path, str(copy))
            except OSError as error:
                raise DataError(f"{address_without_password(url)} cannot be read: {error}") from error
            yield from _of_table(copy, url.rsplit("/", 1)[0])
        return
    entries = files.glob(path) if any(sign in path for sign in "*?[") else files.find(path)
    for entry in sorted(entries):
        if os.path.splitext(entry)[1].lower() in VIDEO_SUFFIXES:
            yield files.unstrip_protocol(entry), None, None


def _of_table(table: Path, root: str) -> _Found:
    for path, start, end in _parquet(table) if table.suffix.lower() == ".parquet" else _text(table):
        if is_address(path):
            yield path, start, end
        elif is_address(root):
            yield f"{root}/{path}", start, end
        else:
            yield os.path.abspath(os.path.join(root, path)), start, end


def _text(table: Path) -> _Found:
    rows = read_rows(table)
    column = find_column(rows.header, "path")
    if column is None:
        raise _no_path(table, rows.header)
    from_, to = window_columns(rows.header)
    for line, row in rows.rows:
        if not row[column]:
            raise DataError(f"{rows.where(line)}: no path; every row names a video")
        if from_ is None and to is None:
            yield row[column], None, None
        else:
            start, end = (row[name] if name is not None else "" for name in (from_, to))
            yield row[column], *window_of(start, end, rows.where(line))


def _parquet(table: Path) -> _Found:
    from pyarrow import ArrowException, parquet

    try:
        opened = parquet.ParquetFile(table)
    except (OSError, ArrowException) as error:
        raise DataError(f"{table.name}: no Parquet file that can be read ({error})") from error
    header = opened.schema_arrow.names
    column = find_column(header, "path")
    if column is None:
        raise _no_path(table, header)
    from_, to = window_columns(header)
    for batch in opened.iter_batches(columns=[name for name in (column, from_, to) if name is not None]):
        for row in batch.to_pylist():
            where = f"{table.name}: {row[column]}"
            start, end = ("" if name is None or row[name] is None else str(row[name]) for name in (from_, to))
            yield row[column], *window_of(start, end, where)


def _no_path(table: Path, header: list[str]) -> DataError:
    return DataError(f"{table.name}: no column for the path of a video; it has {', '.join(header)}; name one path")
