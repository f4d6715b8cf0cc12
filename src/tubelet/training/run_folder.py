"""The files of a run, and the promise that an existing run is never overwritten."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tubelet.config.run_state import read_run_file
from tubelet.data import Failure
from tubelet.distributed.world import ALONE, World
from tubelet.errors import ConfigError
from tubelet.files import replacing, storage_errors
from tubelet.folder_lock import LOCK_FILE, FolderLock
from tubelet.json_files import dump_json, read_json_lines
from tubelet.text import moment

PRETRAINING = "pretraining"
"""The `kind` in the `run.json` of a pretraining."""

PREPARING = ".preparing"
"""What the name of a folder ends with in which a run is prepared."""

PREPARED = ("checkpoints", "metrics.jsonl", "failures.jsonl", "splits.csv", "provenance.csv")
"""What a prepared run has besides `run.json`, which gets its place last."""

REMOVE = "remove the file: what cannot be read is noted in it again"

SEEN_WITHIN = 60.0
"""Seconds that a shared file system may take until one machine sees what another wrote."""


class RunFolder:
    """Paths inside a run folder, and the lock on it.

    Args:
        path: of the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.run = self.path / "run.json"
        self.splits = self.path / "splits.csv"
        self.metrics = self.path / "metrics.jsonl"
        self.failures = self.path / "failures.jsonl"
        self.last = self.path / "checkpoints" / "last"
        self.previous = self.path / "checkpoints" / "previous"
        self.best = self.path / "checkpoints" / "best"
        self.lock = FolderLock()

    @classmethod
    def of(cls, weights: str | Path) -> RunFolder:
        """The one that weights would lie in, named by their folder or their file."""
        path = Path(weights)
        return cls(path.parent if path.is_file() else path)

    def require_unused(self) -> None:
        """Raise a ConfigError if there is anything in the folder, or if it is a file."""
        with storage_errors(self.path):
            if self.run.exists():
                raise ConfigError(
                    f"{self.path} holds a run already; resume it, or name another folder. Runs are never overwritten"
                )
            if self.path.exists() and (not self.path.is_dir() or any(_visible(self.path))):
                raise ConfigError(f"{self.path} exists and is not a run; name a folder that is new or empty")

    def take_up(self, world: World = ALONE) -> None:
        """Lock the run, to go on with it; of several processes the first one does.

        Raises:
            ConfigError: there is none.
            InUseError: another process works in it.
            StorageError: it cannot be written to.
        """
        if not self.run.is_file():
            raise ConfigError(f"{self.path} holds no run to resume (no {self.run.name}); start one without resume")
        if world.first:
            with storage_errors(self.path):
                self.lock.hold(self.path)

    def remove(self) -> None:
        """Delete the run."""
        shutil.rmtree(self.path, ignore_errors=True)

    def read_run(self) -> dict[str, Any]:
        """What `run.json` says.

        Raises:
            DataError: it is damaged.
        """
        return read_run_file(self.path, "config", "model", "preprocessing", "labels", "data", "resumed")

    def is_pretraining(self) -> bool:
        """Whether a pretraining was run here."""
        return self.run.is_file() and self.read_run().get("kind") == PRETRAINING

    def write_run(self, description: dict[str, Any]) -> None:
        """Write `run.json`, whole or not at all."""
        with replacing(self.run) as path:
            path.write_text(dump_json(description, indent=2) + "\n", encoding="utf-8")


@contextmanager
def appearing(out: RunFolder, world: World = ALONE) -> Iterator[RunFolder]:
    """Give a hidden folder to prepare a run in; it takes its name `out` when all is there, or is removed.

    Of several processes the first one makes, names and removes it; all must see it.
    """
    hidden = _hidden(out.path)
    if not world.first:
        yield RunFolder(hidden)
        world.wait()
        _require_seen(out, world)
        return
    out.require_unused()
    with storage_errors(out.path):
        _claim(hidden, out)
    try:
        yield RunFolder(hidden)
        out.require_unused()
        with storage_errors(out.path):
            _appear(hidden, out)
    finally:
        if hidden.exists():
            shutil.rmtree(hidden)
    world.wait()


def _claim(hidden: Path, out: RunFolder) -> None:
    """Make the hidden folder, empty but for the lock, or hold that another process prepares a run there."""
    while True:
        out.require_unused()
        hidden.mkdir(parents=True, exist_ok=True)
        try:
            out.lock.hold(out.path if hidden.parent == out.path else hidden)
            break
        except FileNotFoundError:  # whoever had it has just ended
            continue
    moved = [out.path / name for name in PREPARED] if _was_appearing(out.path) else []
    for entry in [*moved, *hidden.iterdir()]:
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != LOCK_FILE:
            entry.unlink(missing_ok=True)


def _hidden(path: Path) -> Path:
    """Where a run is prepared: beside its folder, or in it if that is there (it may be the present one, or a disk)."""
    return path / PREPARING if path.is_dir() else path.with_name(f".{path.name}{PREPARING}")


def _appear(hidden: Path, out: RunFolder) -> None:
    """Give what was prepared its place; the file that makes a folder a run comes last."""
    if hidden.parent != out.path:
        hidden.rename(out.path)
        out.lock.renamed(out.path)
        return
    for entry in sorted(hidden.iterdir(), key=lambda entry: entry.name == out.run.name):
        entry.rename(out.path / entry.name)


def _visible(folder: Path) -> Iterator[Path]:
    """What is in a folder, without what a start that was killed has left there."""
    left = {PREPARING, LOCK_FILE, *(PREPARED if _was_appearing(folder) else ())}
    return (entry for entry in folder.iterdir() if entry.name not in left)


def _was_appearing(folder: Path) -> bool:
    """Whether a process was killed while it gave what it had prepared in this folder its place."""
    return (folder / PREPARING / "run.json").is_file()


def _require_seen(out: RunFolder, world: World) -> None:
    until = time.monotonic() + SEEN_WITHIN
    while not out.run.is_file():
        if time.monotonic() > until:
            raise ConfigError(
                f"{world} does not see {out.path}, which the first process made; name a folder on a file system that "
                "all machines share"
            )
        time.sleep(0.1)


class FailureLog:
    """`failures.jsonl`: each video that could not be read, once.

    Args:
        path: the file; continued if it exists.
        writes: False remembers, and writes nothing.
    """

    def __init__(self, path: Path, writes: bool = True) -> None:
        self._path = path
        self._writes = writes
        self._known: dict[str, None] = {}
        if path.exists():
            noted = read_json_lines(path, REMOVE, unfinished=True)
            self._known = {str(failure.get("path")): None for _, failure in noted}

    def __len__(self) -> int:
        return len(self._known)

    def rewind(self, count: int | None) -> None:
        """Forget all but the first so many, which were there at a checkpoint; None (not known) keeps all."""
        if count is None or count >= len(self):
            return
        self._known = dict.fromkeys(list(self._known)[:count])
        if self._writes:
            lines = self._path.read_bytes().splitlines(keepends=True)[:count]
            with replacing(self._path) as path:
                path.write_bytes(b"".join(lines))

    def note(self, failures: Iterable[Failure]) -> list[Failure]:
        """Write down those that are new, and return them."""
        new = [failure for failure in failures if failure.path not in self._known]
        if new:
            self._known.update((failure.path, None) for failure in new)
        if new and self._writes:
            when = moment()
            with storage_errors(self._path), self._path.open("a", encoding="utf-8") as file:
                for failure in new:
                    file.write(json.dumps({"path": failure.path, "reason": failure.reason, "when": when}) + "\n")
        return new
