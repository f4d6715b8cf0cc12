"""A corpus against labels that are known, and the next videos to label."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from tubelet.corpus.embeddings import Embeddings, open_embeddings
from tubelet.corpus.parts import columns_of, read_parts
from tubelet.corpus.plan import Plan, Videos, read_plan, shown_path
from tubelet.corpus.sources import Video, list_videos
from tubelet.corpus.store import open_store
from tubelet.data.columns import find_column
from tubelet.data.rows import read_rows
from tubelet.errors import ConfigError, DataError
from tubelet.files import replacing_shared
from tubelet.text import did_you_mean

CANDIDATES = 10
"""Times as many of the least certain videos as are wanted, among which different ones are chosen."""


@dataclass
class Agreement:
    """How far predictions agree with known labels.

    Attributes:
        head: that was compared.
        compared: videos with a prediction and a label.
        right: of these, those where they are the same.
        learned: of those compared, how many the model learned from.
        right_unseen: those that are the same among the others.
        failed: videos with a label and without a prediction.
        unknown: labels of videos that the corpus does not have.
        confusions: (known, predicted): how often.
        disagreements: rows: id, path, known, predicted, probability.
    """

    head: str
    compared: int = 0
    right: int = 0
    learned: int = 0
    right_unseen: int = 0
    failed: int = 0
    unknown: int = 0
    confusions: Counter[tuple[str, str]] = field(default_factory=Counter)
    disagreements: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        unseen = self.compared - self.learned
        return {
            "head": self.head,
            "compared": self.compared,
            "right": self.right,
            "accuracy": self.right / self.compared if self.compared else None,
            "learned": self.learned,
            "accuracy_unseen": self.right_unseen / unseen if unseen else None,
            "failed": self.failed,
            "unknown": self.unknown,
            "confusions": [[*pair, number] for pair, number in self.confusions.most_common()],
        }


def compare_labels(
    out: str | os.PathLike[str], against: str | os.PathLike[str], *, head: str | None = None
) -> Agreement:
    """Compare the predictions of a corpus with labels.

    Args:
        out: folder or URL of `tubelet.corpus.run`.
        against: a CSV, TSV or JSONL file with the columns `path` and `label` (or the head's name), and perhaps `start`
            and `end`.
        head: of the model; needed if it has several.

    Raises:
        ConfigError: no such head.
        DataError: no such corpus, or the table has no labels or none of a video of the corpus.
    """
    store = open_store(out)
    plan = read_plan(store)
    head = head_of(plan, head)
    known = known_labels(Path(against), head)
    found = Agreement(head)
    label, probability, _ = columns_of(head, plan)
    met = set()
    for video, row in rows_of(store, plan, ["status", label, probability, "use"]):
        truth = known.get(video[1:])
        if truth is None:
            continue
        met.add(video[1:])
        if row["status"] != "ok":
            found.failed += 1
            continue
        is_right, is_learned = row[label] == truth, row["use"] == "learned"
        found.compared += 1
        found.right += is_right
        found.learned += is_learned
        found.right_unseen += is_right and not is_learned
        if not is_right:
            found.confusions[truth, row[label]] += 1
            named = {"id": video.id, "path": video.path, "known": truth, "predicted": row[label]}
            found.disagreements.append({**named, "probability": row[probability]})
    found.unknown = len(known) - len(met)
    if not met:
        example = next(iter(known))[0]
        raise DataError(f"{against}: none of its {len(known)} videos is in the corpus; the first is {example}")
    found.disagreements.sort(key=lambda row: -row["probability"])
    return found


def select(
    out: str | os.PathLike[str],
    uncertain: int,
    *,
    diverse: bool = False,
    head: str | None = None,
    without: Sequence[str | os.PathLike[str]] = (),
) -> list[dict[str, Any]]:
    """The videos whose labels would teach the model most: those that it is least certain of.

    Videos that it learned from are left out, where that is known, and those with names that no table can hold: of
    several lines, or not UTF-8.

    Args:
        out: folder or URL of `tubelet.corpus.run`.
        uncertain: how many.
        diverse: of `CANDIDATES` times as many, those that differ most: each is the one farthest from those before it
            (k-centre, greedily) by the cosine of embeddings.
        head: of the model; needed if it has several.
        without: tables of videos that are labelled already.

    Returns:
        rows for a table: path, label (as predicted, to be corrected), start, end, probability, id.

    Raises:
        ConfigError: no such head, or no embeddings for `diverse`.
        DataError: no such corpus, or no video left.
    """
    if uncertain < 1:
        raise ConfigError(f"uncertain={uncertain} must be at least 1")
    store = open_store(out)
    plan = read_plan(store)
    label, probability, _ = columns_of(head_of(plan, head), plan)
    embeddings = open_embeddings(os.fspath(out)) if diverse else None
    labelled = {video[1:] for table in without for video in list_videos(table)}
    candidates: list[tuple[float, Video, str]] = []
    at_most = uncertain * (CANDIDATES if diverse else 1)
    for video, row in rows_of(store, plan, ["status", label, probability, "use"]):
        is_new = row["use"] != "learned" and video[1:] not in labelled
        if row["status"] == "ok" and is_new and _fits_a_table(video.path):
            candidates.append((row[probability], video, row[label]))
            if len(candidates) >= 2 * at_most + 1000:
                candidates = sorted(candidates)[:at_most]
    candidates = sorted(candidates)[:at_most]
    if not candidates:
        raise DataError(f"{out}: no video is left: all failed, were learned from, or are labelled already")
    if embeddings is not None:
        ids = [video.id for _, video, _ in candidates]
        candidates = [candidates[place] for place in _different(embeddings, ids, uncertain)]
    return [
        {
            "path": video.path,
            "label": name,
            "start": video.start,
            "end": video.end,
            "probability": round(certain, 6),
            "id": video.id,
        }
        for certain, video, name in candidates
    ]


def write_rows(rows: Sequence[dict[str, Any]], path: str | os.PathLike[str]) -> None:
    """Write rows as CSV; columns that are empty in all rows are left out, but for the first two."""
    names = list(rows[0]) if rows else []
    kept = [name for place, name in enumerate(names) if place < 2 or any(row[name] is not None for row in rows)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(kept)
    for row in rows:
        writer.writerow(["" if row[name] is None else row[name] for name in kept])
    with replacing_shared(Path(path)) as partial:
        partial.write_bytes(text.getvalue().encode("utf-8", "surrogateescape"))


def _different(embeddings: Embeddings, ids: Sequence[int], count: int) -> list[int]:
    """Places of the ids that differ most, the first one first."""
    vectors = embeddings.vectors[numpy.searchsorted(embeddings.ids, ids)].astype(numpy.float32)
    chosen = [0]
    nearest = vectors @ vectors[0]
    while len(chosen) < min(count, len(ids)):
        nearest[chosen[-1]] = numpy.inf
        chosen.append(int(nearest.argmin()))
        nearest = numpy.maximum(nearest, vectors @ vectors[chosen[-1]])
        nearest[chosen] = numpy.inf
    return chosen


def _fits_a_table(path: str) -> bool:
    return shown_path(path) == path and not {"\n", "\r"} & set(path)


def head_of(plan: Plan, head: str | None) -> str:
    """The head that is meant; a ConfigError if that is not clear."""
    if head is None and len(plan.heads) == 1:
        return next(iter(plan.heads))
    if head not in plan.heads:
        named = "the model has several heads; name one" if head is None else f"no head {head!r}"
        raise ConfigError(f"{named}{did_you_mean(head or '', plan.heads)}")
    return head


def known_labels(table: Path, head: str) -> dict[tuple[str, float | None, float | None], str]:
    """The label of each video of a table."""
    if not table.is_file():
        raise DataError(f"{table} is no file; expected a CSV, TSV or JSONL file with path and label")
    rows = read_rows(table)
    column = head if head in rows.header else find_column(rows.header, "label")
    if column is None:
        raise DataError(f"{table.name}: no column for labels; it has {', '.join(rows.header)}; name one label")
    videos = list_videos(table)
    return {video[1:]: row[column] for video, (_, row) in zip(videos, rows.rows, strict=True) if row[column]}


def rows_of(store: Any, plan: Plan, columns: list[str]) -> Any:
    """Each video that has a row, with some columns of it."""
    videos = Videos(store)
    try:
        for part in read_parts(store, plan, ["id", *columns]):
            rows = part.to_pylist()
            planned = videos.of_task(rows[0]["id"] // plan.task_size)
            first = planned[0].id
            for row in rows:
                yield planned[row["id"] - first], row
    finally:
        videos.close()
