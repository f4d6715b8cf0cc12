"""The page of a corpus, ready for review: videos of each class, the least certain, the failures."""

from __future__ import annotations

import heapq
import zlib
from collections import defaultdict
from typing import Any

import pyarrow

from tubelet.corpus.page import Card, Group, thumbnails_page
from tubelet.corpus.parts import columns_of
from tubelet.corpus.plan import Plan
from tubelet.corpus.sources import Video
from tubelet.text import count

OF_CLASS, CLASSES, LEAST_CERTAIN, FAILURES = 4, 40, 24, 60
"""How many videos of a class, classes, least certain videos and failures are shown."""

PAGE_FILE = "index.html"


class Gallery:
    """Chooses what the page shows while the parts go by, so that it holds few rows of however many.

    Args:
        plan: of the corpus.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._classes: dict[tuple[str, str], list[tuple[int, int, dict[str, Any]]]] = defaultdict(list)
        self._least: list[tuple[float, int, dict[str, Any]]] = []
        self._failures: list[dict[str, Any]] = []

    def add(self, part: pyarrow.Table) -> None:
        """Look at the rows of a part."""
        results = [name for head in self._plan.heads for name in columns_of(head, self._plan)[:2]]
        for row in part.select(["id", "path", "start", "end", "status", "reason", *results]).to_pylist():
            if row["status"] != "ok":
                if len(self._failures) < FAILURES:
                    self._failures.append(row)
                continue
            certain = 1.0
            for head in self._plan.heads:
                label, probability, _ = columns_of(head, self._plan)
                certain = min(certain, row[probability])
                # a number that looks random and is the same each time: any row is as likely to be shown
                draw = zlib.crc32(b"%d" % row["id"])
                _keep(self._classes[head, row[label]], (-draw, row["id"], row), OF_CLASS)
            _keep(self._least, (-certain, row["id"], row), LEAST_CERTAIN)

    def page(self, title: str, counts: dict[str, dict[str, int]], statuses: dict[str, int], problems: list[str]) -> str:
        """The page as HTML.

        Args:
            title: heading.
            counts: {head: {class: rows}}.
            statuses: rows of each.
            problems: that the check found.
        """
        groups = []
        if self._least:
            rows = [row for _, _, row in sorted(self._least, key=lambda one: (-one[0], one[1]))]
            groups.append(
                Group("Least certain", "The most probable class is the least probable here.", self._cards(rows))
            )
        if self._failures:
            cards = [Card(_video(row), row["status"], row["reason"] or "") for row in self._failures]
            groups.append(Group("Failures", f"The first {count(len(cards), 'video')} without a prediction.", cards))
        for head, classes in counts.items():
            for name, number in sorted(classes.items(), key=lambda one: -one[1])[:CLASSES]:
                prefix = "" if len(counts) == 1 else f"{head}: "
                rows = [row for _, _, row in sorted(self._classes[head, name], key=lambda one: one[1])]
                about = f"{count(number, 'video')}; {len(rows)} of them, drawn at random."
                groups.append(Group(f"{prefix}{name}", about, self._cards(rows)))
        figures = [(status, f"{number:,}") for status, number in statuses.items()]
        return thumbnails_page(title, "Corpus", groups, warnings=problems, figures=figures)

    def _cards(self, rows: list[dict[str, Any]]) -> list[Card]:
        cards = []
        for row in rows:
            words = []
            for head in self._plan.heads:
                label, probability, _ = columns_of(head, self._plan)
                words.append(f"{row[label]} {row[probability]:.1%}")
            cards.append(Card(_video(row), ", ".join(words)))
        return cards


def _video(row: dict[str, Any]) -> Video:
    return Video(row["id"], row["path"], row["start"], row["end"])


def _keep(heap: list[Any], entry: Any, at_most: int) -> None:
    """Keep the greatest entries."""
    if len(heap) < at_most:
        heapq.heappush(heap, entry)
    else:
        heapq.heappushpop(heap, entry)
