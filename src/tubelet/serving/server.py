"""Running the application with uvicorn until a signal, and ending well."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import uvicorn

from tubelet.errors import ConfigError
from tubelet.serving.app import create_app
from tubelet.serving.journal import LOGGER
from tubelet.serving.served import ServedModel
from tubelet.serving.settings import Settings

SPARE_SECONDS = 10
"""Beyond the deadline, for requests that were let in when the signal came: uploads, and timelines that end early."""

SWITCH_SECONDS = 0.0005

LARGEST_MESSAGE = 4 * 2**20
"""Bytes of a message over a WebSocket: a picture of a camera."""


def serve(
    models: Sequence[ServedModel],
    settings: Settings,
    listening: Callable[[str], None] = lambda url: None,
    *,
    quiet: bool = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C; what was let in by then is answered. A second Ctrl-C ends at once.

    Args:
        models: loaded; the first is the default.
        settings: of the service.
        listening: called with the address, once it listens.
        quiet: write no line for each request.

    Raises:
        ConfigError: the address is taken, or is not of this machine.
    """
    listener = _bound(settings)
    host, port = listener.getsockname()[:2]
    _log_to_standard_error(logging.WARNING if quiet else logging.INFO)
    app = create_app(models, settings)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        http="httptools",
        loop="asyncio",
        ws="websockets-sansio",
        ws_max_size=LARGEST_MESSAGE,
        timeout_graceful_shutdown=int(settings.deadline + settings.upload_seconds) + SPARE_SECONDS,
        backlog=1024,
    )
    _answer_promptly()
    shown = f"[{host}]" if ":" in host else host
    listening(f"http://{shown}:{port}/")
    _Server(config, app.state.service.stopping).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Ends with exit code 0 after a signal, and lets sessions know."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            self.force_exit = self.should_exit and number == signal.SIGINT
            self.should_exit = True
            self._stopping.set()

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _answer_promptly() -> None:
    """Keep what would stop the event loop short: a look through all of torch's objects for garbage, a fifth of a second
    each, and the 5 ms for which the model's thread may hold the interpreter whenever the loop has sent something."""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)


def _bound(settings: Settings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host.strip("[]"), settings.port), family=family, backlog=1024)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}; --port 0 takes a free "
            "port"
        ) from error


def _log_to_standard_error(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOGGER.handlers = [handler]
    LOGGER.setLevel(level)
    LOGGER.propagate = False
