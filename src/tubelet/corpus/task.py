"""One task: its videos are decoded ahead of the model, and its part is written."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy
from numpy.typing import NDArray

from tubelet.corpus.apart import Address, ApartDecoder
from tubelet.corpus.classifying import Classifier
from tubelet.corpus.decoding import Decoded, GuardedDecoder
from tubelet.corpus.parts import Row, name_of, part_bytes
from tubelet.corpus.plan import Videos, model_hash, read_plan
from tubelet.corpus.sources import Video
from tubelet.corpus.store import open_store
from tubelet.errors import ConfigError
from tubelet.prediction.ready import ready
from tubelet.video.views import parse_views

DEADLY = "the process that predicts died three times on it; the model or the machine lacks the memory for it"


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is started with. Everything else is in the plan.

    Attributes:
        out: address of the corpus.
        device: of the model.
        threads: of the model, on a CPU.
        decoders: guarded processes.
        apart: where these, on other machines, find the worker; None if they are its own.
    """

    out: str
    device: str = "cpu"
    threads: int = 1
    decoders: int = 1
    apart: Address | None = None


@dataclass(frozen=True)
class Done:
    """A task that was done.

    Attributes:
        task: its number.
        statuses: how many rows of each.
        reasons: how many rows failed for each reason.
        waited: seconds that the model waited for the decoders.
        seconds: that the task took.
    """

    task: int
    statuses: dict[str, int]
    reasons: dict[str, int]
    waited: float
    seconds: float


class TaskRunner:
    """A model and its decoders, which do one task after the other.

    Raises:
        ConfigError: the model is not that of the plan.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._store = open_store(settings.out)
        self.plan = read_plan(self._store)
        self._videos = Videos(self._store)
        options = self.plan.options
        model, preprocessing = ready(self.plan.model, settings.device, resample=options.resample)
        if model_hash(model) != self.plan.model_hash:
            raise ConfigError(f"{self.plan.model} was changed since {settings.out} was planned; name another folder")
        self._classify = Classifier(model, options.precision, embeds=options.embed)
        views, seconds, provenance = parse_views(options.views), options.seconds, model.provenance
        self._decode: GuardedDecoder | ApartDecoder
        if settings.apart is None:
            self._decode = GuardedDecoder(preprocessing, views, seconds, settings.decoders, provenance)
        else:
            self._decode = ApartDecoder(preprocessing, views, seconds, settings.apart, provenance)
        self._pool = ThreadPoolExecutor(settings.decoders, thread_name_prefix="tubelet-decode")
        self._ahead = settings.decoders + 1

    def run(self, task: int, deadly: Collection[int] = (), begins: Callable[[int], None] | None = None) -> Done:
        """Do a task and write its part.

        Args:
            task: its number.
            deadly: ids that workers died on: they are `crashed`, untried.
            begins: is called with the id of each video before the model gets it.

        Raises:
            StorageError: the part cannot be written.
        """
        started = time.perf_counter()
        videos = iter(self._videos.of_task(task))
        ahead: deque[tuple[Video, Future[Decoded]]] = deque()

        def submit(count: int) -> None:
            for video in islice(videos, count):
                ahead.append((video, self._pool.submit(self._decoded, video, deadly)))

        submit(self._ahead)
        rows = []
        while ahead:
            video, future = ahead.popleft()
            waiting = time.perf_counter()
            decoded = future.result()
            waited = time.perf_counter() - waiting
            submit(1)
            if begins is not None:
                begins(video.id)
            rows.append(self._row(video, decoded, waited))
        self._store.write(name_of(task), part_bytes(self.plan, task, rows))
        reasons = Counter(row.reason for row in rows if row.reason is not None)
        statuses = Counter(str(row.status) for row in rows)
        waited = sum(row.waited for row in rows)
        return Done(task, dict(statuses), dict(reasons), waited, time.perf_counter() - started)

    def _decoded(self, video: Video, deadly: Collection[int]) -> Decoded:
        if video.id in deadly:
            return Decoded(status="crashed", reason=DEADLY)
        return self._decode(video)

    def _row(self, video: Video, decoded: Decoded, waited: float) -> Row:
        if decoded.views is None:
            return Row(video, decoded.status, decoded.reason, seconds=decoded.seconds, waited=waited)
        started = time.perf_counter()
        logits, embedding = self._classify(decoded.views, decoded.frame_mask)
        seconds = decoded.seconds + time.perf_counter() - started
        outputs: list[NDArray[Any]] = [*logits.values(), *([] if embedding is None else [embedding])]
        if not all(numpy.isfinite(values).all() for values in outputs):
            reason = "the model's output for it is not finite"
            return Row(video, "unreadable", reason, seconds=seconds, waited=waited)
        return Row(video, "ok", None, logits, embedding, decoded.use, seconds, waited)

    def close(self) -> None:
        """End the decoders."""
        self._pool.shutdown(cancel_futures=True)
        self._decode.close()
        self._videos.close()
