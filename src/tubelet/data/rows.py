"""Rows out of CSV, TSV, JSON and JSONL files, with the number of the line that each stands on."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.data.columns import find_column
from tubelet.errors import DataError
from tubelet.json_files import not_utf8, parse_json
from tubelet.video.suffixes import VIDEO_SUFFIXES

LINE_END = re.compile(r"\r\n|\r|\n")

LIST_LINE = re.compile(rf"(.+(?:{'|'.join(map(re.escape, sorted(VIDEO_SUFFIXES)))}))\s+(\S+)", re.IGNORECASE)
"""`path label` without a header: the last word is the label; the path may hold blanks."""


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
    """Read a CSV (comma, semicolon), TSV, JSONL, JSON list, or a list of `path label` lines without a header."""
    text = read_text(path)
    if not text.strip():
        raise DataError(f"{path.name}: is empty")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _json_lines(path.name, text)
    if path.suffix.lower() == ".json":
        return _json_list(path.name, text)
    return _separated(path, text)


def read_text(path: Path) -> str:
    """The text of a file, without a byte order mark; a DataError if it is not UTF-8, or holds NUL."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: {not_utf8(error)}") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path.name} line {line}: holds a NUL character, which no table has; write the file again")
    return text


def read_lines(name: str, text: str, separator: str = ",") -> list[tuple[int, list[str]]]:
    """(line number, cells) of each line that is not empty; a DataError for a cell that runs over several lines."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    lines: list[tuple[int, list[str]]] = []
    last = 0
    kind = "TSV" if separator == "\t" else "CSV"
    advice = "an unmatched quote? A quote in a cell is written twice, and the cell is in quotes"
    try:
        for cells in reader:
            if any("\n" in cell or "\r" in cell for cell in cells):
                raise DataError(f"{name} line {last + 1}: a cell runs over several lines; {advice}")
            if any(cell.strip() for cell in cells):
                lines.append((last + 1, [cell.strip() for cell in cells]))
            last = reader.line_num
    except csv.Error as error:
        raise DataError(f"{name} line {last + 1}: not {kind} ({error}); {advice}") from error
    return lines


def _json_lines(name: str, text: str) -> Rows:
    lines = enumerate(text.split("\n"), 1)
    return _objects(name, [(at, parse_json(one, f"{name} line {at}", strict=True)) for at, one in lines if one.strip()])


def _json_list(name: str, text: str) -> Rows:
    entries = parse_json(text, name, strict=True, advice="one object a line is a .jsonl file")
    if not isinstance(entries, list):
        raise DataError(f'{name}: expected a list of objects, [{{"path": …, "label": …}}, …]')
    return _objects(name, list(enumerate(entries, 1)), "entry")


def _objects(name: str, entries: Sequence[tuple[int, Any]], unit: str = "line") -> Rows:
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
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _separated(path: Path, text: str) -> Rows:
    first = next(line for line in LINE_END.split(text) if line.strip())
    separator = "\t" if path.suffix.lower() == ".tsv" else max("\t,;", key=first.count)
    if find_column([cell.strip('" ') for cell in first.split(separator)], "path") is None:
        if "\t" not in first and ";" not in first and LIST_LINE.fullmatch(first.strip()):
            return _list(path.name, text)
        if Path(first.split(separator)[0].strip('" ')).suffix.lower() in VIDEO_SUFFIXES:
            return _without_header(path.name, read_lines(path.name, text, separator))
    lines = read_lines(path.name, text, separator)
    return _with_header(path.name, lines[0][1], lines[1:])


def _list(name: str, text: str) -> Rows:
    rows = []
    for number, line in enumerate(LINE_END.split(text), 1):
        if not line.strip():
            continue
        found = LIST_LINE.fullmatch(line.strip())
        if found is None:
            raise DataError(
                f"{name} line {number}: expected a path and one word as its label, got {line.strip()!r:.80}; blanks in "
                'a label need commas and quotes, as in a.mp4,"brush hair"'
            )
        rows.append((number, {"path": found[1].strip('"'), "label": found[2].strip('"')}))
    return Rows(name, ["path", "label"], rows)


def _without_header(name: str, lines: list[tuple[int, list[str]]]) -> Rows:
    columns = len(lines[0][1])
    if columns > 2:
        raise DataError(
            f"{name}: the first line is no header, and has {columns} columns where path and label were "
            "expected; write a first line with the names of the columns, as path,label,start,end,split"
        )
    return _with_header(name, ["path", "label"][:columns], lines)


def _with_header(name: str, header: list[str], lines: list[tuple[int, list[str]]]) -> Rows:
    """Rows of named columns. A column without a name is called by its number, or left out if it is empty."""
    needed = max((place for place, column in enumerate(header, 1) if column), default=0)
    for number, cells in lines:
        if len(cells) < needed or any(cells[len(header) :]):
            raise DataError(
                f"{name} line {number}: {len(cells)} cells, expected {len(header)} ({', '.join(header)}); put "
                "quotes around a cell that holds the separator"
            )
    filled = {place for _, cells in lines for place, cell in enumerate(cells) if cell}
    columns = {
        place: column or f"column {place + 1}" for place, column in enumerate(header) if column or place in filled
    }
    names = list(columns.values())
    if len(set(names)) < len(names):
        raise DataError(f"{name}: two columns have the same name: {', '.join(names)}; rename one")
    rows = [
        (number, {column: cells[place] if place < len(cells) else "" for place, column in columns.items()})
        for number, cells in lines
    ]
    return Rows(name, names, rows)
