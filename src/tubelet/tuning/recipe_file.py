"""A configuration as a TOML file that `tubelet train --recipe FILE` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from tubelet.config import TrainConfig, to_dict
from tubelet.files import write_text

LEFT_OUT = {
    "": ("seed", "recipe"),
    "data": ("source", "labels", "format", "split_column", "group_column", "video_root"),
    "runtime": None,
}
"""What belongs to a training and not to a recipe, by group; None is all of the group."""


def write_recipe(config: TrainConfig, file: Path, comment: str) -> None:
    """Write what differs from the defaults of a training, whole or not at all.

    Args:
        config: to write.
        file: where.
        comment: its first line.
    """
    table = _different(to_dict(config), to_dict(TrainConfig()))
    write_text(file, f"# {comment}\n\n{tomli_w.dumps(table)}")


def _different(values: dict[str, Any], defaults: dict[str, Any], group: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        left_out = LEFT_OUT.get(group, ())
        if value is None or left_out is None or name in left_out:
            continue
        if isinstance(value, dict) and isinstance(defaults.get(name), dict) and not group:
            inner = _different(value, defaults[name], name) if LEFT_OUT.get(name, ()) is not None else {}
            if inner:
                found[name] = inner
        elif value != defaults.get(name):
            found[name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    """Without entries that TOML has no word for."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items() if inner is not None}
    return value
