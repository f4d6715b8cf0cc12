"""The service on a Ray cluster: decoding and the page in one deployment, the model in another, both in replicas.

    client -> Ray's proxy -> Ingress (decoders, page)  -- views -->  Model (one thread, batches)
                             replica, replica, ...                   replica, replica, ...

A replica of the model that dies costs no request: its views are sent to another one. Timelines, cameras and
explanations use the model of the replica that decodes, since they keep state or need gradients.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette

from tubelet.device import Precision
from tubelet.errors import ConfigError
from tubelet.serving.app import create_app
from tubelet.serving.model_thread import Logits, ModelThread
from tubelet.serving.problem import ProblemError
from tubelet.serving.served import ServedModel
from tubelet.serving.settings import Settings
from tubelet.video import Views

try:
    from ray import serve
    from ray.exceptions import RayActorError
    from ray.serve.exceptions import BackPressureError
    from ray.serve.handle import DeploymentHandle
except ImportError as error:
    raise ConfigError("the service on a cluster needs Ray: pip install 'tubelet[ray,serve]'") from error

TRIES = 8
"""Of a request that replicas of the model died with."""

PAUSE = 0.2
"""Seconds before another try; the next waits twice as long."""


def application(
    source: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    replicas: int = 2,
    ingresses: int = 1,
    device: str | None = None,
    precision: Precision = "float32",
    name: str = "model",
) -> serve.Application:
    """An application for `ray.serve.run`.

    Args:
        source: what `tubelet.load` reads, on every machine.
        settings: of each replica that decodes; `capacity` also bounds what waits for a replica of the model
            (`max_queued_requests`). The address is Ray's.
        replicas: of the model.
        ingresses: replicas that decode.
        device: of the model; a GPU is asked of Ray where it is one.
        precision: of matrix products.
        name: of the model, in requests.
    """
    settings = settings or Settings()
    gpus = 1 if device is not None and device.startswith("cuda") else 0
    model = serve.deployment(
        _Model,
        name="Model",
        num_replicas=replicas,
        max_ongoing_requests=2 * settings.batch,
        max_queued_requests=settings.capacity,
        ray_actor_options={"num_gpus": gpus},
        health_check_period_s=2,
    ).bind(str(source), settings, device, precision)
    ingress = serve.deployment(
        serve.ingress()(_Ingress),
        name="Ingress",
        num_replicas=ingresses,
        max_ongoing_requests=2 * settings.capacity,
        max_queued_requests=settings.capacity,
    )
    return ingress.bind(model, name, str(source), settings)


def build(words: Mapping[str, str]) -> serve.Application:
    """For `serve run tubelet.serving.cluster:build model=MODEL replicas=2`.

    Args:
        words: `model`; `replicas`, `ingresses` and `device` of `application`; `hosts`, with commas between them, of
            `Settings`. The variable TUBELET_SERVE_KEY holds the key.
    """
    hosts = tuple(filter(None, words.get("hosts", "").split(",")))
    settings = Settings(hosts=hosts, key=os.environ.get("TUBELET_SERVE_KEY") or None)
    replicas, ingresses = int(words.get("replicas", 2)), int(words.get("ingresses", 1))
    return application(words["model"], settings, replicas=replicas, ingresses=ingresses, device=words.get("device"))


class _Model:
    """A replica of the model."""

    def __init__(self, source: str, settings: Settings, device: str | None, precision: Precision) -> None:
        loaded = ServedModel("model", source, device=device, precision=precision)
        self._ongoing = 0
        how: dict[str, Any] = {"precision": precision, "batch": settings.batch, "delay": settings.delay}
        self._thread = ModelThread(loaded.model, others=lambda: self._ongoing, **how)

    async def predict(self, views: dict[str, Any]) -> Logits:
        self._ongoing += 1
        try:
            return await asyncio.wrap_future(self._thread.predict(Views(**views)))
        finally:
            self._ongoing -= 1


class _Ingress:
    """A replica that decodes, with the page and all routes."""

    def __init__(self, handle: DeploymentHandle, name: str, source: str, settings: Settings) -> None:
        self._model, self._settings = _RemoteModel(name, source, handle), settings

    def __serve_build_asgi_app__(self) -> Starlette:
        return create_app([self._model], self._settings, wait_until_ready=True)


class _RemoteModel(ServedModel):
    """A model with replicas that predict."""

    def __init__(self, name: str, source: str, handle: DeploymentHandle) -> None:
        super().__init__(name, source)
        self._handle = handle

    async def predict(self, views: Views) -> Logits:
        for turn in range(TRIES):
            try:
                logits: Logits = await self._handle.predict.remote(vars(views))
                return logits
            except BackPressureError:
                raise ProblemError(
                    429, "too many requests wait for the model; try again", {"Retry-After": "1"}
                ) from None
            except RayActorError:
                await asyncio.sleep(PAUSE * 2**turn)
        raise ProblemError(503, f"{TRIES} replicas of the model died; try again", {"Retry-After": "10"})
