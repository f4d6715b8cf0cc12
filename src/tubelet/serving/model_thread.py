"""One thread for a model. Clips of several requests share a forward pass."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from tubelet.device import Precision, autocast, resolve_precision
from tubelet.evaluation.averaging import VIEWS_PER_FORWARD, predict_views
from tubelet.evaluation.tubelets import reused_tubelets
from tubelet.fast import Evaluating
from tubelet.given_model import logits_by_head
from tubelet.model import ViViT
from tubelet.serving.metrics import Metrics
from tubelet.video import Views

T = TypeVar("T")

Logits = dict[str, Tensor]


@dataclass(eq=False)
class _Job:
    """Views to be predicted, or a function to be called."""

    views: Views | None = None
    function: Callable[[], Any] | None = None
    future: Future[Any] = field(default_factory=Future)


class ModelThread:
    """Computes with a model, in the order of requests.

    A forward pass takes clips of other requests that wait already, up to `batch`; it waits `delay` for more, while
    others are on their way. Logits differ from those of a pass of their own by rounding (1e-5 in float32). With
    `batch=1` each request is computed as `tubelet.predict` does, to the last bit.

    Args:
        model: on its device.
        precision: of matrix products.
        batch: clips.
        delay: seconds.
        others: how many requests are on their way to the model.
        metrics: that it counts in.
    """

    def __init__(
        self,
        model: ViViT,
        *,
        precision: Precision = "float32",
        batch: int = 8,
        delay: float = 0.005,
        others: Callable[[], int] = lambda: 0,
        metrics: Metrics | None = None,
    ) -> None:
        self.model = model
        weights = next(model.parameters())
        self._device, self._weights = weights.device, weights.dtype
        self.dtype = resolve_precision(precision, self._device)
        self._evaluating = Evaluating(model)
        self._batch, self._delay, self._others = batch, delay, others
        self.metrics = metrics or Metrics()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._next: _Job | None = None
        self._thread = threading.Thread(target=self._run, name="tubelet-model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return self._jobs.qsize()

    def predict(self, views: Views) -> Future[Logits]:
        """Logits {head: float64 [K]}, averaged over the views. A future that is cancelled is not computed."""
        job = _Job(views=views)
        self._jobs.put(job)
        return job.future

    def run(self, function: Callable[[], T]) -> Future[T]:
        """Call a function that uses the model, alone."""
        job = _Job(function=function)
        self._jobs.put(job)
        return job.future

    def close(self) -> None:
        """Finish what waits, and end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            job, self._next = self._next or self._jobs.get(), None
            if job is None:
                return
            group = [job] if job.views is None or not self._shares(job.views) else self._gather(job)
            group = [one for one in group if one.future.set_running_or_notify_cancel()]
            if group:
                self._work(group)

    def _shares(self, views: Views) -> bool:
        """Whether a pass may hold clips of other requests too."""
        return len(views.video) < self._batch and not reused_tubelets(self.model, views.indices)

    def _gather(self, first: _Job) -> list[_Job]:
        """The first request and those that fit in the same pass. One that does not is the next."""
        assert first.views is not None
        group, clips = [first], len(first.views.video)
        until = time.monotonic() + self._delay
        while clips < self._batch:
            try:
                patience = max(until - time.monotonic(), 0) if self._others() > len(group) else 0
                job = self._jobs.get(timeout=patience) if patience else self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            alike = job.views is not None and self._shares(job.views) and _kind(job.views) == _kind(first.views)
            if job.views is None or not alike or clips + len(job.views.video) > self._batch:
                self._next = job
                break
            group.append(job)
            clips += len(job.views.video)
        return group

    def _work(self, group: list[_Job]) -> None:
        try:
            if group[0].function is not None:
                group[0].future.set_result(group[0].function())
                return
            views = [job.views for job in group if job.views is not None]
            for job, logits in zip(group, self._logits(views), strict=True):
                job.future.set_result(logits)
        except BaseException as error:  # noqa: BLE001  # the request has it
            for job in group:
                if not job.future.done():
                    job.future.set_exception(error)

    @torch.no_grad()
    def _logits(self, group: list[Views]) -> list[Logits]:
        counts = [len(views.video) for views in group]
        self.metrics.count("tubelet_forward_passes_total")
        self.metrics.count("tubelet_forward_clips_total", sum(counts))
        with self._evaluating() as model, autocast(self._device, self.dtype):
            if len(group) == 1:
                one = group[0]
                video = one.video.to(self._weights)
                return [
                    predict_views(model, video, one.frame_mask, frames=one.indices, views_per_forward=VIEWS_PER_FORWARD)
                ]
            video = torch.cat([views.video for views in group]).to(self._device, self._weights)
            masks = [views.frame_mask for views in group if views.frame_mask is not None]
            output = logits_by_head(model, model(video, torch.cat(masks).to(self._device) if masks else None))
        parts = {head: values.cpu().double().split(counts) for head, values in output.items()}
        return [{head: parts[head][row].mean(dim=0) for head in parts} for row in range(len(group))]


def _kind(views: Views) -> tuple[Any, ...]:
    """What clips of one pass have in common."""
    return tuple(views.video.shape[1:]), views.frame_mask is None
