"""The files of a run folder, read as they are: a missing one leaves a part of the page out, a broken one is named."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tubelet.config.serialise import as_type
from tubelet.errors import DataError
from tubelet.json_files import read_json_lines, read_json_object

Table = dict[str, Any]
T = TypeVar("T")

EVALUATION_FILE = "evaluation.json"
EXPLANATIONS_FILE = "explanations.jsonl"
"""What decided in the most confident mistakes, with a picture; `tubelet explain RUN --mistakes` writes it."""
LEARNING_FILE = "learning.json"
"""What became of the training; `tubelet train` writes it at the end."""
OTHERS = "evaluations"
"""Folder in a run whose folders are other evaluations of it."""


EVALUATION = {
    "classes": dict[str, list[str]],
    "metrics": dict[str, dict[str, Any]],
    "multi_label": dict[str, dict[str, Any]] | None,
}
METRICS = {"per_class": list[dict[str, Any]], "confusion": list[list[int]] | None}
PER_CLASS = {
    "name": str,
    "support": int,
    **dict.fromkeys(("precision", "recall", "f1", "average_precision", "threshold"), float | None),
}
PREDICTION = {"path": str, "labels": dict[str, int], "logits": dict[str, list[float]] | None}
EXPLAINED = {"path": str, "head": str, "logits": list[float], "method": str, "difference": float, "picture": str}
"""Types of what a page computes with."""


@dataclass(frozen=True)
class RunFiles:
    """What was found.

    Attributes:
        folder: of the run.
        config: `config.json`: architecture, preprocessing, class names.
        run: `run.json`: the whole training configuration, data source, environment.
        events: `metrics.jsonl`, one entry for each line.
        evaluation: `evaluation.json`.
        predictions: `predictions.jsonl`, one entry for each video.
        splits: `splits.csv`, one entry for each sample.
        failures: `failures.jsonl`: videos that training could not read.
        learning: `learning.json`: what became of the training, and the figures that say so.
        explanations: `explanations.jsonl`, one entry for each mistake that was explained.
        others: by name, the `evaluation.json` of other evaluations in `evaluations/NAME`.
        of_run: where the folder is such an evaluation itself, the name of its run.
        problems: files that are there and cannot be read, in words.
    """

    folder: Path
    config: Table = field(default_factory=dict)
    run: Table = field(default_factory=dict)
    events: list[Table] = field(default_factory=list)
    evaluation: Table = field(default_factory=dict)
    predictions: list[Table] = field(default_factory=list)
    splits: list[Table] = field(default_factory=list)
    failures: list[Table] = field(default_factory=list)
    learning: Table = field(default_factory=dict)
    explanations: list[Table] = field(default_factory=list)
    others: dict[str, Table] = field(default_factory=dict)
    of_run: str = ""
    problems: tuple[str, ...] = ()

    def events_of(self, kind: str) -> list[Table]:
        """The events of one kind, `train` or `validation`."""
        return [event for event in self.events if event.get("event") == kind]


def read_run(folder: str | Path) -> RunFiles:
    """Read a run folder.

    Raises:
        DataError: there is no such folder, or none of a run's files is in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; name the folder of a run, as `tubelet train --out` wrote it")
    problems: list[str] = []

    def read(path: Path, parse: Callable[[Path], T], empty: T) -> T:
        try:
            return parse(path)
        except FileNotFoundError:
            return empty
        except (OSError, ValueError, csv.Error) as error:
            problems.append(f"{path.name} cannot be read ({error})")
            return empty

    run = _run_of(folder) or folder
    files = RunFiles(
        folder=folder,
        config=read(run / "config.json", _table, {}),
        run=read(run / "run.json", _table, {}),
        events=read(run / "metrics.jsonl", _lines, []),
        evaluation=read(folder / EVALUATION_FILE, _evaluation, {}),
        predictions=read(folder / "predictions.jsonl", _predictions, []),
        splits=read(run / "splits.csv", _rows, []),
        failures=read(folder / "failures.jsonl", _lines, []),
        learning=read(run / LEARNING_FILE, _table, {}),
        explanations=read(folder / EXPLANATIONS_FILE, _explanations, []),
        others={
            path.parent.name: read(path, _evaluation, {})
            for path in sorted(folder.glob(f"{OTHERS}/*/{EVALUATION_FILE}"))
        },
        of_run="" if run == folder else run.resolve().name,
        problems=tuple(problems),
    )
    if not (files.config or files.run or files.events or files.evaluation or problems):
        raise DataError(
            f"{folder} holds no run: expected config.json, run.json, metrics.jsonl or evaluation.json in it"
        )
    return files


def _run_of(folder: Path) -> Path | None:
    """The run that a folder is another evaluation of, `RUN/evaluations/NAME`; None if it is none."""
    above = folder.resolve().parent
    if above.name != OTHERS or not (folder / EVALUATION_FILE).is_file() or not (above.parent / "run.json").is_file():
        return None
    return folder / ".." / ".."


def _evaluation(path: Path) -> Table:
    evaluation = _typed(_table(path), EVALUATION, str(path))
    for head, metrics in (*evaluation.get("metrics", {}).items(), *(evaluation.get("multi_label") or {}).items()):
        _typed(metrics, METRICS, f"{path}: metrics of {head}")
        for row in metrics.get("per_class", []):
            _typed(row, PER_CLASS, f"{path}: a class of {head}")
    return evaluation


def _predictions(path: Path) -> list[Table]:
    return [
        _typed(line, PREDICTION, f"{path} line {number}")
        for number, line in read_json_lines(_there(path), unfinished=True)
    ]


def _explanations(path: Path) -> list[Table]:
    return [_typed(line, EXPLAINED, f"{path} line {number}") for number, line in read_json_lines(_there(path))]


def _typed(table: Table, hints: dict[str, Any], where: str) -> Table:
    """The table, in which the fields that a page computes with have their types.

    Raises:
        ConfigError: one has another.
    """
    for name, hint in hints.items():
        if name in table or name == "path":
            as_type(table.get(name), hint, f"{where}: {name}")
    return table


def _table(path: Path) -> Table:
    return read_json_object(_there(path))


def _lines(path: Path) -> list[Table]:
    """JSON lines; a last line that a killed process left unfinished is dropped."""
    return [line for _, line in read_json_lines(_there(path), unfinished=True)]


def _rows(path: Path) -> list[Table]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def _there(path: Path) -> Path:
    """The path.

    Raises:
        FileNotFoundError: nothing is there.
    """
    path.stat()
    return path
