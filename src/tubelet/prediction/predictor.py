"""Predicting videos with a model that is loaded once.

The next videos are decoded in a thread while the model computes. No forward pass holds views of two videos, so that a
prediction does not depend on the other videos (see `tubelet.evaluate`).
"""

from __future__ import annotations

import io
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from tubelet.data import Sample
from tubelet.data.known import KnownVideos
from tubelet.device import Precision, autocast, resolve_precision
from tubelet.errors import ConfigError, VideoError
from tubelet.evaluation.averaging import VIEWS_PER_FORWARD, predict_views
from tubelet.fast import Evaluating
from tubelet.prediction.loaded import Loaded, load_views
from tubelet.prediction.ready import ready
from tubelet.prediction.result import IN_MEMORY, TOP, Result
from tubelet.prediction.sources import Source, find_videos, no_video, open_source, path_of
from tubelet.provenance import Use
from tubelet.video import Clip, Preprocessing
from tubelet.video.clip import why_unreadable
from tubelet.video.views import parse_views

AHEAD = 2
"""Videos that are decoded before the model is ready for them."""


def predict(
    model: nn.Module | str | os.PathLike[str],
    videos: Source | Sequence[Source],
    *,
    views: str | tuple[int, int] = (1, 1),
    top: int = TOP,
    device: str | torch.device | None = None,
    precision: Precision = "float32",
    batch_size: int = VIEWS_PER_FORWARD,
    resample: bool = True,
) -> Result | list[Result]:
    """Classify a video, or several.

    Args:
        model: a model, or what `tubelet.load` reads: a run, a model folder, a Hub id.
        videos: a file, a `Clip`, frames uint8 [T, 3, H, W] (a numpy array may be [T, H, W, 3]), or a list of these; a
            folder or a pattern (`clips/*.mp4`) stands for all its videos.
        views: "4x3" (4 clips in time, 3 crops in space), or (clips, crops). Their logits are averaged.
        top: classes that the result shows.
        device: by default that of the model. The model is moved there.
        precision: of matrix products; `auto` is bfloat16 where that is faster.
        batch_size: views of a video in one forward pass.
        resample: sample videos of another frame rate than the model's (`PreprocessingConfig.frames_per_second`) by
            their timestamps; False takes their frames by number.

    Returns:
        one `Result` for one video, a list of them for a list, a folder or a pattern. A video that cannot be read has
        its reason in `Result.error` and does not stop the others.

    Raises:
        ConfigError: the model has no `preprocessing`, or invalid views.
        DataError: something that is no video, or a folder without videos.
        VideoError: the one video that was given cannot be read.
    """
    predictor = Predictor(model, device=device, precision=precision, resample=resample)
    return predictor(videos, views=views, top=top, batch_size=batch_size)


