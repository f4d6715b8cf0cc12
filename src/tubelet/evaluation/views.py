"""The views of a video: clips in time, crops in space."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from tubelet.errors import ConfigError
from tubelet.video import Clips, WholeVideo, Windows

FORMS = "CLIPSxCROPS (4x3), dense:HOPxCROPS (dense:16x1, a clip every 16 frames) or wholexCROPS (the whole video)"


@dataclass(frozen=True)
class ViewPlan:
    """Clips in time, times crops in space. Printed, it is what `plan_views` reads.

    Attributes:
        clips: how many are spread over the video; `Windows`, or the `WholeVideo`.
        crops: of each clip, along the longer side of the frame; one is the centre.
    """

    clips: Clips
    crops: int

    def __str__(self) -> str:
        if isinstance(self.clips, Windows):
            return f"dense:{self.clips.hop}x{self.crops}"
        return f"{'whole' if isinstance(self.clips, WholeVideo) else self.clips}x{self.crops}"


def plan_views(views: str | tuple[int, int] | ViewPlan, *, tubelet_frames: int = 1) -> ViewPlan:
    """The views that these words name.

        4x3          4 clips spread over the video, 3 crops of each: the paper's evaluation of Kinetics
        1x1          one clip and one crop, both in the centre
        dense:16x1   a clip every 16 frames of the video, until its end is covered; `dense:16` is the same
        wholex1      every frame that the stride reaches, in a single clip; `whole` is the same

    Args:
        views: those words, (clips, crops), or a plan.
        tubelet_frames: the clip of a whole video has a multiple of these.

    Raises:
        ConfigError: of none of these forms, or no clip, crop or step.
    """
    if isinstance(views, ViewPlan):
        plan = views
    elif isinstance(views, str):
        plan = _from_words(views)
    else:
        plan = ViewPlan(*views)
    if isinstance(plan.clips, int) and plan.clips < 1:
        raise ConfigError(f"views={plan}: at least one clip is needed; write 1x{max(plan.crops, 1)}")
    if isinstance(plan.clips, Windows) and plan.clips.hop < 1:
        raise ConfigError(f"views={plan}: from one clip to the next is at least one frame; write dense:1")
    if plan.crops < 1:
        raise ConfigError(f"views={plan}: at least one crop is needed; write {replace(plan, crops=1)}")
    return replace(plan, clips=WholeVideo(tubelet_frames)) if isinstance(plan.clips, WholeVideo) else plan


def parse_views(views: str | tuple[int, int]) -> tuple[int, int]:
    """ "4x3" as (4, 3), where a fixed number of clips is needed.

    Raises:
        ConfigError: not of this form; `dense` and `whole` belong to `tubelet.evaluate`.
    """
    plan = plan_views(views)
    if not isinstance(plan.clips, int):
        raise ConfigError(f"views={plan} belong to an evaluation; here it is CLIPSxCROPS, 4x3 for instance")
    return plan.clips, plan.crops


def format_views(views: tuple[int, int]) -> str:
    """(4, 3) as "4x3"."""
    return str(ViewPlan(*views))


def _from_words(words: str) -> ViewPlan:
    found = re.fullmatch(r"\s*(?:dense:(\d+)|(whole)|(\d+))\s*(?:[x×]\s*(\d+))?\s*", words, re.IGNORECASE)
    if not found or (found[3] and not found[4]):
        raise ConfigError(f"views={words!r} is not of the form {FORMS}; write 4x3 for 4 clips of 3 crops each")
    clips: Clips = Windows(int(found[1])) if found[1] else WholeVideo() if found[2] else int(found[3])
    return ViewPlan(clips, int(found[4] or 1))
