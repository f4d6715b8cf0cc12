"""How many uploads are let in; the others are refused before anything is spent on them."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from tubelet.serving.problem import ProblemError
from tubelet.serving.service import Service
from tubelet.serving.upload import UPLOADS


class Admission:
    """ASGI middleware that lets uploads in while there is room.

    It stands before routing and the checks of parameters, which took a millisecond of the one core that does it: of 200
    refusals at once the last waited for all others. And of a burst of requests all refusals are sent before work on the
    first begins.

    Args:
        app: inside.
        service: that is full or not.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in UPLOADS:
            await self._app(scope, receive, send)
            return
        try:
            with self._service.admitted():
                await asyncio.sleep(0)
                await self._app(scope, receive, send)
        except ProblemError as problem:
            await problem.response()(scope, receive, send)
