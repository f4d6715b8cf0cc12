"""`POST /v1/timeline`: what happens when, as it is found."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from typing import Annotated, Any, Literal

import anyio
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from tubelet.errors import TubeletError
from tubelet.prediction.decision import Decision
from tubelet.prediction.smoothing import Smoother
from tubelet.prediction.timeline import OFF, ON, Event, Timeline, check_thresholds, find_events
from tubelet.prediction.window import Window
from tubelet.serving import tasks
from tubelet.serving.answers import UPLOAD_REFUSALS
from tubelet.serving.problem import ProblemError
from tubelet.serving.query import VideoQuery, video_query
from tubelet.serving.served import ServedModel
from tubelet.serving.service import Service
from tubelet.serving.upload import BODY, Upload
from tubelet.serving.windows import GuardedFrames, ServedStream

WAITING = 64
"""Messages that wait for a slow reader; then the model waits."""

Message = tuple[str, dict[str, Any]]

EVENTS = "text/event-stream"

FORMATS = {"json": "application/json", "csv": "text/csv", "srt": "application/x-subrip"}


class TimelineQuery:
    """How a timeline is made; see `tubelet.prediction.find_events` and `tubelet.stream`."""

    def __init__(
        self,
        on: Annotated[float, Query(gt=0, le=1, description="probability with which an event starts")] = ON,
        off: Annotated[float, Query(gt=0, le=1, description="probability below which it is over")] = OFF,
        minimum: Annotated[float, Query(ge=0, description="seconds; shorter events are left out")] = 0.0,
        smoothing: Annotated[str | None, Query(max_length=40, description="mean:5 or exponential:0.3")] = None,
        hop: Annotated[int | None, Query(ge=1, description="frames from one window to the next")] = None,
        top: Annotated[int, Query(ge=1, le=10_000, description="classes of a decision")] = 5,
    ) -> None:
        self.on, self.off, self.minimum, self.smoothing, self.hop, self.top = on, off, minimum, smoothing, hop, top

    def check(self, model: ServedModel) -> None:
        """Raise a ConfigError for what does not fit, before a video is received."""
        check_thresholds(self.on, self.off, self.minimum)
        Smoother(self.smoothing)
        Window.of(model.model.config, model.preprocessing, self.hop, None)


def add_timeline(app: FastAPI, service: Service) -> None:
    """Add the route."""

    @app.post(
        "/v1/timeline",
        response_class=Response,
        responses={
            **UPLOAD_REFUSALS,
            200: {"content": {kind: {} for kind in ("text/event-stream", *FORMATS.values())}},
        },
        openapi_extra=BODY,
    )
    async def timeline(
        request: Request,
        query: Annotated[VideoQuery, Depends(video_query)],
        how: Annotated[TimelineQuery, Depends()],
        format: Annotated[
            Literal["events", "json", "csv", "srt"], Query(description="events: as they come; or the whole, at the end")
        ] = "events",
    ) -> Response:
        """What happens when in a video: server-sent events `start`, `decision`, `event`, `end` (or `error`)."""
        model = service.model(query.model)
        how.check(model)
        if format == "events":
            return StreamingResponse(await _first(_messages(request, query, how, model, service)), media_type=EVENTS)
        async for kind, data in _messages(request, query, how, model, service):
            if kind == "error":
                raise ProblemError(int(data["status"]), str(data["detail"]))
            if kind == "end":
                text = json.dumps(data["timeline"]) if format == "json" else data[format]
                return PlainTextResponse(text, media_type=FORMATS[format])
        raise ProblemError(503, "the service is stopping; try again")


async def _first(messages: AsyncIterator[Message]) -> AsyncIterator[str]:
    """The messages as server-sent events. What goes wrong before the first is raised here, as an answer of its own."""
    first = await anext(messages)
    if first[0] == "error":
        raise ProblemError(int(first[1]["status"]), str(first[1]["detail"]))

    async def lines() -> AsyncIterator[str]:
        yield _sent(first)
        async for message in messages:
            yield _sent(message)

    return lines()


def _sent(message: Message) -> str:
    return f"event: {message[0]}\ndata: {json.dumps(message[1])}\n\n"


async def _messages(
    request: Request, query: VideoQuery, how: TimelineQuery, model: ServedModel, service: Service
) -> AsyncIterator[Message]:
    with service.session():
        async with service.upload(request, query.name, query.url) as upload:
            found: queue.Queue[Message | None] = queue.Queue(WAITING)
            watch = _Watch(upload, how, model, service, found)
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(service.session_threads, watch.run)
            try:
                while (message := await _next(found)) is not None:
                    yield message
            finally:
                watch.stopped = True
                with anyio.CancelScope(shield=True):  # the session lasts as long as its thread
                    while not running.done():  # which may wait for room in the queue
                        _drain(found)
                        await asyncio.sleep(0.01)


async def _next(found: queue.Queue[Message | None]) -> Message | None:
    while True:
        try:
            return await asyncio.to_thread(found.get, timeout=1.0)  # no thread waits for ever if this one is left
        except queue.Empty:
            continue


def _drain(found: queue.Queue[Message | None]) -> None:
    while not found.empty():
        found.get_nowait()


class _Watch:
    """The thread of a timeline."""

    def __init__(
        self,
        upload: Upload,
        how: TimelineQuery,
        model: ServedModel,
        service: Service,
        found: queue.Queue[Message | None],
    ) -> None:
        self._upload, self._how, self._model, self._service, self._found = upload, how, model, service, found
        self.stopped = False

    def run(self) -> None:
        try:
            self._watch()
        except TubeletError as error:
            self._found.put(("error", ProblemError.of(error).to_dict()))
        finally:
            self._found.put(None)

    def _watch(self) -> None:
        how, name = self._how, self._upload.name
        limits = self._service.settings.limits
        arguments = (str(self._upload.path), self._model.preprocessing, limits)
        with self._service.pool.session(tasks.frames, *arguments) as session:
            source = GuardedFrames(session, name)
            with ServedStream(self._model, source, hop=how.hop, smoothing=how.smoothing, top=how.top) as decisions:
                about = {"name": name, "frames": source.total, "rate": source.rate, "hop": decisions.hop}
                self._found.put(("start", {**about, "reuse": decisions.reuse}))
                find = partial(find_events, on=how.on, off=how.off, minimum=how.minimum)

                def seen(watched: Iterable[Decision]) -> Iterator[Event]:
                    for event in find(watched):
                        self._found.put(("event", event.to_dict()))
                        yield event

                timeline = Timeline.of(name, self._until_stopped(decisions), seen)
        made = {"timeline": timeline.to_dict(), "csv": timeline.to_csv(), "srt": timeline.to_srt()}
        self._found.put(("end", made))

    def _until_stopped(self, decisions: Iterable[Decision]) -> Iterator[Decision]:
        for decision in decisions:
            self._found.put(("decision", {**decision.to_dict(), "time": round(decision.time, 6)}))
            yield decision
            if self.stopped or self._service.stopping.is_set():
                return
