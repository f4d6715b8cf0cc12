"""The engine of a cluster: Ray places actors, and that is all it does. No pixel and no row goes through it.

An actor is a driver of its own node: it gives tasks to one worker process with the code of `tubelet.corpus.local`,
which starts dead workers again. An actor that is lost with its node costs the task that it had; another one does it.
Decoders that are apart are actors too, each of one core, which belong to one driver and end with it; they connect to
its worker (`tubelet.corpus.apart`), and Ray starts lost ones again.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from tubelet.corpus.apart import Address, Decode, decode_for
from tubelet.corpus.local import LocalEngine
from tubelet.corpus.task import Done, WorkerSettings
from tubelet.errors import ConfigError, TubeletError, WorkerError

LOSSES = 5
"""After so many lost actors without a finished task between them, no more are started."""

SILENCE = 1800.0
"""Seconds without a finished task after which all actors that have one are replaced."""


class ApartDecoding:
    """An actor: one decoder of one worker.

    Args:
        address: of the worker.
    """

    def __init__(self, address: Address) -> None:
        threading.Thread(target=decode_for, args=(address,), daemon=True).start()


class NodeDriver:
    """An actor: one worker process, kept between tasks.

    Args:
        settings: of the worker.
        seconds: that decoding a video may take.
        decode: in the worker's own processes, or in actors that Ray places.
    """

    def __init__(self, settings: WorkerSettings, seconds: float, decode: Decode) -> None:
        if decode == "apart":
            ray = _ray()
            settings = replace(settings, apart=Address.on(ray.util.get_node_ip_address()))
            actor = ray.remote(num_cpus=1, max_restarts=-1, scheduling_strategy="SPREAD")(ApartDecoding)
            self._decoders = [actor.remote(settings.apart) for _ in range(settings.decoders)]  # they end with this one
        self._tasks: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Done | Exception] = queue.SimpleQueue()
        engine = LocalEngine(settings, 1, seconds)
        threading.Thread(target=self._drive, args=(engine,), daemon=True).start()

    def ready(self) -> None:
        """Return when the actor was placed."""

    def run(self, task: int) -> Done | TubeletError:
        """Do a task. An error is returned, since Ray would wrap one that is raised."""
        self._tasks.put(task)
        result = self._results.get()
        if isinstance(result, Done | TubeletError):
            return result
        raise result

    def _drive(self, engine: LocalEngine) -> None:
        try:
            engine.run(iter(self._tasks.get, -1), self._results.put, lambda task, video: None)
        except Exception as error:  # noqa: BLE001  # of another thread
            self._results.put(error)


class RayEngine:
    """Does tasks in actors of a Ray cluster: that of RAY_ADDRESS, or one of this machine.

    Args:
        settings: of each worker; paths are those of every node.
        workers: how many actors; by default one for each core, or GPU, of the cluster.
        seconds: that decoding a video may take.
        decoders: of each worker; by default 1, beside GPUs all cores of its node; apart, the cores that are left.
        decode: see `NodeDriver`.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        workers: int | None,
        seconds: float,
        decoders: int | None = None,
        decode: Decode = "here",
    ) -> None:
        self._settings, self._workers, self._seconds = settings, workers, seconds
        self._decoders, self._decode = decoders, decode

    def run(self, tasks: Iterable[int], on_done: Callable[[Done], None], on_video: Callable[[int, int], None]) -> None:
        """Do tasks; see `LocalEngine.run`. `on_video` is not called: a cluster reports whole tasks.

        Raises:
            ConfigError: Ray is not installed, no cluster is at RAY_ADDRESS, or it has no core for decoders.
            WorkerError: actors are lost again and again.
        """
        ray = _ray()
        was_running = ray.is_initialized()
        if not was_running:
            _connect(ray)
        try:
            self._run(ray, deque(tasks), on_done)
        finally:
            if not was_running:
                ray.shutdown()

    def _run(self, ray: Any, waiting: deque[int], on_done: Callable[[Done], None]) -> None:
        on_gpu = self._settings.device.startswith("cuda")
        unit = {"num_gpus": 1} if on_gpu else {"num_cpus": self._settings.threads}
        actor = ray.remote(max_restarts=0, **unit)(NodeDriver)
        there = ray.cluster_resources()
        gpus, cores = int(there.get("GPU", 0)), int(there.get("CPU", 0))
        count = self._workers or (gpus if on_gpu else cores // self._settings.threads)
        if count < 1:
            raise ConfigError(f"the Ray cluster has no {'GPU' if on_gpu else 'core'}; see `ray status`")
        count = min(count, len(waiting))
        settings = replace(self._settings, decoders=self._decoders or self._default_decoders(ray, count, on_gpu, cores))

        # a future stands for a task, or for an actor (None) that has not been placed yet and must not hold a task
        running: dict[Any, tuple[Any, int | None]] = {}

        def start() -> None:
            made = actor.remote(settings, self._seconds, self._decode)
            running[made.ready.remote()] = made, None

        for _ in range(count):
            start()
        losses, heard = 0, time.monotonic()
        while waiting or any(task is not None for _, task in running.values()):
            ready, _ = ray.wait(list(running), num_returns=1, timeout=5.0)
            for future in ready:
                made, task = running.pop(future)
                try:
                    result = ray.get(future)
                except ray.exceptions.RayActorError as error:
                    losses += 1
                    if losses == LOSSES:
                        raise WorkerError(f"{LOSSES} Ray actors were lost one after the other: {error}") from error
                    if task is not None:
                        waiting.appendleft(task)
                    start()
                    continue
                if isinstance(result, TubeletError):
                    raise result
                if result is not None:
                    losses, heard = 0, time.monotonic()
                    on_done(result)
                if waiting:
                    following = waiting.popleft()
                    running[made.run.remote(following)] = made, following
            if time.monotonic() - heard > SILENCE:
                heard = time.monotonic()
                for made, _ in running.values():
                    ray.kill(made)  # its future ends with an error, and its task is given again

    def _default_decoders(self, ray: Any, count: int, on_gpu: bool, cores: int) -> int:
        """Of each of `count` workers, in a cluster of so many cores."""
        if self._decode == "apart":
            left = cores - (0 if on_gpu else count * self._settings.threads)
            if left < count:
                raise ConfigError(
                    f"decode='apart' needs a core for each of {count} workers, and the Ray cluster has {left} left of "
                    f"{cores}; name fewer workers, or leave decode='here'"
                )
            return left // count
        kinds = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
        return min((max(1, int(kind.get("CPU", 1) // kind["GPU"])) for kind in kinds), default=1) if on_gpu else 1


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError("the engine ray needs Ray: pip install 'tubelet[ray]'") from error
    return ray


def _connect(ray: Any) -> None:
    address = os.environ.get("RAY_ADDRESS")
    # the nodes of a cluster have their own paths; those of this machine have ours
    variables = {} if address else {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    try:
        ray.init(
            address=address,
            include_dashboard=None if address else False,
            log_to_driver=True,
            logging_level="ERROR",
            runtime_env={"env_vars": variables} if variables else None,
        )
    except ConnectionError as error:
        raise ConfigError(f"no Ray cluster at RAY_ADDRESS={address}: {error}") from error
