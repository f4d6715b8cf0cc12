"""Running a model over a corpus: the plan, then the tasks whose parts are not there."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tubelet.corpus.apart import Decode
from tubelet.corpus.classifying import require_embeddings
from tubelet.corpus.local import LocalEngine, OwnProcess
from tubelet.corpus.parts import task_of
from tubelet.corpus.plan import TASK_SIZE, Options, make_plan, model_hash, read_plan, settle
from tubelet.corpus.sources import list_videos
from tubelet.corpus.store import open_store
from tubelet.corpus.task import Done, WorkerSettings
from tubelet.device import resolve_device, usable_cores
from tubelet.errors import ConfigError
from tubelet.prediction.ready import ready
from tubelet.video.views import format_views, parse_views

Engine = Literal["local", "ray"]
OnEvent = Callable[[dict[str, Any]], None]


class _Engine(Protocol):
    def run(self, tasks: Any, on_done: Callable[[Done], None], on_video: Callable[[int, int], None]) -> None: ...


@dataclass(frozen=True)
class Shard:
    """Which tasks one of several machines does: those whose number leaves `number` when divided by `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, words: str) -> Shard:
        """ "0/3" is the first of three.

        Raises:
            ConfigError: anything else.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", words)
        if not found or int(found[1]) >= int(found[2]):
            raise ConfigError(f"shard={words!r}: expected K/N with K from 0 to N - 1; the first of three is 0/3")
        return cls(int(found[1]), int(found[2]))


def run(
    model: str | os.PathLike[str],
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    views: str | tuple[int, int] = (1, 1),
    embed: bool = False,
    logits: bool = False,
    precision: Literal["auto", "float32", "bfloat16"] = "float32",
    resample: bool = True,
    seconds: float = 60.0,
    task_size: int = TASK_SIZE,
    keep_plan: bool = False,
    engine: Engine = "local",
    workers: int | None = None,
    decoders: int | None = None,
    decode: Decode = "here",
    device: str = "auto",
    shard: str | None = None,
    on_event: OnEvent | None = None,
) -> dict[str, int]:
    """Predict every video of a corpus, and write a row for each. The same call again goes on where it was.

    Args:
        model: what `tubelet.load` reads: a run, a model folder, a Hub id.
        source: a folder, a pattern, a table, or the URL of one of these in an object store.
        out: a folder, made if it is not there, or a URL.
        views: see `tubelet.predict`.
        embed: write the normalised embedding (float16) of each video.
        logits: write the logits (float32) of all classes.
        precision: of matrix products.
        resample: see `tubelet.predict`.
        seconds: that decoding a video may take, by the clock and of processor time.
        task_size: videos of a task.
        keep_plan: take the list of videos that is in `out` already, and do not look at `source` again.
        engine: `local`: processes of this machine; `ray`: actors on a Ray cluster.
        workers: copies of the model; by default one for each core, or for each GPU. 0 does all in this process.
        decoders: decoding processes of each worker; 1 on a CPU, and all cores by default beside GPUs.
        decode: `here`: they run beside their worker; `apart`: Ray places them on any node with a free core.
        device: `auto`, `cpu`, `cuda`. On a Ray cluster `auto` is `cpu`.
        shard: `K/N`: do the K-th of N shares of the tasks, K from 0.
        on_event: is called with dictionaries: `plan`, `progress`, `task`, `end`.

    Returns:
        how many rows of each status were written in this call.

    Raises:
        ConfigError: `out` has another plan, the error says what differs; embeddings of an exported model;
            decoding apart without Ray.
        DataError: nothing in `source`.
        StorageError: `out` cannot be written.
        WorkerError: workers die before their first task.
    """
    if decode == "apart" and engine != "ray":
        raise ConfigError(
            "decode='apart' needs engine='ray': on one machine videos are decoded in processes of their own anyway, as "
            "many for each worker as decoders=N says"
        )
    options = Options(format_views(parse_views(views)), embed, logits, precision, resample, seconds)
    loaded, _ = ready(model, "cpu")
    if embed:
        require_embeddings(loaded)
    store = open_store(out, make=True)
    if keep_plan:
        plan = read_plan(store)
        if plan.model_hash != model_hash(loaded) or plan.options != options:
            raise ConfigError(f"{store.address} was planned with another model or other options than these")
    else:
        videos = list_videos(source)
        plan = make_plan(videos, loaded, os.fspath(model), options, task_size)
        settle(store, plan, videos)
        del videos
    del loaded
    mine = Shard.parse(shard) if shard is not None else Shard(0, 1)
    there = {task for name in store.names() if (task := task_of(name)) is not None}
    tasks = [task for task in range(mine.number, plan.tasks, mine.of) if task not in there]
    progress = Progress(sum(len(plan.ids(task)) for task in tasks), plan.task_size, on_event or (lambda event: None))
    progress.begin(plan.videos, plan.tasks, len(range(mine.number, plan.tasks, mine.of)) - len(tasks))
    if tasks:
        made = _engine(engine, store.address, device, workers, decoders, decode, seconds, len(tasks))
        made.run(tasks, progress.done, progress.video)
    return progress.end()


def _engine(
    engine: Engine,
    address: str,
    device: str,
    workers: int | None,
    decoders: int | None,
    decode: Decode,
    seconds: float,
    tasks: int,
) -> _Engine:
    if (workers or 0) < 0 or (decoders is not None and decoders < 1):
        raise ConfigError(f"workers={workers} must be at least 0, decoders={decoders} at least 1")
    if engine == "ray":
        from tubelet.corpus.ray_engine import RayEngine

        place = "cuda" if device.startswith("cuda") else "cpu"  # what this machine has says nothing of the cluster
        return RayEngine(WorkerSettings(address, place), workers, seconds, decoders, decode)
    cores, place = usable_cores(), device if ":" in device else resolve_device(device).type
    workers = min(tasks, (cores if place == "cpu" else _gpus(place)) if workers is None else workers)
    threads = max(1, cores // max(1, workers)) if place == "cpu" else 1
    settings = WorkerSettings(address, place, threads, decoders or (1 if place == "cpu" else max(1, cores // workers)))
    return LocalEngine(settings, workers, seconds) if workers else OwnProcess(settings)


def _gpus(device: str) -> int:
    import torch

    return torch.cuda.device_count() if device == "cuda" else 1


class Progress:
    """Counts what was done, and says so.

    Args:
        videos: that are to be done.
        task_size: of the plan.
        on_event: gets the events.
    """

    EVERY = 1.0

    def __init__(self, videos: int, task_size: int, on_event: OnEvent) -> None:
        self._all, self._task_size, self._on_event = videos, task_size, on_event
        self._started: float | None = None  # when the first video began: models are loaded by then
        self._said = 0.0
        self._statuses: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._begun: dict[int, int] = {}
        self._waited = self._worked = 0.0

    def begin(self, videos: int, tasks: int, already: int) -> None:
        self._on_event({"event": "plan", "videos": videos, "tasks": tasks, "tasks_done": already, "to_do": self._all})

    def video(self, task: int, video: int) -> None:
        """A worker began a video of a task: those before it are done."""
        self._started = self._started or time.monotonic()
        self._begun[task] = video - task * self._task_size
        if time.monotonic() - self._said >= self.EVERY:
            self._said = time.monotonic()
            self._on_event({"event": "progress", **self._state()})

    def done(self, done: Done) -> None:
        """A task was done."""
        self._begun.pop(done.task, None)
        self._started = self._started or time.monotonic() - done.seconds
        self._statuses.update(done.statuses)
        self._reasons.update(done.reasons)
        self._waited += done.waited
        self._worked += done.seconds
        self._on_event({"event": "task", "task": done.task, "statuses": done.statuses, **self._state()})

    def end(self) -> dict[str, int]:
        reasons = dict(self._reasons.most_common(20))
        self._on_event({"event": "end", "statuses": dict(self._statuses), "reasons": reasons, **self._state()})
        return dict(self._statuses)

    def _state(self) -> dict[str, Any]:
        passed = 0.0 if self._started is None else time.monotonic() - self._started
        done = sum(self._statuses.values()) + sum(self._begun.values())
        rate = done / passed if passed > 0 else 0.0
        left = (self._all - done) / rate if rate > 0 else None
        return {
            "done": done,
            "to_do": self._all,
            "failed": sum(self._statuses.values()) - self._statuses["ok"],
            "clips_per_second": round(rate, 3),
            "waiting_for_decoding": round(self._waited / self._worked, 4) if self._worked else None,
            "seconds": round(passed, 3),
            "seconds_left": None if left is None else round(left, 1),
        }
