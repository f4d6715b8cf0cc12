"""Answers that come before the end of an upload: the client reads them, and not a broken connection."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS, BYTES = 5.0, 64 * 2**20
"""For so long, and so much, the rest of an upload is read and thrown away after an early answer."""


class Lingering:
    """ASGI middleware. A server that closes a connection while the client still sends makes the client's system throw
    the answer away. So the whole answer is sent, the rest of the upload is read, and then the connection ends.

    Args:
        app: inside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        came_all = False

        async def receiving() -> Message:
            nonlocal came_all
            message = await receive()
            came_all = came_all or message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def rest() -> None:
            left = BYTES
            while not came_all and left > 0:
                left -= len((await receiving()).get("body", b""))

        async def sending(message: Message) -> None:
            if came_all or message["type"] != "http.response.body" or message.get("more_body", False):
                await send(message)
                return
            await send({**message, "more_body": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    await rest()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, receiving, sending)
