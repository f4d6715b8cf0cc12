"""Writing a file whole or not at all, and reading one without trusting it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tubelet.errors import WeightsError

LARGEST_JSON = 64 * 1024 * 1024
"""Bytes of a JSON file that is still read: a configuration with the labels of any data set is far below."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; when the `with` ends well, the file stands at `path`, otherwise nothing has changed.

    The file is on the disk before it gets its name, so that a crash at any moment leaves the old file or the new one.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _flush(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        WeightsError: the file cannot be read, is not JSON, or is not an object.
    """
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise WeightsError(f"{path}: {path.stat().st_size} bytes is no configuration; is it another file?")
        return parse_json(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error


def parse_json(text: str, where: str) -> dict[str, Any]:
    """A JSON object; `where` it comes from is for the error.

    Raises:
        WeightsError: the text is not JSON, or not an object.
    """
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise WeightsError(f"{where}: expected JSON, but {error}") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{where}: expected a JSON object, got {type(data).__name__}")
    return data


def _flush(path: Path) -> None:
    """Wait until a file (or the names in a folder) are on the disk. Windows has no such thing for folders."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
