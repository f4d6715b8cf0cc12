"""`POST /v1/explain` and `POST /v1/preview`: why, and a copy that browsers play."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response

from tubelet.explanation.explainer import explain_views
from tubelet.explanation.methods import DEFAULT, method_of
from tubelet.serving import tasks
from tubelet.serving.answers import UPLOAD_REFUSALS
from tubelet.serving.query import VideoQuery, checked_views, video_query
from tubelet.serving.service import Service
from tubelet.serving.upload import BODY

MP4: dict[int | str, dict[str, Any]] = {200: {"content": {"video/mp4": {}}}}


def add_explain(app: FastAPI, service: Service) -> None:
    """Add the routes."""

    @app.post(
        "/v1/explain",
        response_class=Response,
        responses={**UPLOAD_REFUSALS, 200: {"content": {"application/json": {}, "video/mp4": {}}}},
        openapi_extra=BODY,
    )
    async def explain(
        request: Request,
        query: Annotated[VideoQuery, Depends(video_query)],
        views: Annotated[tuple[int, int], Depends(checked_views)],
        target: Annotated[str | None, Query(max_length=500, description="a class; else the most probable")] = None,
        against: Annotated[str | None, Query(max_length=500, description="another class to compare with")] = None,
        method: Annotated[str, Query(max_length=40, description="see `tubelet explain --help`")] = DEFAULT,
        score: Annotated[bool, Query(description="also measure how faithful the map is, by some 230 passes")] = False,
        format: Annotated[Literal["json", "mp4"], Query(description="mp4: the film of it")] = "json",
    ) -> Response:
        """Which places and which moments of a video decided."""
        model = service.model(query.model)
        method_of(method)

        async def work() -> Response:
            arguments = (model.preprocessing, *views, service.settings.limits)
            seen = tasks.seen_of(await service.decode(tasks.seen, upload.path, *arguments))
            found = await service.compute(
                model,
                lambda: explain_views(model.model, seen, target=target, against=against, method=method, score=score),
            )
            found = replace(found, path=upload.name)
            if format == "json":
                return JSONResponse(found.to_dict())
            film = upload.folder / "film.mp4"
            await service.decode(tasks.film, upload.path, found, str(film))
            return Response(await asyncio.to_thread(film.read_bytes), media_type="video/mp4")

        async with service.upload(request, query.name, query.url) as upload:
            return await service.answer(request, work())

    @app.post("/v1/preview", response_class=Response, responses={**UPLOAD_REFUSALS, **MP4}, openapi_extra=BODY)
    async def preview(request: Request, query: Annotated[VideoQuery, Depends(video_query)]) -> Response:
        """A small H.264 copy of a video that a browser cannot play; the header Tubelet-Start has its first second."""

        async def work() -> Response:
            out = upload.folder / "preview.mp4"
            made = await service.decode(tasks.preview, upload.path, str(out))
            content = await asyncio.to_thread(out.read_bytes)
            return Response(content, media_type="video/mp4", headers={"Tubelet-Start": f"{made['start']:.6f}"})

        async with service.upload(request, query.name, query.url) as upload:
            return await service.answer(request, work())
