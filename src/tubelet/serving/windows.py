"""Streams whose frames come from elsewhere, and whose windows the model's thread computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from tubelet.prediction.decision import Decision
from tubelet.prediction.result import TOP
from tubelet.prediction.smoothing import Smoother
from tubelet.prediction.stream_source import Frame, FrameSource, PulledFrames
from tubelet.prediction.streaming import Stream
from tubelet.prediction.window import Window
from tubelet.serving.model_thread import ModelThread
from tubelet.serving.served import ServedModel
from tubelet.video import Preprocessing
from tubelet.video.guarded import Session


class GuardedFrames:
    """Frames of a video that a guarded process decodes (`tubelet.serving.tasks.frames`).

    Args:
        session: with that process, which has opened the video.
        name: of the video.
    """

    def __init__(self, session: Session, name: str) -> None:
        self._session, self.name = session, name
        self.rate: float | None = session.value["rate"]
        self._total: int | None = session.value["total"]

    @property
    def total(self) -> int | None:
        """How many frames there are; decoding may find that there are fewer."""
        return self._total

    def take(self, numbers: Sequence[int]) -> list[Frame]:
        """See `FrameSource`."""
        answer: dict[str, Any] = self._session.send(list(numbers))
        self._total = answer["total"]
        return [Frame(**frame) for frame in answer["frames"]]

    def close(self) -> None:
        """End the conversation."""
        self._session.end()


def sent_frames(frames: Iterable[tuple[float, Callable[[], Tensor]]], model: ServedModel) -> PulledFrames:
    """Frames that a client sends with their times, in seconds; their pixels are uint8 [3, h, w]."""
    preprocessing = Preprocessing(model.preprocessing)
    rate = model.preprocessing.sampling_rate
    return PulledFrames(frames, "camera", preprocessing, rate=rate)


class ServedStream(Stream):
    """A `Stream` that shares its model with requests: each decision is computed in their line.

    Args:
        model: in service.
        source: of frames.
        hop: frames from one window to the next; by default one tubelet.
        smoothing: as of `tubelet.stream`.
        top: classes that a decision shows.

    Raises:
        ConfigError: as `tubelet.stream`.
    """

    def __init__(
        self,
        model: ServedModel,
        source: FrameSource,
        *,
        hop: int | None = None,
        smoothing: str | None = None,
        top: int = TOP,
    ) -> None:
        window = Window.of(model.model.config, model.preprocessing, hop, None)
        smoother = None if smoothing is None else Smoother(smoothing)
        self._thread: ModelThread = model.thread
        dtype: torch.dtype = model.thread.dtype
        super().__init__(model.model, Preprocessing(model.preprocessing), source, window, smoother, top, dtype)

    def _decision(self, numbers: list[int], real: list[bool]) -> Decision:
        before = self.encoded
        decision = self._thread.run(lambda: super(ServedStream, self)._decision(numbers, real)).result()
        self._thread.metrics.count("tubelet_stream_decisions_total")
        self._thread.metrics.count("tubelet_stream_encoded_total", self.encoded - before)
        return decision