class Predictor:
    """A model ready to predict.

    Args:
        model: a model, or what `tubelet.load` reads.
        device: by default that of the model, or `auto` for one that is loaded here.
        precision: of matrix products; `auto` is bfloat16 where that is faster.
        resample: see `tubelet.predict`.

    Attributes:
        model: as it was given, or loaded.

    Raises:
        ConfigError: the model has no head, or no `preprocessing`.
    """

    def __init__(
        self,
        model: nn.Module | str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        precision: Precision = "float32",
        resample: bool = True,
    ) -> None:
        self.model, preprocessing = ready(model, device, resample=resample)
        self.device = next(self.model.parameters()).device
        self._evaluating = Evaluating(self.model)
        self._dtype = resolve_precision(precision, self.device)
        self._preprocessing = Preprocessing(preprocessing)
        provenance = self.model.provenance
        self._known = KnownVideos(provenance.videos) if provenance is not None else None

    def __call__(
        self,
        videos: Source | Sequence[Source],
        *,
        views: str | tuple[int, int] = (1, 1),
        top: int = TOP,
        batch_size: int = VIEWS_PER_FORWARD,
    ) -> Result | list[Result]:
        """Predict one video or several; see `tubelet.predict`."""
        settings = _Settings.of(views, top, batch_size)
        if isinstance(videos, str | os.PathLike | Clip | Tensor | numpy.ndarray):
            found = find_videos(videos) if isinstance(videos, str | os.PathLike) else None
            if found is None:
                result = next(self._results(iter([videos]), settings))
                if result.error is not None:
                    raise VideoError(result.path or IN_MEMORY, result.error)
                return result
            many: list[Source] = [*found]
        else:
            many = list(_flattened(_several(videos)))
        return list(self._results(iter(many), settings))

    def stream(
        self,
        videos: Iterable[Source],
        *,
        views: str | tuple[int, int] = (1, 1),
        top: int = TOP,
        batch_size: int = VIEWS_PER_FORWARD,
    ) -> Iterator[Result]:
        """Results one by one, in the order of `videos`, which may be endless: `AHEAD` of them are decoded ahead.

        Args:
            videos: files, clips, frames. `tubelet.prediction.find_videos` lists the videos of folders and patterns.
            views: see `tubelet.predict`.
            top: see `tubelet.predict`.
            batch_size: see `tubelet.predict`.
        """
        return self._results(iter(videos), _Settings.of(views, top, batch_size))

    def _results(self, sources: Iterator[Source], settings: _Settings) -> Iterator[Result]:
        first = list(islice(sources, AHEAD))
        if len(first) < AHEAD:  # nothing to decode ahead: a thread for each video would let the heap grow
            yield from (self._predict(self._load(source, settings), settings) for source in first)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="tubelet-decode") as pool:
            ahead: deque[Future[Loaded]] = deque(pool.submit(self._load, source, settings) for source in first)
            try:
                while ahead:
                    loaded = ahead.popleft().result()
                    for source in islice(sources, 1):
                        ahead.append(pool.submit(self._load, source, settings))
                    yield self._predict(loaded, settings)
            finally:
                for future in ahead:
                    future.cancel()

    def _load(self, source: Source, settings: _Settings) -> Loaded:
        started = time.perf_counter()
        path = path_of(source)
        try:
            with open_source(source) as decoder:
                views = settings.clips, settings.crops
                loaded = load_views(decoder, path, self._preprocessing, *views, use=self._use_of(path))
                return replace(loaded, seconds=time.perf_counter() - started)
        except (VideoError, OSError, MemoryError) as error:
            return Loaded(path, error=why_unreadable(error), seconds=time.perf_counter() - started)

    def _use_of(self, path: str | None) -> Use | None:
        if path is None or self._known is None:
            return None
        return self._known.uses_of([Sample(path, {})])[0]

    def _predict(self, loaded: Loaded, settings: _Settings) -> Result:
        views = (settings.clips, settings.crops)
        if loaded.views is None:
            return loaded.result({}, self.model, views, settings.top)
        started = time.perf_counter()
        with self._evaluating() as model, autocast(self.device, self._dtype):
            video, mask = loaded.views.video.to(next(self.model.parameters()).dtype), loaded.views.frame_mask
            logits = predict_views(
                model, video, mask, frames=loaded.views.indices, views_per_forward=settings.views_per_forward
            )
        return loaded.result(logits, self.model, views, settings.top, time.perf_counter() - started)


@dataclass(frozen=True)
class _Settings:
    """How each video is predicted: its views, how many of them share a forward pass, and the classes that are shown."""

    clips: int
    crops: int
    top: int
    views_per_forward: int

    @classmethod
    def of(cls, views: str | tuple[int, int], top: int, batch_size: int) -> _Settings:
        if batch_size < 1 or top < 1:
            raise ConfigError(f"batch_size={batch_size} and top={top} must be at least 1")
        return cls(*parse_views(views), top, batch_size)


def _several(videos: Any) -> Iterable[Source]:
    """`videos`, if it is an iterable of videos; the bytes of a file and the number of a camera are not."""
    if not isinstance(videos, Iterable) or isinstance(videos, bytes | bytearray | memoryview | io.IOBase):
        raise no_video(videos)
    return videos


def _flattened(videos: Iterable[Source]) -> Iterator[Source]:
    """The videos, and those of a folder or a pattern in its place."""
    for video in videos:
        found = find_videos(video) if isinstance(video, str | os.PathLike) else None
        yield from [video] if found is None else found
