"""How well embeddings find videos of the same class, by labels that are known."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from tubelet.corpus.embeddings import open_embeddings
from tubelet.corpus.labels import head_of, known_labels, rows_of
from tubelet.errors import DataError

CHUNK = 512
"""Queries whose similarities to all others are held at once."""


@dataclass(frozen=True)
class Retrieval:
    """Each video finds the others by the cosine of embeddings; those of its own class are right.

    Attributes:
        head: of which the labels are.
        mean_average_precision: over the queries; the average precision of one is the mean, over the videos of its
            class, of the share of right ones among those ranked up to it.
        nearest_right: share of the queries whose nearest video has their class.
        queries: videos with an embedding, a label, and another video of that label.
        videos: among which they are found.
        learned: videos that the model learned from, which are left out.
    """

    head: str
    mean_average_precision: float
    nearest_right: float
    queries: int
    videos: int
    learned: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def retrieval(out: str | os.PathLike[str], against: str | os.PathLike[str], *, head: str | None = None) -> Retrieval:
    """Measure the embeddings of a corpus by labels.

    Args:
        out: folder of `tubelet.corpus.run(..., embed=True)`.
        against: see `compare_labels`.
        head: see `compare_labels`.

    Raises:
        ConfigError: no such head, or no embeddings.
        DataError: no such corpus, or no two videos of a class that the model did not learn from.
    """
    embeddings = open_embeddings(os.fspath(out))
    head = head_of(embeddings.plan, head)
    known = known_labels(Path(against), head)
    labels: dict[int, str] = {}
    learned = 0
    for video, row in rows_of(embeddings.store, embeddings.plan, ["status", "use"]):
        if row["status"] == "ok" and video[1:] in known:
            if row["use"] == "learned":
                learned += 1
            else:
                labels[video.id] = known[video[1:]]
    times = Counter(labels.values())
    if not any(number > 1 for number in times.values()):
        raise DataError(
            f"{against}: no two videos of a class with an embedding that the model did not learn from "
            f"({len(labels)} labelled, {learned} learned from)"
        )
    number_of = {name: number for number, name in enumerate(times)}
    classes = torch.tensor([number_of[name] for name in labels.values()])
    places = numpy.searchsorted(embeddings.ids, list(labels))
    vectors = torch.from_numpy(embeddings.vectors[places].astype(numpy.float32))
    queries = torch.tensor([place for place, name in enumerate(labels.values()) if times[name] > 1])
    precisions, nearest = [], []
    for some in queries.split(CHUNK):
        similarity = vectors[some] @ vectors.T
        similarity[torch.arange(len(some)), some] = -torch.inf  # itself, last
        ranked = classes[similarity.argsort(dim=1, descending=True, stable=True)[:, :-1]]
        right = (ranked == classes[some, None]).double()
        so_far = right.cumsum(dim=1) / torch.arange(1, ranked.shape[1] + 1)
        precisions.append((so_far * right).sum(dim=1) / right.sum(dim=1))
        nearest.append(right[:, 0])
    precision, share = (float(torch.cat(values).mean()) for values in (precisions, nearest))
    return Retrieval(head, precision, share, len(queries), len(labels), learned)
