"""A camera on this machine: it films as time passes, breaks off, and sets its clock anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Self

import av
import numpy

TICKS = 90_000


class Camera:
    """MPEG-TS over HTTP, for as many connections as there are.

    Args:
        level: grey level of the picture, by seconds since the first connection.
        rate: frames per second.
        lasts: seconds until a connection breaks off, by its number; None never.
        clocks: seconds at which the camera's clock stands when a connection begins, by its number.
        jump_after: seconds after which the clock is set to 1000 within a connection.
        connections: how many are answered.
        speed: of the time that passes for the camera.
    """

    def __init__(
        self,
        level: Callable[[float], int],
        *,
        rate: int = 20,
        lasts: Callable[[int], float | None] = lambda number: None,
        clocks: Callable[[int], float] = lambda number: 10.0,
        jump_after: float | None = None,
        connections: int = 1_000_000,
        speed: float = 1.0,
    ) -> None:
        self.speed = speed
        self.level, self.rate, self.lasts, self.clocks = level, rate, lasts, clocks
        self.jump_after, self.connections = jump_after, connections
        self.begun: list[float] = []
        self.sent = 0
        self.stopped = threading.Event()

    def __enter__(self) -> Self:
        self._server = self._serving()
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def _serving(self) -> ThreadingTCPServer | ThreadingHTTPServer:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.answer(self)

            def log_message(self, *words: object) -> None:
                pass

        return ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://user:word@127.0.0.1:{self._server.server_address[1]}/door?token=secret"

    @property
    def plain_address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/door"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        if len(self.begun) >= self.connections:
            handler.send_error(503)
            return
        number = self.begin()
        handler.send_response(200)
        handler.send_header("Content-Type", "video/mp2t")
        handler.end_headers()
        try:
            for clock, moments in self._parts(number):
                self._film(_Socket(handler), clock, moments)
        except (OSError, av.FFmpegError):
            pass

    def begin(self) -> int:
        """The number of a connection that begins now."""
        self.begun.append(time.monotonic())
        return len(self.begun) - 1

    def _parts(self, number: int) -> Iterator[tuple[float, Iterator[float]]]:
        lasts, jump = self.lasts(number), self.jump_after
        if jump is None:
            yield self.clocks(number), self._moments(number, 0.0, lasts)
        else:
            yield self.clocks(number), self._moments(number, 0.0, jump)
            yield 1000.0, self._moments(number, jump, lasts)

    def _moments(self, number: int, start: float, end: float | None) -> Iterator[float]:
        """Seconds since the first connection, each when it has come."""
        begun, frame = self.begun[number], round(start * self.rate)
        while not self.stopped.is_set() and (end is None or frame < end * self.rate):
            time.sleep(max(0.0, begun + frame / self.rate / self.speed - time.monotonic()))
            yield begun - self.begun[0] + frame / self.rate
            frame += 1

    def _film(self, file: Any, clock: float, moments: Iterator[float]) -> None:
        options = {"flush_packets": "1"}
        with av.open(file, "w", format="mpegts", options=options) as container:
            coder = container.add_stream("mpeg2video", rate=25, options={"g": "5", "bf": "0", "qscale": "2"})
            coder.height = coder.width = 32
            coder.pix_fmt = "yuv420p"
            first: float | None = None
            for moment in moments:
                first = moment if first is None else first
                pixels = numpy.full((32, 32, 3), self.level(moment), numpy.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
                for packet in coder.encode(frame.reformat(format="yuv420p")):
                    packet.pts = packet.dts = round((clock + moment - first) * TICKS)
                    packet.time_base = Fraction(1, TICKS)
                    container.mux(packet)
                self.sent += 1


class _Socket:
    """What a muxer writes to."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._file = handler.wfile

    def write(self, data: bytes) -> int:
        self._file.write(data)
        return len(data)
