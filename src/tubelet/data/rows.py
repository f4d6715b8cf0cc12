"""Rows out of CSV, TSV and JSONL files, with the number of the line that each stands on."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.data.columns import find_column
from tubelet.errors import DataError
from tubelet.video.suffixes import VIDEO_SUFFIXES


@dataclass(frozen=True)
class Rows:
    """A table of text.

    Attributes:
        name: of the file.
        header: column names.
        rows: (line number, column to cell); a cell that is not there is ''.
        unit: what the numbers count.
    """

    name: str
    header: list[str]
    rows: list[tuple[int, dict[str, str]]]
    unit: str = "line"

    def where(self, line: int) -> str:
        """How an error names a line."""
        return f"{self.name} {self.unit} {line}"


def read_rows(path: Path) -> Rows:
    """Read a CSV (comma, semicolon), TSV, JSONL, JSON list, or a list of `path label` lines without a header.

    Raises:
        DataError: not text, no rows, rows of different lengths, JSON that is none.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: not UTF-8 text ({error}); save it as UTF-8") from error
    if not text.strip():
        raise DataError(f"{path.name}: is empty")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _json_lines(path.name, text)
    if path.suffix.lower() == ".json":
        return _json_list(path.name, text)
    return _separated(path, text)


def _json_lines(name: str, text: str) -> Rows:
    entries: list[tuple[int, Any]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                entries.append((number, json.loads(line)))
            except json.JSONDecodeError as error:
                raise DataError(f"{name} line {number}: not JSON ({error})") from error
    return _objects(name, entries)


def _json_list(name: str, text: str) -> Rows:
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{name}: not JSON ({error}); one object a line is a .jsonl file") from error
    if not isinstance(entries, list):
        raise DataError(f'{name}: expected a list of objects, [{{"path": …, "label": …}}, …]')
    return _objects(name, list(enumerate(entries, 1)), "entry")


def _objects(name: str, entries: list[tuple[int, Any]], unit: str = "line") -> Rows:
    header: dict[str, None] = {}
    for number, value in entries:
        if not isinstance(value, dict):
            raise DataError(f'{name} {unit} {number}: expected an object, {{"path": …, "label": …}}, got {value!r:.60}')
        header.update(dict.fromkeys(value))
    rows = [(number, {key: _cell(value.get(key)) for key in header}) for number, value in entries]
    return Rows(name, list(header), rows, unit)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _separated(path: Path, text: str) -> Rows:
    first = next(line for line in text.splitlines() if line.strip())
    separator = _separator(path, first)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=separator == " ")
    lines: list[tuple[int, list[str]]] = []
    last = 0
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((last + 1, cells))
            last = reader.line_num
    except csv.Error as error:
        raise DataError(f"{path.name} line {reader.line_num}: {error}") from error
    header = [cell.strip() for cell in lines[0][1]]
    if find_column(header, "path") is None and Path(header[0]).suffix.lower() in VIDEO_SUFFIXES:
        if len(header) != 2:
            raise DataError(
                f"{path.name}: the first line is no header, and has {len(header)} columns where path and label were "
                "expected; write a first line with the names of the columns, as path,label,split"
            )
        header = ["path", "label"]
    else:
        lines = lines[1:]
        if len(set(header)) < len(header):
            raise DataError(f"{path.name}: two columns have the same name: {', '.join(header)}")
    rows = []
    for number, cells in lines:
        if len(cells) != len(header):
            raise DataError(
                f"{path.name} line {number}: {len(cells)} cells, expected {len(header)} ({', '.join(header)}); put "
                "quotes around a cell that holds the separator"
            )
        rows.append((number, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    return Rows(path.name, header, rows)


def _separator(path: Path, first: str) -> str:
    """Tab, comma or semicolon, whichever the first line has most of; a space in a list without header and commas."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    best = max("\t,;", key=first.count)
    if best in first or " " not in first or find_column([first], "path"):
        return best if best in first else ","
    return " "
