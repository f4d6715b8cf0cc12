"""Pages of thumbnails: of a corpus that was checked, of what a search found, of near-duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tubelet.corpus.plan import shown_path
from tubelet.corpus.sources import Video
from tubelet.errors import VideoError
from tubelet.report.page import environment
from tubelet.report.pictures import picture
from tubelet.text import printable_lines
from tubelet.video.guarded import Bounds, GuardedPool
from tubelet.video.live import is_address

PICTURES = 240
"""Videos that a page opens; those after them are named without a picture."""

SECONDS = 20.0


@dataclass(frozen=True)
class Card:
    """A video on a page.

    Attributes:
        video: of the plan.
        title: what is said of it.
        note: the rest.
    """

    video: Video
    title: str
    note: str = ""


@dataclass(frozen=True)
class Group:
    """Cards under a heading.

    Attributes:
        title: the heading.
        about: a sentence below it.
        cards: in order.
    """

    title: str
    about: str
    cards: Sequence[Card]


def thumbnails_page(
    title: str,
    kind: str,
    groups: Sequence[Group],
    *,
    warnings: Sequence[str] = (),
    figures: Sequence[tuple[str, str]] = (),
) -> str:
    """A page as HTML, which needs nothing else. The videos are opened in a guarded process.

    Args:
        title: heading.
        kind: what sort of page it is.
        groups: with their cards.
        warnings: sentences.
        figures: names and values.
    """
    strips: dict[Video, list[str]] = {}
    with GuardedPool(1, Bounds(seconds=SECONDS, cpu_seconds=SECONDS), preload=(__name__,)) as pool:
        for card in [card for group in groups for card in group.cards][:PICTURES]:
            if card.video not in strips:
                strips[card.video] = _strip(pool, card.video)
    shown = [
        (
            group.title,
            group.about,
            [(card, shown_path(card.video.path), strips.get(card.video)) for card in group.cards],
        )
        for group in groups
    ]
    template = environment("tubelet.corpus").get_template("thumbnails.html.j2")
    html = template.render(title=title, kind=kind, groups=shown, warnings=warnings, figures=figures)
    return printable_lines(html)


def strip(path: str, start: float | None, end: float | None) -> list[str]:
    """In a guarded process: a few frames of a video as data URIs; none if it cannot be read."""
    found = picture(path, start, end, moving=False)
    return [] if found is None else list(found.strip[::2])


def _strip(pool: GuardedPool, video: Video) -> list[str]:
    if is_address(video.path) or not Path(video.path).exists():
        return []
    try:
        return [
            uri for uri in pool.call(strip, video.path, video.start, video.end) if uri.startswith("data:image/jpeg")
        ]
    except VideoError:
        return []
