"""Predicting a stream window by window. The window slides, and tubelets that windows share are encoded once.

    frames      0 1 2 3 4 5 6 7 8 9 ...
    tubelets    [ a ][ b ][ c ][ d ][ e ]        each through the spatial encoder once
    decision 0  [ a    b    c ]                  temporal encoder over a b c
    decision 1       [ b    c    d ]             temporal encoder over b c d
    decision 2            [ c    d    e ]

That is exact for factorised encoders alone (see `tubelet.evaluation.tubelets`). The other models compute every window
from its frames.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Hashable, Iterator

import torch
from torch import Tensor, nn

from tubelet.device import Precision, autocast, resolve_precision
from tubelet.errors import ConfigError, VideoError
from tubelet.evaluation.tubelets import Tubelet, encode_tubelets, shares_tubelets, tubelets_of_clip
from tubelet.exported import ExportedViViT
from tubelet.fast import Evaluating
from tubelet.given_model import logits_by_head
from tubelet.model import ViViT
from tubelet.prediction.decision import Decision
from tubelet.prediction.interruptions import Interruptions
from tubelet.prediction.live_source import LiveFrames, LiveSettings
from tubelet.prediction.open_stream import open_stream
from tubelet.prediction.ready import ready
from tubelet.prediction.result import TOP, head_results
from tubelet.prediction.smoothing import Smoother
from tubelet.prediction.stream_source import Frame, FrameSource, StreamSource
from tubelet.prediction.window import Window
from tubelet.video import Preprocessing, clip_indices
from tubelet.video.protocol import Closing

TUBELETS_PER_FORWARD = 64

LARGEST_DELAY = 2.0
"""Seconds that decisions may be behind a live source; where they are more, windows are left out."""


def stream(
    model: nn.Module | str | os.PathLike[str],
    source: StreamSource,
    *,
    hop: int | None = None,
    frame_stride: int | None = None,
    frame_rate: float | None = None,
    smoothing: str | None = None,
    resample: bool = True,
    reconnect: int | float = 60,
    stopped: Callable[[], bool] | None = None,
    top: int = TOP,
    device: str | torch.device | None = None,
    precision: Precision = "float32",
) -> Stream:
    """Classify a stream, window by window.

    A window is a clip as the model was trained on, its centre crop, and slides over the video: window d starts at frame
    d * hop. With a factorised encoder each tubelet is encoded once, when its last frame has come, and a decision costs
    one run of the temporal encoder over the tubelets of its window; the result is that of encoding every window
    from its frames (1e-5 in float32), which other models do; see `Stream.reuse`.

    Args:
        model: a model, or what `tubelet.load` reads.
        source: a file or a folder of images; a `Clip` or frames uint8 [T, 3, H, W]; the number of a camera (0 is the
            first); an address (`rtsp://...`, `https://...`); or an iterable of frames uint8 [3, H, W].
        hop: frames of the video from one window to the next; by default one tubelet (frames of a tubelet times the
            stride). All windows share their tubelets where it is a multiple of that.
        frame_stride: step between the frames of a window; by default as the model was trained; where its
            frames were spread over whole videos, so that a window lasts as long as these (`Stream.why_stride`).
        frame_rate: frames per second of an iterable, which has no clock; without it its times are numbers of frames.
        smoothing: "mean:5", the mean of the probabilities over the last five decisions; "exponential:0.3", 0.3 of the
            newest and 0.7 of the average before.
        resample: sample a source of another frame rate than the model's (`PreprocessingConfig.frames_per_second`) by
            its timestamps; hop and stride then count frames at the model's rate. False takes its frames by number.
        reconnect: seconds for which a camera or live address that broke off, or ended, is tried again; 0 not at all.
        stopped: called while waiting for a live source; True ends the stream.
        top: classes that a decision shows.
        device: by default that of the model. The model is moved there.
        precision: of matrix products; `auto` is bfloat16 where that is faster.

    Returns:
        an iterator of `Decision`s. A video shorter than one window gives one, of a clip that is filled up as in
        `tubelet.predict`. Frames after the last whole window have no decision of their own.

    Raises:
        ConfigError: invalid settings, or a model without `preprocessing`.
        VideoError: the source cannot be opened; while iterating, reading fails.
        DataError: the source is no video.
    """
    model, config = ready(model, device, resample=resample)
    preprocessing = Preprocessing(config)
    window = Window.of(model.config, config, hop, frame_stride)
    if top < 1:
        raise ConfigError(f"top={top} must be at least 1")
    smoother = None if smoothing is None else Smoother(smoothing)
    precise = resolve_precision(precision, next(model.parameters()).device)
    opened = open_stream(
        source,
        preprocessing,
        frame_rate,
        LiveSettings(
            needs=lambda number: window.needs(number, None),
            capacity=window.capacity,
            reconnect=reconnect,
            stopped=stopped or (lambda: False),
        ),
    )
    return Stream(model, preprocessing, opened, window, smoother, top, precise)


class Stream(Closing, Iterator[Decision]):
    """An iterator of decisions, as `tubelet.stream` returns it; also a context manager that closes the source.

    Attributes:
        name: of the source.
        reuse: in words, what is computed once and what for every window.
        hop: frames of the video from one window to the next.
        frame_stride: step between the frames of a window.
        why_stride: in words, why `frame_stride` is this one, where it was not given and the model was trained on frames
            spread over whole videos; else empty.
        rate: frames per second at which the source is sampled by its timestamps; None if by the numbers of its frames.
        encoded: tubelets that went through the spatial encoder so far; windows, for models that do not share tubelets.
    """

    def __init__(
        self,
        model: ViViT,
        preprocessing: Preprocessing,
        source: FrameSource,
        window: Window,
        smoother: Smoother | None,
        top: int,
        dtype: torch.dtype,
    ) -> None:
        self.name = source.name
        self.hop = window.hop
        self.frame_stride, self.why_stride = window.stride, window.why
        self.rate = source.rate
        self.encoded = 0
        self.reuse = (
            "every tubelet is encoded once"
            if shares_tubelets(model)
            else f"every window is computed from its frames: {_why_not_shared(model)}"
        )
        self._model, self._source, self._window = model, source, window
        self._evaluating = Evaluating(model)
        self._preprocessing = preprocessing
        self._smoother, self._top, self._dtype = smoother, top, dtype
        weights = next(model.parameters())
        self._device, self._weights = weights.device, weights.dtype
        self._frames: dict[int, Frame] = {}
        self._vectors: dict[Hashable, Tensor] = {}
        self._start = self._read = self._count = 0
        self._last_time: float | None = None
        self._ended = False
        self._finalizer = weakref.finalize(self, source.close)

    def __next__(self) -> Decision:
        decision = None
        if not self._ended:
            self._ended = True  # also after an error
            decision = self._next()
        if decision is None:
            self._source.close()
            raise StopIteration
        self._ended = False
        return decision

    @property
    def interruptions(self) -> Interruptions:
        """Of a live source, so far."""
        return self._source.interruptions if isinstance(self._source, LiveFrames) else Interruptions()

    def __repr__(self) -> str:
        return f"Stream({self.name!r}, a decision every {self.hop} frames, {self.reuse})"

    def close(self) -> None:
        """Close the file or camera."""
        self._ended = True
        self._finalizer()

    # --- windows ---------------------------------------------------------------------------------------------------

    def _next(self) -> Decision | None:
        """The decision about the next window; None if there is none."""
        total = self._source.total
        while total is None or total >= self._window.span:
            self._catch_up()
            numbers = self._window.frames(self._start)
            first = max(self._read, self._start)
            self._take([n for n in range(first, numbers[-1] + 1) if self._window.needs(n, self._source.total)])
            self._read = numbers[-1] + 1
            total = self._source.total
            if all(number in self._frames for number in numbers):
                decision = self._decision(numbers, [True] * len(numbers))
                self._forget(before=self._start + self.hop)
                return decision
            if not self._has_come(numbers[-1]):
                break
            self._forget(before=self._start + self.hop)  # some were dropped
        if not self._count and total is not None:
            return self._short_decision()
        return None

    def _has_come(self, number: int) -> bool:
        return isinstance(self._source, LiveFrames) and (self._source.newest() or (-1,))[0] >= number

    def _catch_up(self) -> None:
        """Continue with the newest window of a live source, where the model is too far behind."""
        newest = self._source.newest() if isinstance(self._source, LiveFrames) else None
        if newest is None or self._last_time is None or newest[1] - self._last_time < LARGEST_DELAY:
            return
        windows = (newest[0] - self._window.span + 1) // self.hop
        if windows * self.hop > self._start:
            self._forget(before=windows * self.hop)

    def _short_decision(self) -> Decision:
        """The one decision about a video that is shorter than a window."""
        total = self._source.total
        if not total:
            raise VideoError(self.name, "has no frames")
        config = self._preprocessing.config
        numbers, real = clip_indices(0, self._window.length, self._window.stride, total, config.short_clips)
        self._take(sorted(set(numbers) - set(self._frames)))
        return self._decision(numbers, real)

    def _take(self, numbers: list[int]) -> None:
        for frame in self._source.take(numbers):
            pixels = self._preprocessing.spatial(frame.pixels[None])[0, 0].to(self._weights)
            self._frames[frame.number] = frame._replace(pixels=pixels)
            self._last_time = frame.time

    def _forget(self, before: int) -> None:
        """Continue with the window that starts there, and free what no window from there on holds."""
        self._start = before
        for number in [number for number in self._frames if number < before]:
            del self._frames[number]
        for name in [name for name in self._vectors if isinstance(name, Tubelet) and name.frames[0] < before]:
            del self._vectors[name]

    # --- one window ------------------------------------------------------------------------------------------------

    def _decision(self, numbers: list[int], real: list[bool]) -> Decision:
        mask = None if all(real) else torch.tensor([real], device=self._device)
        forward = self._sharing if shares_tubelets(self._model) else self._from_frames
        with torch.no_grad(), self._evaluating() as model, autocast(self._device, self._dtype):
            output = forward(model, numbers, mask)
        logits = logits_by_head(self._model, output)
        heads = head_results({head: values[0].cpu().double() for head, values in logits.items()}, self._model)
        first, last = self._frames[min(numbers)], self._frames[max(numbers)]
        decision = Decision(
            number=self._count,
            start=first.time,
            end=last.time,
            frames=(first.in_source, last.in_source),
            heads=heads,
            shown=self._top,
        )
        self._count += 1
        return decision if self._smoother is None else self._smoother(decision)

    def _sharing(self, model: ViViT, numbers: list[int], mask: Tensor | None) -> Tensor | dict[str, Tensor]:
        plan = tubelets_of_clip(model.config, len(numbers))
        tubelets = [Tubelet(tuple(numbers[at] for at in inside.frames), inside.place) for inside in plan]
        new: dict[Hashable, tuple[Tensor, int]] = {
            tubelet: (torch.stack([self._frames[frame].pixels for frame in tubelet.frames]), tubelet.place)
            for tubelet in tubelets
            if tubelet not in self._vectors
        }
        self.encoded += len(new)
        self._vectors.update(encode_tubelets(model, new, TUBELETS_PER_FORWARD))
        sequence = torch.stack([self._vectors[tubelet] for tubelet in tubelets])[None]
        return model.forward_times(sequence, None if mask is None else model.time_mask(mask))

    def _from_frames(self, model: ViViT, numbers: list[int], mask: Tensor | None) -> Tensor | dict[str, Tensor]:
        self.encoded += 1
        video = torch.stack([self._frames[number].pixels for number in numbers])[None]
        return model(video.to(self._device), mask)


def _why_not_shared(model: ViViT) -> str:
    if isinstance(model, ExportedViViT):
        return "an exported model takes whole clips, unless it was exported with parts"
    return f"{model.config.variant} mixes times from its first block on"
