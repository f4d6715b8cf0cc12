"""How many looks at a video an evaluation takes."""

from __future__ import annotations

import re

from tubelet.errors import ConfigError

CROPS = (1, 3)


def parse_views(views: str | tuple[int, int]) -> tuple[int, int]:
    """ "4x3" (4 clips in time, 3 crops in space, the paper's evaluation of Kinetics) as (4, 3).

    Args:
        views: `CLIPSxCROPS`, or the pair itself, which is only checked.

    Returns:
        (clips, crops).

    Raises:
        ConfigError: not of this form, no clip, or a number of crops that is neither 1 (centre) nor 3 (left, centre and
            right; top, centre and bottom of an upright video).
    """
    if isinstance(views, str):
        found = re.fullmatch(r"\s*(\d+)\s*[x×]\s*(\d+)\s*", views, re.IGNORECASE)
        if not found:
            raise ConfigError(f"views={views!r} is not of the form CLIPSxCROPS; write 4x3 for 4 clips of 3 crops each")
        clips, crops = int(found[1]), int(found[2])
    else:
        clips, crops = views
    if clips < 1:
        raise ConfigError(f"views={clips}x{crops}: at least one clip is needed; write 1x{max(crops, 1)}")
    if crops not in CROPS:
        raise ConfigError(
            f"views={clips}x{crops}: crops are 1 (centre) or 3 (left, centre, right); write {clips}x1 or {clips}x3"
        )
    return clips, crops


def format_views(views: tuple[int, int]) -> str:
    """(4, 3) as "4x3"."""
    return f"{views[0]}x{views[1]}"
