"""`run.json`, and the progress of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.config.serialise import as_type
from tubelet.errors import ConfigError, DataError
from tubelet.json_files import read_json_lines, read_json_object

RUN_FILE = "run.json"
RESTORE = "restore the file from a copy of the run, or train again into another folder"
"""What to do where a file of a run is damaged."""

FIELDS: dict[str, Any] = {
    "config": dict[str, Any],
    "model": dict[str, Any],
    "preprocessing": dict[str, Any],
    "labels": dict[str, list[str]] | None,
    "data": dict[str, Any],
    "steps_per_epoch": int,
    "total_steps": int,
    "resumed": list[Any],
}
"""The types of fields of `run.json`."""

FINISHED, EARLY, TIME, INTERRUPTED = "finished", "early stopping", "time", "interrupted"


@dataclass(frozen=True)
class RunState:
    """The progress of a run.

    Attributes:
        epochs_done: whole passes over the training videos.
        epochs: that were planned, when the run began or by its time budget.
        finished: whether it came to its end: all epochs, early stopping, or the end of its time.
        reason: `finished`, `early stopping`, `time`, `interrupted`; None if it runs still, or was killed.
    """

    epochs_done: int
    epochs: int
    finished: bool
    reason: str | None

    def __str__(self) -> str:
        done = f"{self.epochs_done} of {self.epochs} epochs"
        if self.reason == FINISHED:
            return done
        return f"{done}, {'stopped by ' + str(self.reason) if self.finished else self.reason or 'not finished'}"


def read_run_file(folder: str | Path, *needed: str) -> dict[str, Any]:
    """Read `run.json`; a DataError if it cannot be read, a field has the wrong type, or one of `needed` is missing.

    Of `data`, what is needed is its `root`.
    """
    path = Path(folder) / RUN_FILE
    run = read_json_object(path, RESTORE)
    lacking = [name for name in needed if name not in run]
    if lacking:
        raise DataError(f"{path}: no {', '.join(lacking)}; {RESTORE}")
    try:
        fields = {name: as_type(run[name], hint, f"{path}: {name}") for name, hint in FIELDS.items() if name in run}
        if "data" in needed:
            as_type(run["data"].get("root"), str, f"{path}: data.root")
            as_type(run["data"].get("splits"), dict[str, int] | None, f"{path}: data.splits")
    except ConfigError as error:
        raise DataError(f"{error}; {RESTORE}") from error
    return run | fields


def run_state(folder: str | Path) -> RunState:
    """The progress of the run in a folder, a training or a pretraining; a DataError if a file of it is damaged."""
    path = Path(folder) / "metrics.jsonl"
    run = read_run_file(folder, "steps_per_epoch", "total_steps")
    events = [event for _, event in read_json_lines(path, RESTORE, unfinished=True)]
    last = events[-1] if events else {}
    plans = [event for event in events if event.get("event") == "plan"]
    try:
        steps = as_type(plans[-1].get("steps") if plans else run["total_steps"], int, f"{path}: steps")
        step = as_type(last.get("step", 0), int, f"{path}: step")
        reason = as_type(last.get("reason", FINISHED), str, f"{path}: reason")
    except ConfigError as error:
        raise DataError(f"{error}; {RESTORE}") from error
    an_epoch = max(run["steps_per_epoch"], 1)
    ended = last.get("event") == "end"
    why = reason if ended else INTERRUPTED if last.get("event") == INTERRUPTED else None
    return RunState(step // an_epoch, math.ceil(steps / an_epoch), ended, why)


def unfinished_note(source: str | Path) -> str | None:
    """What to know of weights whose training has not come to its end, or may not have; None of any others.

    Args:
        source: a run, or something else that weights are loaded from.
    """
    if not (Path(source) / RUN_FILE).is_file() or not (Path(source) / "metrics.jsonl").is_file():
        return None
    try:
        state = run_state(source)
    except DataError as error:  # the weights may be whole
        return f"it is not known whether the training of {source} was finished: its files cannot be read ({error})"
    return (
        None if state.finished else f"the training of this run is not finished: {state}; these are its weights so far"
    )
