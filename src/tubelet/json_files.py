"""JSON in files, with errors that name the file and the line, and say what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from tubelet.errors import DataError, TubeletError

LARGEST = 64 * 1024 * 1024
"""Bytes of a JSON object that is still read from a file; configurations are far below."""

JsonLine = tuple[int, dict[str, Any]]
"""Number of the line, and the object on it."""

_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Characters that are escaped: line ends of other programs, and bytes of file names that are not UTF-8 (surrogates)."""


def dump_json(value: Any, indent: int | None = None) -> str:
    """JSON with other scripts unescaped, valid UTF-8 for any names."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def parse_json(
    text: str | bytes, where: str, *, strict: bool = False, advice: str = "", error: type[TubeletError] = DataError
) -> Any:
    """A JSON value.

    Args:
        text: bytes are UTF-8.
        where: the text comes from, for the error.
        strict: refuse what JSON does not have (NaN, Infinity), and a key that an object has twice.
        advice: what to do about an error.
        error: the class of the error.

    Raises:
        error: not UTF-8, or not JSON; also a number or a nesting beyond what Python reads.
    """
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        if strict:
            return json.loads(decoded, parse_constant=_no_constant, object_pairs_hook=_unique)
        return json.loads(decoded)
    except UnicodeDecodeError as reason:
        raise error(f"{where}: {not_utf8(reason)}{_then(advice)}") from reason
    except RecursionError as reason:
        raise error(f"{where}: not JSON that can be read (nested too deeply){_then(advice)}") from reason
    except ValueError as reason:  # also a number of thousands of digits
        raise error(f"{where}: not JSON ({str(reason).partition(';')[0]}){_then(advice)}") from reason


def read_json_object(
    path: Path, advice: str = "", *, strict: bool = False, error: type[TubeletError] = DataError
) -> dict[str, Any]:
    """The JSON object in a file; for the other arguments see `parse_json`."""
    data = _bytes(path, advice, error, LARGEST)
    return as_object(parse_json(data, str(path), strict=strict, advice=advice, error=error), str(path), advice, error)


def as_object(value: Any, where: str, advice: str = "", error: type[TubeletError] = DataError) -> dict[str, Any]:
    """A JSON value that has to be an object; an error otherwise."""
    if not isinstance(value, dict):
        raise error(f"{where}: expected a JSON object, got {type(value).__name__}{_then(advice)}")
    return value


def read_json_lines(path: Path, advice: str = "", *, unfinished: bool = False) -> list[JsonLine]:
    """`iterate_json_lines` as a list."""
    return list(iterate_json_lines(path, advice, unfinished=unfinished))


def iterate_json_lines(
    path: Path, advice: str = "", *, unfinished: bool = False
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line of a JSONL file that is not blank. Only a line feed ends a line.

    `unfinished` leaves out a last line without a line feed, which a process was killed in the middle of.
    """
    lines = _bytes(path, advice).split(b"\n")
    for number, line in enumerate(lines[:-1] if unfinished else lines, 1):
        if line.strip():
            where = f"{path} line {number}"
            yield number, as_object(parse_json(line, where, advice=advice), where, advice)


def not_utf8(error: UnicodeDecodeError) -> str:
    """What is wrong with bytes that are not UTF-8, and what to do."""
    data = bytes(error.object)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "is UTF-16 text; save it as UTF-8"
    line = data.count(b"\n", 0, error.start) + 1
    return f"line {line} is not UTF-8 text (byte 0x{data[error.start]:02x}); save the file as UTF-8"


def _bytes(path: Path, advice: str, error: type[TubeletError] = DataError, at_most: int | None = None) -> bytes:
    try:
        size = path.stat().st_size
        if at_most is not None and size > at_most:
            raise error(f"{path}: {size} bytes are too many for a configuration; is it another file?{_then(advice)}")
        return path.read_bytes()
    except OSError as reason:
        raise error(f"{path}: cannot be read ({reason.strerror}){_then(advice)}") from reason


def _then(advice: str) -> str:
    return f"; {advice}" if advice else ""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {twice!r} twice")
    return found
