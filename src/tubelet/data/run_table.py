"""The table of a run, from its `splits.csv`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tubelet.config.run_state import RESTORE, RUN_FILE, read_run_file
from tubelet.data.table import Table
from tubelet.data.table_file import read_splits
from tubelet.errors import DataError
from tubelet.video import video_exists

SPLITS_FILE = "splits.csv"


def run_table(folder: str | os.PathLike[str]) -> Table:
    """All videos of a run, with its splits and classes; a DataError if it lists none, or a file of it is damaged."""
    folder = Path(folder)
    if not (folder / SPLITS_FILE).is_file() or not (folder / RUN_FILE).is_file():
        raise DataError(f"{folder} is not a run that knows its videos (no {SPLITS_FILE}); name some")
    return splits_of(folder, read_run_file(folder, "labels", "data"))


def splits_of(folder: Path, run: Mapping[str, Any]) -> Table:
    """The table of the run in a folder; a DataError if it is not what `run.json` says."""
    table = read_splits(
        folder / SPLITS_FILE, run["labels"] or {}, run["data"]["root"], run["data"].get("multi_label", ())
    )
    expected = run["data"].get("splits")
    if expected is not None and expected != table.splits:
        raise DataError(
            f"{folder / SPLITS_FILE} lists {_counts(table.splits)}, and the run was given {_counts(expected)}: rows "
            f"are missing or changed; {RESTORE}"
        )
    return table


def require_any(table: Table) -> None:
    """Hold that not all videos of a run are gone."""
    if not any(video_exists(sample.path) for sample in table.samples):
        raise DataError(
            f"none of the run's {len(table)} videos is where it was ({table.samples[0].path} for one). If they were "
            "moved, name the folder or table where they are now: they are known by their content"
        )


def _counts(splits: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {split or 'without split'}" for split, number in sorted(splits.items())) or "nothing"
