"""Decoding the videos of a task in guarded processes; files of object stores are fetched first."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tubelet.config import PreprocessingConfig
from tubelet.corpus.parts import Status
from tubelet.corpus.sources import Video
from tubelet.corpus.store import file_system
from tubelet.data import Sample
from tubelet.data.known import KnownVideos
from tubelet.errors import DecoderCrashError, DecoderTimeoutError, VideoError
from tubelet.provenance import Provenance
from tubelet.text import address_without_password
from tubelet.video import Preprocessing, open_video
from tubelet.video.clip import why_unreadable
from tubelet.video.guarded import Bounds, GuardedPool
from tubelet.video.live import is_address

ATTEMPTS = 2
"""After so many decoders that died on it, a video is `crashed`."""

FETCHES = 3
"""Attempts to fetch a file of an object store; one that is not there is asked for once."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """The views of a video, or why there are none.

    Attributes:
        views: float32 [V, T, C, H, W]; None if there are none.
        frame_mask: bool [V, T], True where a frame is real; None where all are.
        status: `ok`, or what went wrong.
        reason: in words.
        use: see `Row`.
        seconds: that it took.
    """

    views: Tensor | None = None
    frame_mask: Tensor | None = None
    status: Status = "ok"
    reason: str | None = None
    use: str | None = None
    seconds: float = 0.0


def decode_views(
    path: str, config: PreprocessingConfig, clips: int, crops: int, start: float | None, end: float | None
) -> dict[str, Any]:
    """In a guarded process: the views of a video."""
    with open_video(path, threads=1) as decoder:
        views = Preprocessing(config).views(decoder, clips, crops, start, end)
    return {"video": views.video, "frame_mask": views.frame_mask}


class GuardedDecoder:
    """Decodes videos in guarded processes. Several threads may call at once.

    Args:
        config: how they are preprocessed.
        views: (clips, crops).
        seconds: that a video may take.
        processes: how many.
        provenance: of the model, to say what it learned from.
    """

    def __init__(
        self,
        config: PreprocessingConfig,
        views: tuple[int, int],
        seconds: float,
        processes: int = 1,
        provenance: Provenance | None = None,
    ) -> None:
        self._config, self._views = config, views
        self._known = None if provenance is None else KnownVideos(provenance.videos)
        bounds = Bounds(seconds=seconds, cpu_seconds=seconds)
        self._pool = GuardedPool(processes, bounds, preload=(__name__,))

    def __call__(self, video: Video) -> Decoded:
        """Decode a video. Whatever is wrong with it is in the result.

        Raises:
            WorkerError: no process can be started.
        """
        started = time.perf_counter()
        status: Status
        try:
            with _local_file(video.path) as path:
                answer = self._decode(path, video)
                use = None if self._known is None else self._known.uses_of([_sample(path, video)])[0]
            return Decoded(answer["video"], answer["frame_mask"], use=use, seconds=time.perf_counter() - started)
        except DecoderCrashError as error:
            status, reason = "crashed", error.reason
        except DecoderTimeoutError as error:
            status, reason = "timed_out", error.reason
        except (VideoError, OSError, MemoryError) as error:
            status, reason = "unreadable", why_unreadable(error)
        return Decoded(status=status, reason=reason, seconds=time.perf_counter() - started)

    def _decode(self, path: str, video: Video) -> dict[str, Any]:
        for attempt in range(ATTEMPTS):
            try:
                return self._pool.call(decode_views, path, self._config, *self._views, video.start, video.end)
            except DecoderCrashError:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError

    def close(self) -> None:
        """End the processes."""
        self._pool.close()


def _sample(path: str, video: Video) -> Sample:
    return Sample(path, {}, video.start, video.end)


@contextmanager
def _local_file(path: str) -> Iterator[str]:
    """A path that can be opened: of an object store's file, a copy that is removed afterwards."""
    if not is_address(path):
        yield path
        return
    files, inside = file_system(path)
    with tempfile.TemporaryDirectory(prefix="tubelet-") as folder:
        copy = os.path.join(folder, f"video{os.path.splitext(inside)[1]}")
        for attempt in range(FETCHES):
            try:
                files.get_file(inside, copy)
                break
            except FileNotFoundError:
                raise VideoError(path, "does not exist in the object store") from None
            except Exception as error:  # each store has its own
                if attempt == FETCHES - 1:
                    words = address_without_password(" ".join(str(error).split())[:300])
                    raise VideoError(path, f"cannot be fetched: {type(error).__name__}: {words}") from error
                time.sleep(2.0**attempt)
        yield copy
