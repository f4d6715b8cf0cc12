"""A configuration as a TOML file that `tubelet train --recipe FILE` takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from tubelet.config import TrainConfig, to_dict
from tubelet.files import write_text

LEFT_OUT = frozenset(
    {
        *("seed", "recipe", "runtime", "data.source", "data.labels", "data.format"),
        *("data.split_column", "data.group_column", "data.video_root"),
    }
)
"""Settings, or whole groups of them, that belong to a training and not to a recipe."""

GROUPS = tuple(name for name, value in to_dict(TrainConfig()).items() if isinstance(value, dict))


def write_recipe(config: TrainConfig, file: Path, comment: str) -> None:
    """Write what differs from the defaults of a training, whole or not at all.

    Args:
        config: to write.
        file: where.
        comment: its first line.
    """
    values, defaults = to_dict(config), to_dict(TrainConfig())
    table = _different({name: value for name, value in values.items() if name not in GROUPS}, defaults)
    for group in GROUPS:
        if group not in LEFT_OUT and (inner := _different(values[group], defaults[group], f"{group}.")):
            table[group] = inner
    write_text(file, f"# {comment}\n\n{tomli_w.dumps(table)}")


def _different(values: Mapping[str, Any], defaults: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The values that are not the defaults and not `LEFT_OUT`; TOML has no word for None, which is one."""
    return {
        name: value
        for name, value in values.items()
        if value is not None and value != defaults.get(name) and where + name not in LEFT_OUT
    }
