"""A camera that speaks RTSP: H.264 in RTP packets, inside the connection that asked for it."""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterator
from fractions import Fraction
from socketserver import StreamRequestHandler, ThreadingTCPServer

import av
import numpy

from unit.prediction.camera import TICKS, Camera

SIZE = 64
PAYLOAD = 96
DESCRIPTION = f"""v=0
o=- 0 0 IN IP4 127.0.0.1
s=door
c=IN IP4 127.0.0.1
t=0 0
m=video 0 RTP/AVP {PAYLOAD}
a=rtpmap:{PAYLOAD} H264/{TICKS}
a=fmtp:{PAYLOAD} packetization-mode=1
a=control:track1
""".replace("\n", "\r\n")


class RtspCamera(Camera):
    """As `Camera`, over RTSP (RFC 2326), with H.264 in RTP (RFC 6184): one unit of H.264 in each packet."""

    def _serving(self) -> ThreadingTCPServer:
        camera = self

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    camera.talk(self)

        return ThreadingTCPServer(("127.0.0.1", 0), Handler)

    @property
    def plain_address(self) -> str:
        return f"rtsp://127.0.0.1:{self._server.server_address[1]}/door"

    def talk(self, handler: StreamRequestHandler) -> None:
        """Answer a client until it has asked for the pictures, and send them."""
        while method := _request(handler):
            number = method[1]
            match method[0]:
                case "OPTIONS":
                    _answer(handler, number, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
                case "DESCRIBE" if len(self.begun) < self.connections:
                    _answer(handler, number, "Content-Type: application/sdp", body=DESCRIPTION)
                case "SETUP":
                    _answer(handler, number, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1")
                case "PLAY":
                    self._play(handler, number)
                    return
                case _:
                    _answer(handler, number, status="503 Service Unavailable")
                    return

    def _play(self, handler: StreamRequestHandler, number: str) -> None:
        _answer(handler, number, "Session: 1")
        connection = self.begin()
        sequence = 0
        for clock, moments in self._parts(connection):
            for ticks, units in self._units(clock, moments):
                for unit in units:
                    marked = PAYLOAD | (0x80 if unit is units[-1] else 0)
                    packet = struct.pack(">BBHII", 0x80, marked, sequence & 0xFFFF, ticks & 0xFFFFFFFF, 7) + unit
                    handler.wfile.write(struct.pack(">BBH", ord("$"), 0, len(packet)) + packet)
                    sequence += 1
                self.sent += 1

    def _units(self, clock: float, moments: Iterator[float]) -> Iterator[tuple[int, list[bytes]]]:
        """The time of each picture on the camera's clock, and its units of H.264."""
        coder = av.CodecContext.create("libx264", "w")
        assert isinstance(coder, av.VideoCodecContext)
        coder.width = coder.height = SIZE
        coder.pix_fmt = "yuv420p"
        coder.time_base = Fraction(1, self.rate)
        coder.options = {"tune": "zerolatency", "g": "5", "crf": "10"}
        first: float | None = None
        for moment in moments:
            first = moment if first is None else first
            pixels = numpy.full((SIZE, SIZE, 3), self.level(moment), numpy.uint8)
            for packet in coder.encode(av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")):
                yield round((clock + moment - first) * TICKS), re.split(b"\0\0\0?\1", bytes(packet))[1:]


def _request(handler: StreamRequestHandler) -> tuple[str, str] | None:
    """The method of the next request and its number; None at the end of the connection."""
    lines = []
    while line := handler.rfile.readline().decode().strip():
        lines.append(line)
    if not lines:
        return None
    number = next(line.partition(":")[2].strip() for line in lines if line.lower().startswith("cseq"))
    return lines[0].split()[0], number


def _answer(handler: StreamRequestHandler, number: str, *headers: str, status: str = "200 OK", body: str = "") -> None:
    lines = [f"RTSP/1.0 {status}", f"CSeq: {number}", *headers, f"Content-Length: {len(body)}", "", body]
    handler.wfile.write("\r\n".join(lines).encode())
