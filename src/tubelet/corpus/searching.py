"""Exact search: the cosine with every embedding, and near-duplicates."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from tubelet.corpus.classifying import Classifier
from tubelet.corpus.decoding import GuardedDecoder
from tubelet.corpus.embeddings import Embeddings, open_embeddings
from tubelet.corpus.parts import columns_of
from tubelet.corpus.plan import Plan, model_hash, shown_path
from tubelet.corpus.sources import Video
from tubelet.errors import ConfigError, DataError, VideoError
from tubelet.prediction.ready import ready
from tubelet.video.views import parse_views

CHUNK = 512
"""Vectors that are made float32 at once: few enough to stay in a cache."""

BLOCK = 2048
"""Vectors that are compared with all later ones at once."""


@dataclass(frozen=True)
class Match:
    """A video that was found.

    Attributes:
        video: of the plan.
        similarity: cosine, -1 to 1.
        labels: {head: class} as predicted.
    """

    video: Video
    similarity: float
    labels: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "id": self.video.id,
            "path": shown_path(self.video.path),
            "start": self.video.start,
            "end": self.video.end,
            "similarity": round(self.similarity, 6),
            **self.labels,
        }


def search(out: str | os.PathLike[str], like: str | os.PathLike[str] | int, *, top: int = 20) -> list[Match]:
    """The videos of a corpus that are most like one: by the cosine of embeddings, exactly.

    Args:
        out: folder of `tubelet.corpus.run(..., embed=True)`.
        like: a video file, or the id of a video of the corpus, which is not among the results.
        top: how many.

    Returns:
        the most similar first; of equal ones the lower id first.

    Raises:
        ConfigError: there are no embeddings, or the model was changed since.
        DataError: no such corpus, or no video with an embedding under this id.
        VideoError: the video cannot be read.
    """
    if top < 1:
        raise ConfigError(f"top={top} must be at least 1")
    embeddings = open_embeddings(os.fspath(out))
    if isinstance(like, int):
        place = int(numpy.searchsorted(embeddings.ids, like))
        if place == len(embeddings.ids) or embeddings.ids[place] != like:
            raise DataError(f"id {like} has no embedding: it is not in the plan, was not run yet, or failed")
        places, cosines = nearest(embeddings.vectors, embeddings.vectors[place].astype(numpy.float32), top + 1)
        keep = places != place
        places, cosines = places[keep][:top], cosines[keep][:top]
    else:
        places, cosines = nearest(embeddings.vectors, embed(embeddings.plan, os.fspath(like)), top)
    return _matches(embeddings, places.tolist(), cosines.tolist())


def nearest(
    vectors: NDArray[numpy.float16], query: NDArray[numpy.float32], top: int
) -> tuple[NDArray[numpy.int64], NDArray[numpy.float32]]:
    """The places of the greatest products with a query, and these, greatest first.

    Args:
        vectors: [n, D].
        query: [D].
        top: how many.
    """
    products = torch.empty(len(vectors))
    wanted = torch.from_numpy(numpy.ascontiguousarray(query, numpy.float32))
    buffer = torch.empty(min(CHUNK, len(vectors)), len(query))
    with _one_thread():
        for first in range(0, len(vectors), CHUNK):
            part = _tensor(vectors[first : first + CHUNK])
            torch.mv(buffer[: len(part)].copy_(part), wanted, out=products[first : first + len(part)])
    top = min(top, len(vectors))
    if not top:
        return numpy.zeros(0, numpy.int64), numpy.zeros(0, numpy.float32)
    least = products.topk(top).values[-1]
    places = (products >= least).nonzero()[:, 0]  # ascending, with all that are equal to the last
    order = places[products[places].argsort(descending=True, stable=True)][:top]
    return order.numpy(), products[order].numpy()


def embed(plan: Plan, path: str) -> NDArray[numpy.float32]:
    """The embedding of a video by the model of a plan, [D]."""
    options = plan.options
    model, preprocessing = ready(plan.model, "cpu", resample=options.resample)
    if model_hash(model) != plan.model_hash:
        raise ConfigError(f"{plan.model} was changed since the corpus was run; its embeddings cannot be compared")
    decoder = GuardedDecoder(preprocessing, parse_views(options.views), options.seconds)
    try:
        decoded = decoder(Video(0, path))
    finally:
        decoder.close()
    if decoded.views is None:
        raise VideoError(path, decoded.reason or decoded.status)
    embedding = Classifier(model, options.precision)(decoded.views, decoded.frame_mask)[1]
    assert embedding is not None
    return embedding


def duplicates(
    out: str | os.PathLike[str],
    *,
    threshold: float = 0.99,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[Match]]:
    """Groups of videos that show nearly the same.

    Every pair is compared. Two videos are in one group if their similarity, or that of each step of a chain between
    them, is at least the threshold.

    Args:
        out: folder of `tubelet.corpus.run(..., embed=True)`.
        threshold: cosine.
        progress: is called with (vectors compared, vectors).

    Returns:
        groups of two or more, the largest first; in each, the lowest id first, and similarities to that one.

    Raises:
        ConfigError: there are no embeddings.
        DataError: no such corpus.
    """
    if not -1 < threshold <= 1:
        raise ConfigError(f"threshold={threshold} must be above -1 and at most 1")
    embeddings = open_embeddings(os.fspath(out))
    vectors = embeddings.vectors
    parents = list(range(len(vectors)))
    for first in range(0, len(vectors), BLOCK):
        if progress is not None:
            progress(first, len(vectors))
        rows = _tensor(vectors[first : first + BLOCK]).float()
        for other in range(first, len(vectors), BLOCK):
            products = rows @ _tensor(vectors[other : other + BLOCK]).float().T
            for left, right in (products >= threshold).nonzero().tolist():
                _join(parents, first + left, other + right)
    groups: dict[int, list[int]] = defaultdict(list)
    for place in range(len(vectors)):
        groups[_root(parents, place)].append(place)
    found = []
    for places in sorted((group for group in groups.values() if len(group) > 1), key=lambda group: -len(group)):
        several = vectors[places].astype(numpy.float32)
        found.append(_matches(embeddings, places, (several @ several[0]).tolist()))
    return found


def _matches(embeddings: Embeddings, places: list[int], cosines: list[float]) -> list[Match]:
    rows = embeddings.rows([int(embeddings.ids[place]) for place in places])
    names = [columns_of(head, embeddings.plan)[0] for head in embeddings.plan.heads]
    return [
        Match(video, cosine, {name: row[name] for name in names})
        for (video, row), cosine in zip(rows, cosines, strict=True)
    ]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Waiting for other threads takes longer than products of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _tensor(vectors: NDArray[numpy.float16]) -> Tensor:
    """A part of a mapped file, without a copy."""
    return torch.frombuffer(vectors, dtype=torch.float16).view(vectors.shape)


def _root(parents: list[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = place = parents[parents[place]]
    return place


def _join(parents: list[int], one: int, other: int) -> None:
    one, other = _root(parents, one), _root(parents, other)
    parents[max(one, other)] = min(one, other)
