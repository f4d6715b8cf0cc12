"""What all routes share: models, guarded processes, and how many requests are let in."""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request

from tubelet.errors import ConfigError
from tubelet.files import process_name, remove_leftovers
from tubelet.serving.journal import log
from tubelet.serving.metrics import Metrics
from tubelet.serving.model_thread import Logits, ModelThread
from tubelet.serving.problem import ProblemError
from tubelet.serving.served import ServedModel
from tubelet.serving.settings import Settings
from tubelet.serving.upload import Upload, received
from tubelet.text import did_you_mean
from tubelet.video import Views
from tubelet.video.guarded import GuardedPool

T = TypeVar("T")

PREFIX = "tubelet-serve."
"""Of the folder for temporary files; the name of the process follows."""

TASKS = "tubelet.serving.tasks"


class Service:
    """The state of a service, which runs from `open` to `close`.

    Args:
        models: by their names; the first is the default.
        settings: of the service.

    Attributes:
        pool: of guarded processes.
        folder: for temporary files, gone at the end.
        stopping: set when no new work is to begin; sessions end then.

    Raises:
        ConfigError: no model, or two of the same name.
    """

    def __init__(self, models: Sequence[ServedModel], settings: Settings) -> None:
        names = [model.name for model in models]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"models are served under different names, got {names}")
        self.settings = settings
        self.metrics = Metrics()
        self.models = {model.name: model for model in models}
        self.stopping = threading.Event()
        self._in_progress = self._sessions = self._computing = 0
        self._seconds = 1.0
        self._starting = True
        self.folder: Path
        self.pool: GuardedPool
        self.session_threads: ThreadPoolExecutor
        self._gauges()

    def _gauges(self) -> None:
        self.metrics.gauge("tubelet_in_progress", lambda: self._in_progress)
        self.metrics.gauge("tubelet_sessions", lambda: self._sessions)
        self.metrics.gauge("tubelet_model_queue", lambda: sum(model.thread.waiting for model in self.models.values()))
        self.metrics.gauge("tubelet_decoders", lambda: len(self.pool.process_ids()))
        self.metrics.gauge("tubelet_ready", lambda: self.problem() is None)

    # --- life ------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Start threads and guarded processes."""
        settings = self.settings
        for model in self.models.values():
            model.thread = ModelThread(
                model.model,
                precision=model.precision,
                batch=settings.batch,
                delay=settings.delay,
                others=lambda: self._computing,
                metrics=self.metrics,
            )
        remove_leftovers(Path(tempfile.gettempdir()), PREFIX)  # of services that were killed
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{process_name()}."))
        self.pool = GuardedPool(settings.decoders, settings.bounds, (TASKS,))
        self._threads = ThreadPoolExecutor(settings.decoders, thread_name_prefix="tubelet-decoding")
        self.session_threads = ThreadPoolExecutor(settings.sessions, thread_name_prefix="tubelet-session")

    async def begin(self) -> None:
        """Start the guarded processes and compute the sample clips; then the service is ready."""
        began = time.perf_counter()
        try:
            await asyncio.gather(
                asyncio.to_thread(self.pool.wait_until_ready),
                *(asyncio.wrap_future(model.start_check()) for model in self.models.values()),
            )
        except Exception as error:  # noqa: BLE001  # it is not ready, and says why
            for model in self.models.values():
                model.problem = str(error)
        self._starting = False
        log(
            "ready" if self.problem() is None else "not ready",
            problem=self.problem(),
            seconds=round(time.perf_counter() - began, 3),
        )

    def close(self) -> None:
        """End all processes and threads, and remove the temporary files."""
        self.stopping.set()
        self.pool.close()
        self._threads.shutdown()
        self.session_threads.shutdown()
        for model in self.models.values():
            model.thread.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def problem(self) -> str | None:
        """Why it is not ready; None when it is."""
        if self._starting:
            return "its models and decoders are starting"
        return next((f"{model.name}: {model.problem}" for model in self.models.values() if model.problem), None)

    def model(self, name: str | None) -> ServedModel:
        """The model of that name, or the default, when it is ready.

        Raises:
            ProblemError: no such model, or it is not ready.
        """
        chosen = self.models.get(name) if name is not None else next(iter(self.models.values()))
        if chosen is None:
            raise ProblemError(404, f"no model {name!r}{did_you_mean(str(name), self.models)}")
        if self._starting or chosen.problem is not None:
            why = chosen.problem or self.problem()
            raise ProblemError(503, f"{chosen.name} is not ready: {why}", self._retry())
        return chosen

    # --- a request -------------------------------------------------------------------------------------------------

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Inside, an upload is let in.

        Raises:
            ProblemError: there are too many already.
        """
        if self._in_progress >= self.settings.capacity or self.stopping.is_set():
            raise ProblemError(429, f"{self._in_progress} requests are worked on already; try again", self._retry())
        self._in_progress += 1
        try:
            yield
        finally:
            self._in_progress -= 1

    @asynccontextmanager
    async def upload(self, request: Request, name: str | None = None, url: str | None = None) -> AsyncIterator[Upload]:
        """Receive the video of a request, or fetch it.

        Raises:
            ProblemError: as `received`.
        """
        began = time.perf_counter()
        async with received(request, self.folder, self.settings, name, url) as upload:
            self.metrics.observe("tubelet_stage_seconds", time.perf_counter() - began, stage="upload")
            self.metrics.count("tubelet_upload_bytes_total", upload.size)
            yield upload

    async def answer(self, request: Request, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, within the deadline, while the client is there.

        Raises:
            ProblemError: too late, or the client left.
        """
        began = time.perf_counter()
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({working, leaving}, timeout=self.settings.deadline, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                seconds = time.perf_counter() - began
                self._seconds += 0.1 * (seconds - self._seconds)
                return working.result()
            if leaving.done():
                raise ProblemError(400, "the client left before its answer")
            raise ProblemError(
                503, f"no answer in {self.settings.deadline:g} s; try again when there is less to do", self._retry()
            )
        finally:
            leaving.cancel()
            working.cancel()

    async def decode(self, function: Callable[..., T], path: Path, *arguments: Any) -> T:
        """Call a function of `tubelet.serving.tasks` in a guarded process."""
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self.pool.call, function, str(path), *arguments)
        finally:
            self.metrics.observe("tubelet_stage_seconds", time.perf_counter() - began, stage="decode")

    async def predict(self, model: ServedModel, views: Views) -> Logits:
        """Logits of the views of a video."""
        return await self._timed(model.predict(views))

    async def compute(self, model: ServedModel, function: Callable[[], T]) -> T:
        """Call a function on the model's thread."""
        return await self._timed(asyncio.wrap_future(model.thread.run(function)))

    async def _timed(self, work: Awaitable[T]) -> T:
        began = time.perf_counter()
        try:
            return await work
        finally:
            self.metrics.observe("tubelet_stage_seconds", time.perf_counter() - began, stage="model")

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Inside, a request is on its way to the model, for which a batch may wait."""
        self._computing += 1
        try:
            yield
        finally:
            self._computing -= 1

    @contextmanager
    def session(self) -> Iterator[None]:
        """Inside, a timeline or a camera.

        Raises:
            ProblemError: there are too many already.
        """
        if self._sessions >= self.settings.sessions or self.stopping.is_set():
            raise ProblemError(
                429, f"{self._sessions} timelines and cameras are watched already; try again", self._retry()
            )
        self._sessions += 1
        try:
            yield
        finally:
            self._sessions -= 1

    def _retry(self) -> dict[str, str]:
        """When to try again: after half of those that wait, by what the last ones took."""
        seconds = self._seconds * max(self._in_progress, 1) / (2 * self.settings.decoders)
        return {"Retry-After": str(min(max(math.ceil(seconds), 1), 60))}


async def _gone(request: Request) -> None:
    """Return when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
