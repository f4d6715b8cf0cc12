"""Who may ask, under which name, and what an answer lets a browser do."""

from __future__ import annotations

import base64
import binascii
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tubelet.serving.problem import ProblemError
from tubelet.serving.settings import Settings, is_loopback

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; style-src 'self'; "
    "script-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"
)
"""Content-Security-Policy: the page loads nothing from elsewhere, and runs no script but its own."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}

RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class Guard:
    """ASGI middleware around everything, the page and the metrics too.

    A request has to name this service in its Host, so that a page of a stranger cannot reach it under a name of its own
    (DNS rebinding). If it comes from a page, the page has to be of the same host and port. If there is a key, it has to
    show it: as a bearer token, or as the password of HTTP Basic authentication, for which browsers ask by themselves.

    Args:
        app: inside.
        settings: of the service.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._hosts = {name.lower().strip("[]") for name in (settings.host, "localhost", *settings.hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = self._refusal(Headers(scope=scope))
        if problem is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            await problem.response()(scope, receive, _with_headers(send))
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": problem.detail[:120]})

    def _refusal(self, headers: Headers) -> ProblemError | None:
        if len(headers.getlist("host")) != 1 or not self._is_own(_name_of(headers["host"])):
            return ProblemError(
                421,
                f"this service is not known as {headers.get('host', 'a missing Host')!r}; --allow-host NAME names it",
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower():
            return ProblemError(403, f"a page of {origin} may not ask this service; open its own page")
        if self._settings.key is not None and not self._shows_key(headers.get("authorization", "")):
            wanted = 'Basic realm="tubelet", charset="UTF-8", Bearer'
            return ProblemError(401, "a key is needed: Authorization: Bearer KEY", {"WWW-Authenticate": wanted})
        return None

    def _is_own(self, name: str) -> bool:
        return name in self._hosts or is_loopback(name)

    def _shows_key(self, authorization: str) -> bool:
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() == "basic":
            try:
                shown = base64.b64decode(shown, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        elif scheme.lower() != "bearer":
            return False
        assert self._settings.key is not None
        return secrets.compare_digest(shown.strip().encode(), self._settings.key.encode())


def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *RAW_HEADERS]}
        await send(message)

    return sending
