"""The folder of a study: which runs it has, what each was asked to be, and what came out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tubelet.config import from_dict, to_dict
from tubelet.config.resume import NOT_LEARNED
from tubelet.data import Table, write_table
from tubelet.data.table_file import read_splits
from tubelet.errors import ConfigError
from tubelet.files import write_text
from tubelet.folder_lock import LOCK_FILE
from tubelet.json_files import dump_json
from tubelet.studies.study import Cell, Source, Task

STUDY_FILE = "study.json"


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        status: `done`; `failed`, with the reason in `error`; or `waiting`, it has not ended yet.
        error: why it failed.
        top1: by views, share of the test videos that were called right.
        right: by views, how right each test video was, in the order of the table: 0 or 1; a share with several heads.
        train_top1: share of (at most as many) training videos that were called right, seen as in a test.
        parameters: of the model.
        multiply_adds: of one clip.
        tokens: of one clip.
        clip_milliseconds: of one clip on the machine that ran it, one forward pass, the fastest of some.
        seconds: of training and evaluation.
        loss: of a source: its last epoch's.
    """

    status: Literal["done", "failed", "waiting"]
    error: str = ""
    top1: dict[str, float] = field(default_factory=dict)
    right: dict[str, list[float]] = field(default_factory=dict)
    train_top1: float | None = None
    parameters: int = 0
    multiply_adds: int = 0
    tokens: int = 0
    clip_milliseconds: float = 0.0
    seconds: float = 0.0
    loss: float | None = None


@dataclass(frozen=True)
class Run:
    """A cell or a source with a seed.

    Attributes:
        task: with the seed in its configuration.
        seed: of it.
        folder: of the run.
    """

    task: Task
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Of the run, for a person."""
        return f"{self.task.label}, seed {self.seed}"

    @property
    def state(self) -> Path:
        """The file beside its folder that says what it is to be and what came out."""
        return self.folder.with_name(f"{self.folder.name}.json")


class StudyFolder:
    """Paths inside a study's folder.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.study = self.path / STUDY_FILE
        self.data = self.path / "data.csv"
        self.cells = self.path / "cells"
        self.page = self.path / "report.html"
        self.markdown = self.path / "results.md"
        self.results = self.path / "results.json"
        self.plot = self.path / "plot.png"

    def run(self, task: Task, seed: int) -> Run:
        """A cell or a source with a seed."""
        return Run(task.for_seed(seed), seed, self.cells / task.name / f"seed-{seed}")

    def claim(self, study: str) -> None:
        """Make the folder this study's, or go on with it.

        Raises:
            ConfigError: it holds something else.
        """
        if self.study.is_file():
            there = _study_of(self.study)
            if there != study:
                raise ConfigError(f"{self.path} holds the study {there!r}, not {study!r}; name another folder")
            return
        if self.path.exists() and (not self.path.is_dir() or any(not _is_ours(path) for path in self.path.iterdir())):
            raise ConfigError(f"{self.path} is there already and is not a study; name a folder that is new or empty")
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_study({"study": study})

    def claim_for_pages(self, study: str) -> None:
        """Make the folder one for this study's pages, or renew those that are there.

        Raises:
            ConfigError: what is there under their names is not this study's.
        """
        there = [path for path in (self.page, self.markdown, self.results, self.plot) if path.exists()]
        if there and _study_of(self.results) != study:
            raise ConfigError(
                f"{there[0]} is there already and not of the study {study!r}; name another folder to publish in"
            )
        self.path.mkdir(parents=True, exist_ok=True)

    def write_study(self, description: Mapping[str, Any]) -> None:
        """Write `study.json`, whole or not at all."""
        write_text(self.study, dump_json(description, indent=2) + "\n")

    def store_table(self, table: Table) -> None:
        """Write the videos down for the runs, or hold that they are the ones that are there.

        Raises:
            ConfigError: others were used before.
        """
        stored = self.path / "classes.json"
        if not stored.is_file():
            write_table(table, self.data)
            content = {"root": table.root, "classes": table.classes, "digest": digest(table)}
            write_text(stored, dump_json(content) + "\n")
        elif json.loads(stored.read_text(encoding="utf-8"))["digest"] != digest(table):
            raise ConfigError(
                f"{self.path} was begun with other videos, labels or splits; its cells and new ones could not be "
                "compared. Name another folder"
            )

    def read_table(self) -> Table:
        """The videos that all runs use."""
        stored = json.loads((self.path / "classes.json").read_text(encoding="utf-8"))
        return read_splits(self.data, stored["classes"], stored["root"])


def digest(table: Table) -> str:
    """Changes when a video, a label or a split does; the folder that they lie in does not matter."""
    lines = sorted(f"{table.key(s)} {table.class_names(s)} {s.split}" for s in table.samples)
    return hashlib.blake2b(os.fsencode("\n".join(lines)), digest_size=16).hexdigest()


def write_state(run: Run, outcome: Outcome) -> None:
    """Write down what a run is to be and what came out, whole or not at all."""
    kind = "cell" if isinstance(run.task, Cell) else "source"
    content = {kind: to_dict(run.task), "learned": run.task.what_is_learned(), "outcome": to_dict(outcome)}
    run.state.parent.mkdir(parents=True, exist_ok=True)
    write_text(run.state, dump_json(content) + "\n")


def read_outcome(run: Run) -> Outcome:
    """What came out so far."""
    if not run.state.is_file():
        return Outcome("waiting")
    stored = json.loads(run.state.read_text(encoding="utf-8"))
    return from_dict(Outcome, stored["outcome"], where=str(run.state))


def read_run(state: Path) -> Run:
    """The run that a state file describes."""
    stored = json.loads(state.read_text(encoding="utf-8"))
    is_cell = "cell" in stored
    task: Task = (
        from_dict(Cell, stored["cell"], where="cell")
        if is_cell
        else from_dict(Source, stored["source"], where="source")
    )
    return Run(task, task.config.seed, state.with_suffix(""))


def require_unchanged(runs: Iterable[Run]) -> None:
    """Hold that every run that was begun is still to be what it was begun as.

    Raises:
        ConfigError: one is not; the first setting that differs is named.
    """
    for run in runs:
        if not run.state.is_file():
            continue
        stored = json.loads(run.state.read_text(encoding="utf-8"))["learned"]
        wanted = json.loads(json.dumps(run.task.what_is_learned()))
        difference = _first_difference(stored, wanted)
        if difference:
            raise ConfigError(
                f"{run.folder} was begun with another configuration: {difference}. A study compares what differs in "
                "one thing alone; name another folder for the new configuration, or remove this cell to train it anew"
            )


def _first_difference(stored: Any, wanted: Any, where: str = "") -> str:
    if where.removeprefix("config.") in NOT_LEARNED or stored == wanted:
        return ""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for name in {**stored, **wanted}:
            inner = _first_difference(stored.get(name), wanted.get(name), f"{where}.{name}".lstrip("."))
            if inner:
                return inner
        return ""
    return f"{where.removeprefix('config.')} was {stored!r} and is {wanted!r} now"


def _is_ours(path: Path) -> bool:
    """Whether a study that was killed when it began left this."""
    return path.name in (LOCK_FILE, f".{STUDY_FILE}.partial")


def _study_of(path: Path) -> str | None:
    """The study that a JSON file of ours names; None where there is no file, or one that is not ours."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return content.get("study") if isinstance(content, dict) else None
