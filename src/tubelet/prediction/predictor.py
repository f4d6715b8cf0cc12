"""A model that is loaded once and asked about as many videos as you like.

Videos are decoded in a thread while the model works on the one before. Every video has forward passes of its own, so
that its prediction does not depend on what else is predicted (see `tubelet.evaluate`).
"""

from __future__ import annotations

import io
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from tubelet.data import Sample
from tubelet.data.known import KnownVideos
from tubelet.device import Precision, autocast, resolve_precision
from tubelet.errors import ConfigError, VideoError
from tubelet.evaluation import parse_views
from tubelet.evaluation.averaging import VIEWS_PER_FORWARD, predict_views
from tubelet.fast import Evaluating
from tubelet.prediction.html import thumbnails_of
from tubelet.prediction.ready import ready
from tubelet.prediction.result import TOP, Result, head_results
from tubelet.prediction.sources import (
    ClipDecoder,
    Source,
    find_videos,
    no_video,
    numbers_in_source,
    open_source,
    path_of,
)
from tubelet.provenance import Use
from tubelet.video import Clip, Decoder, Preprocessing, Views
from tubelet.video.clip import why_unreadable

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
    """Say what is in a video, or in several.

    Args:
        model: a model, or what `tubelet.load` reads: a run, a model folder, a Hub id.
        videos: a file, a `Clip`, frames uint8 [T, 3, H, W] (a numpy array may be [T, H, W, 3]), or a list of such; a
            folder or a pattern (`clips/*.mp4`) stands for all its videos.
        views: "4x3" (4 clips in time, 3 crops in space), or (clips, crops). Their logits are averaged.
        top: classes that the result shows.
        device: where to; by default where the model is. The model is moved there.
        precision: of matrix products; `auto` is bfloat16 where that is faster.
        batch_size: views of a video that go through the model at once.
        resample: sample videos of another frame rate than the model's (`PreprocessingConfig.frames_per_second`) by
            their timestamps; False takes their frames by number.

    Returns:
        one `Result` for one video, a list of them for a list, a folder or a pattern. A video that cannot be read has
        its reason in `Result.error` and does not stop the others.

    Raises:
        ConfigError: the model does not say how to preprocess, or views that do not exist.
        DataError: something that is no video, or a folder without any.
        VideoError: the one video that was given cannot be read.
    """
    predictor = Predictor(model, device=device, precision=precision, resample=resample)
    return predictor(videos, views=views, top=top, batch_size=batch_size)


