"""JSON objects beside weights, and inside them; errors in one are a `WeightsError`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tubelet.errors import WeightsError
from tubelet.json_files import as_object, parse_json, read_json_object


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds."""
    return read_json_object(path, strict=True, error=WeightsError)


def read_json_text(text: str, where: str) -> dict[str, Any]:
    """The JSON object that a text is; `where` it comes from is for the error."""
    return as_object(parse_json(text, where, strict=True, error=WeightsError), where, error=WeightsError)


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
