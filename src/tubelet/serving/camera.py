"""`/v1/stream`: a camera in a browser, picture by picture over a WebSocket.

    client    binary   8 bytes: seconds of the picture's capture, float64, little-endian; then a JPEG
    server    {"type": "start", "credits": 4, ...}     so many pictures may be under way
    server    {"type": "credit", "count": 1}           one was taken: another may come
    server    {"type": "decision", ...}                of a window, as `Decision.to_dict`
    server    {"type": "error", "status": ..., "detail": ...}, and then it closes

A client without credits leaves pictures out. So a model that is slower than the camera is never behind by more than the
credits; windows take the pictures that came, by their times.
"""

from __future__ import annotations

import asyncio
import math
import queue
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketState
from torch import Tensor

from tubelet.errors import TubeletError, VideoError
from tubelet.serving import tasks
from tubelet.serving.problem import ProblemError
from tubelet.serving.served import ServedModel
from tubelet.serving.service import Service
from tubelet.serving.windows import ServedStream, sent_frames

CREDITS = 4

SECONDS = struct.Struct("<d")

PATIENCE = 60.0
"""Seconds without a picture after which a camera is given up."""


class CameraQuery:
    """How a camera is watched; see `tubelet.stream`."""

    def __init__(
        self, model: str | None = None, hop: int | None = None, smoothing: str | None = None, top: int = 5
    ) -> None:
        self.model, self.hop, self.smoothing, self.top = model, hop, smoothing, top


def add_camera(app: FastAPI, service: Service) -> None:
    """Add the route."""

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket, how: Annotated[CameraQuery, Depends()]) -> None:
        await socket.accept()
        try:
            model = service.model(how.model)
            with service.session():
                await _Camera(socket, model, service, how).watch()
        except ProblemError as problem:
            await _close(socket, problem)
        except TubeletError as error:
            await _close(socket, ProblemError.of(error))
        except WebSocketDisconnect:
            pass
        else:
            if socket.client_state == WebSocketState.CONNECTED:
                await socket.close()


async def _close(socket: WebSocket, problem: ProblemError) -> None:
    await socket.send_json({**problem.to_dict(), "type": "error"})
    await socket.close(1013 if problem.status in (429, 503) else 1008)


class _Camera:
    def __init__(self, socket: WebSocket, model: ServedModel, service: Service, how: CameraQuery) -> None:
        self._socket, self._model, self._service = socket, model, service
        self._loop = asyncio.get_running_loop()
        self._pictures: queue.Queue[tuple[float, bytes] | None] = queue.Queue()
        self._out: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        source = sent_frames(self._frames(), model)
        self._stream = ServedStream(model, source, hop=how.hop, smoothing=how.smoothing, top=max(how.top, 1))

    async def watch(self) -> None:
        stream = self._stream
        about = {"rate": stream.rate, "hop": stream.hop, "stride": stream.frame_stride, "reuse": stream.reuse}
        await self._socket.send_json({"type": "start", "model": self._model.name, "credits": CREDITS, **about})
        receiving = asyncio.create_task(self._receive())
        deciding = self._loop.run_in_executor(self._service.session_threads, self._decide)
        try:
            while (message := await self._out.get()) is not None:
                await self._socket.send_json(message)
            await deciding
            if receiving.done():
                receiving.result()
        finally:
            self._pictures.put(None)
            receiving.cancel()
            await asyncio.wait({deciding})

    async def _receive(self) -> None:
        """Pictures, until the client leaves or a message is none."""
        last = -math.inf
        try:
            while True:
                message = await asyncio.wait_for(self._socket.receive_bytes(), PATIENCE)
                if len(message) <= SECONDS.size or self._pictures.qsize() >= CREDITS:
                    raise ProblemError(400, f"expected 8 bytes of time and a JPEG, at most {CREDITS} without a credit")
                time = SECONDS.unpack_from(message)[0]
                if not (math.isfinite(time) and time > last):
                    raise ProblemError(400, f"expected times that ascend, got {time} after {last}")
                last = time
                self._pictures.put((time, message[SECONDS.size :]))
        except TimeoutError:
            raise ProblemError(408, f"no picture came for {PATIENCE:g} s") from None
        finally:
            self._pictures.put(None)

    def _frames(self) -> Iterator[tuple[float, Callable[[], Tensor]]]:
        """Pictures as they come, until none will. In the thread of the stream."""
        while not self._service.stopping.is_set():
            try:
                picture = self._pictures.get(timeout=0.5)
            except queue.Empty:
                continue
            if picture is None:
                return
            self._say({"type": "credit", "count": 1})
            yield picture[0], partial(self._pixels, picture[1])

    def _pixels(self, data: bytes) -> Tensor:
        answer: dict[str, Tensor] = self._service.pool.call(tasks.picture, "camera", data, self._model.preprocessing)
        return answer["pixels"]

    def _decide(self) -> None:
        try:
            with self._stream as decisions:
                for decision in decisions:
                    self._say({"type": "decision", **decision.to_dict()})
        except VideoError as error:
            if "has no frames" not in error.reason:
                self._say({**ProblemError.of(error).to_dict(), "type": "error"})
        finally:
            self._loop.call_soon_threadsafe(self._out.put_nowait, None)

    def _say(self, message: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self._out.put_nowait, message)
