"""A page of thumbnails of what a search found, or of near-duplicates."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tubelet.corpus.page import Card, Group, thumbnails_page
from tubelet.corpus.searching import Match
from tubelet.files import write_text
from tubelet.text import count


def write_matches(page: str | os.PathLike[str], title: str, groups: Sequence[Sequence[Match]]) -> None:
    """Write a page of what was found.

    Args:
        page: the file.
        title: heading.
        groups: of videos; each gets a heading if there are several.
    """
    shown = []
    for number, group in enumerate(groups, 1):
        cards = [Card(one.video, f"{one.similarity:.4f}", ", ".join(one.labels.values())) for one in group]
        about = "The cosine of embeddings; then the predicted class."
        heading = count(len(group), "video") if len(groups) == 1 else f"{number}: {count(len(group), 'video')}"
        shown.append(Group(heading, about, cards))
    write_text(Path(page), thumbnails_page(title, "Corpus", shown))