class Predictor:
    """A model ready to predict.

    Args:
        model: a model, or what `tubelet.load` reads.
        device: where to; by default where the model is, and `auto` for one that is loaded here.
        precision: of matrix products; `auto` is bfloat16 where that is faster.
        resample: see `tubelet.predict`.

    Attributes:
        model: as it was given, or loaded.

    Raises:
        ConfigError: the model has no classes, or does not say how to preprocess.
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
        if isinstance(videos, str | os.PathLike | Clip | Tensor | numpy.ndarray):
            found = find_videos(videos) if isinstance(videos, str | os.PathLike) else None
            if found is None:
                return self._one(videos, views, top, batch_size)
            many: list[Source] = [*found]
        else:
            many = list(_flattened(_several(videos)))
        return list(self.stream(many, views=views, top=top, batch_size=batch_size))

    def _one(self, video: Source, views: str | tuple[int, int], top: int, batch_size: int) -> Result:
        result = next(self.stream([video], views=views, top=top, batch_size=batch_size))
        if result.error is not None:
            raise VideoError(result.path or "frames in memory", result.error)
        return result

    def stream(
        self,
        videos: Iterable[Source],
        *,
        views: str | tuple[int, int] = (1, 1),
        top: int = TOP,
        batch_size: int = VIEWS_PER_FORWARD,
    ) -> Iterator[Result]:
        """Results one by one, in the order of `videos`, which may be endless: a few are looked at ahead.

        Args:
            videos: files, clips, frames. `tubelet.prediction.find_videos` lists what folders and patterns hold.
            views: see `tubelet.predict`.
            top: see `tubelet.predict`.
            batch_size: see `tubelet.predict`.
        """
        clips, crops = parse_views(views)
        if batch_size < 1 or top < 1:
            raise ConfigError(f"batch_size={batch_size} and top={top} must be at least 1")
        return self._stream(iter(videos), clips, crops, top, batch_size)

    def _stream(self, sources: Iterator[Source], clips: int, crops: int, top: int, batch_size: int) -> Iterator[Result]:
        with ThreadPoolExecutor(1, thread_name_prefix="tubelet-decode") as pool:
            ahead: deque[Future[_Loaded]] = deque(
                pool.submit(self._load, source, clips, crops) for source in islice(sources, AHEAD)
            )
            try:
                while ahead:
                    loaded = ahead.popleft().result()
                    for source in islice(sources, 1):
                        ahead.append(pool.submit(self._load, source, clips, crops))
                    yield self._predict(loaded, (clips, crops), top, batch_size)
            finally:
                for future in ahead:
                    future.cancel()

    def _load(self, source: Source, clips: int, crops: int) -> _Loaded:
        started = time.perf_counter()
        path = path_of(source)
        try:
            with open_source(source) as decoder:
                views = self._preprocessing.views(decoder, clips, crops)
                places = sorted({place for clip in views.indices for place in clip})
                times = tuple(decoder.timestamps[places].tolist()) if path is not None else None
                indices = numbers_in_source(decoder, places)
                damaged = numbers_in_source(decoder, views.damaged)
                small = _thumbnails(decoder, places)
        except (VideoError, OSError, MemoryError) as error:
            reason = why_unreadable(error)
            if isinstance(error, OSError):  # no permission, a name that is too long, a disk that fails
                reason = error.strerror or type(error).__name__
            return _Loaded(path, reason, None, (), None, None, time.perf_counter() - started)
        use = self._use_of(path)
        return _Loaded(path, None, views, indices, times, small, time.perf_counter() - started, use, damaged)

    def _use_of(self, path: str | None) -> Use | None:
        if path is None or self._known is None:
            return None
        return self._known.uses_of([Sample(path, {})])[0]

    def _predict(self, loaded: _Loaded, views: tuple[int, int], top: int, batch_size: int) -> Result:
        if loaded.views is None:
            return Result(loaded.path, error=loaded.error, views=views, seconds=loaded.seconds, shown=top)
        started = time.perf_counter()
        with self._evaluating() as model, autocast(self.device, self._dtype):
            video, mask = loaded.views.video.to(next(self.model.parameters()).dtype), loaded.views.frame_mask
            logits = predict_views(model, video, mask, frames=loaded.views.indices, views_per_forward=batch_size)
        error = None
        if not all(bool(values.isfinite().all()) for values in logits.values()):
            error = "the model's output for it is not finite"
        return Result(
            path=loaded.path,
            heads={} if error else head_results(logits, self.model.labels),
            error=error,
            views=views,
            indices=loaded.indices,
            timestamps=loaded.timestamps,
            seconds=loaded.seconds + time.perf_counter() - started,
            shown=top,
            thumbnails=loaded.thumbnails,
            resampled=loaded.views.resampled,
            use=loaded.use,
            damaged=loaded.damaged,
        )


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A video on its way to the model, or why it is not."""

    path: str | None
    error: str | None
    views: Views | None
    indices: tuple[int, ...]
    timestamps: tuple[float, ...] | None
    thumbnails: Tensor | None
    seconds: float
    use: Use | None = None
    damaged: tuple[int, ...] = ()


def _several(videos: Any) -> Iterable[Source]:
    """The videos, if it is several of them that were given; a file in memory or the number of a camera is no video."""
    if not isinstance(videos, Iterable) or isinstance(videos, bytes | bytearray | memoryview | io.IOBase):
        raise no_video(videos)
    return videos


def _flattened(videos: Iterable[Source]) -> Iterator[Source]:
    """The videos, with those of a folder or a pattern in its place."""
    for video in videos:
        found = find_videos(video) if isinstance(video, str | os.PathLike) else None
        yield from [video] if found is None else found


def _thumbnails(decoder: Decoder, places: Sequence[int]) -> Tensor | None:
    """A few of the frames that the model sees, of a video in memory; a file they are read from when they are shown."""
    return thumbnails_of(decoder, places) if isinstance(decoder, ClipDecoder) else None
