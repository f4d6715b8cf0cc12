"""Parameters that several routes take."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from tubelet.serving.problem import ProblemError
from tubelet.video.views import parse_views

MOST_VIEWS = 64


class VideoQuery:
    """What every route takes that is given a video.

    Args:
        model: name of the model; the first one without it.
        name: of the video, in the answer.
    """

    def __init__(
        self,
        model: Annotated[str | None, Query(max_length=200)] = None,
        name: Annotated[str | None, Query(max_length=1000)] = None,
    ) -> None:
        self.model, self.name = model, name


def checked_views(
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
