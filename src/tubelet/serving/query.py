"""Parameters that several routes take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query

from tubelet.serving.problem import ProblemError
from tubelet.video.views import parse_views

MOST_VIEWS = 64


@dataclass(frozen=True)
class VideoQuery:
    """What every route takes that is given a video.

    Attributes:
        model: name of the model; the first one without it.
        name: of the video, in the answer.
        url: of the video, where it is not the body.
    """

    model: str | None
    name: str | None
    url: str | None


async def video_query(
    model: Annotated[str | None, Query(max_length=200)] = None,
    name: Annotated[str | None, Query(max_length=1000)] = None,
    url: Annotated[str | None, Query(max_length=2000, description="of the video, instead of a body")] = None,
) -> VideoQuery:
    """Not in a thread, as FastAPI calls what is not `async`: a refusal must not wait for one."""
    return VideoQuery(model, name, url)


async def checked_views(
    views: Annotated[str, Query(description="CLIPSxCROPS", max_length=20)] = "1x1",
) -> tuple[int, int]:
    """(clips, crops).

    Raises:
        ProblemError: too many.
        ConfigError: other words.
    """
    clips, crops = parse_views(views)
    if clips * crops > MOST_VIEWS:
        raise ProblemError(400, f"views={views}: at most {MOST_VIEWS} views")
    return clips, crops
