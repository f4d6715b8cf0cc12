"""JSON in files. What cannot be read is a `DataError` that names the file and the line, and says what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

from tubelet.errors import DataError

_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What JSON may hold as it is and a file had better not: line ends of other programs, and bytes of a name that are
not UTF-8, which Python has as halves of characters."""


def dump_json(value: Any, indent: int | None = None) -> str:
    """JSON that is readable in any script, and that is UTF-8 whatever the names in it are."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def parse_json(text: str | bytes, where: str, *, strict: bool = False, advice: str = "") -> Any:
    """A JSON value.

    Args:
        text: bytes are UTF-8.
        where: the text comes from, for the error.
        strict: refuse what JSON does not have (NaN, Infinity), and a key that an object has twice.
        advice: what to do about an error.

    Raises:
        DataError: not UTF-8, or not JSON; also a number or a nesting beyond what Python reads.
    """
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        if strict:
            return json.loads(decoded, parse_constant=_no_constant, object_pairs_hook=_unique)
        return json.loads(decoded)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: {not_utf8(error)}{_then(advice)}") from error
    except RecursionError as error:
        raise DataError(f"{where}: not JSON that can be read (nested too deeply){_then(advice)}") from error
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({str(error).partition(';')[0]}){_then(advice)}") from error


def read_json_object(path: Path, advice: str = "") -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    value = parse_json(_bytes(path, advice), str(path), advice=advice)
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object, got {type(value).__name__}{_then(advice)}")
    return value


def read_json_lines(path: Path, advice: str = "", *, unfinished: bool = False) -> list[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line of a JSONL file that is not blank. Only a line feed ends a line.

    Args:
        path: of the file.
        advice: what to do about an error.
        unfinished: leave out a last line without a line feed, which a process was killed in the middle of.

    Raises:
        DataError: the file cannot be read, or a line holds something else.
    """
    lines = _bytes(path, advice).split(b"\n")
    found = []
    for number, line in enumerate(lines[:-1] if unfinished else lines, 1):
        if line.strip():
            where = f"{path} line {number}"
            value = parse_json(line, where, advice=advice)
            if not isinstance(value, dict):
                raise DataError(f"{where}: expected a JSON object, got {type(value).__name__}{_then(advice)}")
            found.append((number, value))
    return found


def not_utf8(error: UnicodeDecodeError) -> str:
    """What is wrong with bytes that are not UTF-8, and what to do."""
    data = bytes(error.object)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "is UTF-16 text; save it as UTF-8"
    line = data.count(b"\n", 0, error.start) + 1
    return f"line {line} is not UTF-8 text (byte 0x{data[error.start]:02x}); save the file as UTF-8"


def _bytes(path: Path, advice: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}){_then(advice)}") from error


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
