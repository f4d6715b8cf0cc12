"""One line of JSON for each request, and its metrics."""

from __future__ import annotations

import json
import logging
import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tubelet.serving.metrics import Metrics
from tubelet.serving.upload import UPLOADS
from tubelet.text import moment

LOGGER = logging.getLogger("tubelet.serving")


def log(event: str, **fields: object) -> None:
    """Write a line of JSON: the time, what happened, and more."""
    LOGGER.info(json.dumps({"time": moment(), "event": event, **fields}, default=str))


class Journal:
    """ASGI middleware that notes every request. Names of files and what a client sends are not noted.

    Args:
        app: inside.
        metrics: that it counts in.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and note how it went."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        began, status, request = time.perf_counter(), 499, uuid.uuid4().hex[:12]
        answered: float | None = None

        async def sending(message: Message) -> None:
            nonlocal status, answered
            answered = answered or time.perf_counter() - began
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request
            elif message["type"] in ("websocket.accept", "websocket.close"):
                status = 101 if message["type"] == "websocket.accept" else message.get("code", 1000)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - began
            path = scope["path"] if scope["path"] in UPLOADS else "other"  # of a refusal before routing
            route = str(getattr(scope.get("route"), "path", path))
            method = scope.get("method", "WS")
            self._metrics.count("tubelet_requests_total", route=route, method=method, status=str(status))
            self._metrics.observe("tubelet_request_seconds", seconds, route=route)
            client = (scope.get("client") or ("",))[0]
            log(
                "request",
                request=request,
                method=method,
                path=route,
                status=status,
                answered=round(answered or seconds, 4),
                seconds=round(seconds, 4),
                client=client,
            )
