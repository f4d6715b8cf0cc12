"""The ASGI application: routes, and what stands around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from tubelet.errors import TubeletError
from tubelet.serving import problem, tasks
from tubelet.serving.admission import Admission
from tubelet.serving.answers import REFUSALS, UPLOAD_REFUSALS, Models, Prediction, Ready
from tubelet.serving.camera import add_camera
from tubelet.serving.explained import add_explain
from tubelet.serving.journal import Journal
from tubelet.serving.lingering import Lingering
from tubelet.serving.problem import ProblemError
from tubelet.serving.query import MOST_VIEWS, VideoQuery, checked_views, video_query
from tubelet.serving.security import Guard
from tubelet.serving.served import ServedModel
from tubelet.serving.service import Service
from tubelet.serving.settings import Settings
from tubelet.serving.timeline import add_timeline
from tubelet.serving.upload import BODY
from tubelet.version import __version__

PAGE = Path(__file__).parent / "page"


def create_app(
    models: Sequence[ServedModel], settings: Settings | None = None, *, wait_until_ready: bool = False
) -> FastAPI:
    """The application, for any ASGI server; its processes run from its startup to its shutdown.

    Args:
        models: loaded; the first is the default.
        settings: of the service.
        wait_until_ready: the startup ends when it can answer, for those who send requests from then on.
    """
    settings = settings or Settings()
    service = Service(models, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.open()
        beginning = asyncio.create_task(service.begin())
        if wait_until_ready:
            await beginning
        try:
            yield
        finally:
            beginning.cancel()
            await asyncio.to_thread(service.close)

    app = FastAPI(
        title="tubelet",
        version=__version__,
        description="What is in a video, when, and why: a ViViT model as a service.",
        lifespan=lifespan,
        docs_url=None,  # their page would load scripts from elsewhere
        redoc_url=None,
        middleware=[
            Middleware(Journal, metrics=service.metrics),
            Middleware(Lingering),
            Middleware(Guard, settings=settings),
            Middleware(Admission, service=service),
        ],
        exception_handlers={
            ProblemError: problem.of_problem,
            TubeletError: problem.of_tubelet,
            HTTPException: problem.of_http,
            RequestValidationError: problem.of_validation,
        },
    )
    app.state.service = service
    _add_health(app, service)
    _add_predict(app, service)
    add_explain(app, service)
    add_timeline(app, service)
    add_camera(app, service)
    app.router.default = StaticFiles(directory=PAGE, html=True)  # a mount would answer for other methods of all routes
    return app


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", response_class=PlainTextResponse, responses=REFUSALS)
    async def alive() -> str:
        """Whether the process is alive."""
        return "ok\n"

    @app.get("/readyz", response_model=Ready, responses={**REFUSALS, 503: {"model": Ready}})
    async def is_ready() -> JSONResponse:
        """Whether it can answer: the sample clips gave their logits."""
        why = service.problem()
        return JSONResponse({"ready": why is None, "problem": why}, 200 if why is None else 503)

    @app.get("/metrics", response_class=PlainTextResponse, responses=REFUSALS)
    async def metrics() -> PlainTextResponse:
        """Counters, in the text format of Prometheus."""
        return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/model", response_model=Models, responses=REFUSALS)
    async def model() -> dict[str, Any]:
        """The models: classes, preprocessing, and whether they are ready."""
        settings = service.settings
        return {
            "version": __version__,
            "default": next(iter(service.models)),
            "models": [served.to_dict() for served in service.models.values()],
            "limits": {
                "upload_bytes": settings.upload_bytes,
                "deadline": settings.deadline,
                "frame_pixels": settings.limits.frame_pixels,
                "views": MOST_VIEWS,
            },
        }


def _add_predict(app: FastAPI, service: Service) -> None:
    @app.post("/v1/predict", response_model=Prediction, responses=UPLOAD_REFUSALS, openapi_extra=BODY)
    async def predict(
        request: Request,
        query: Annotated[VideoQuery, Depends(video_query)],
        views: Annotated[tuple[int, int], Depends(checked_views)],
        top: Annotated[int, Query(ge=1, le=10_000, description="classes in the answer")] = 5,
        thumbnails: Annotated[bool, Query(description="also a few of the frames that the model saw")] = False,
    ) -> JSONResponse:
        """What is in a video."""
        model = service.model(query.model)

        async def work() -> dict[str, Any]:
            began = time.perf_counter()
            arguments = (model.preprocessing, *views, service.settings.limits, thumbnails)
            answer = await service.decode(tasks.views, upload.path, *arguments)
            loaded = tasks.loaded_of(answer, upload.name, time.perf_counter() - began)
            assert loaded.views is not None
            logits = await service.predict(model, loaded.views)
            use = await asyncio.to_thread(model.use_of, upload.path)
            result = loaded.result(logits, model.model, views, top, time.perf_counter() - began - loaded.seconds)
            if result.error is not None:
                raise ProblemError(422, result.error)
            shown = {"thumbnails": answer["thumbnails"]} if thumbnails else {}
            exact = service.settings.batch == 1
            return {**result.to_dict(), "use": use, "model": model.name, "exact": exact, **shown}

        async with service.upload(request, query.name, query.url) as upload:
            with service.computing():
                return JSONResponse(await service.answer(request, work()))
