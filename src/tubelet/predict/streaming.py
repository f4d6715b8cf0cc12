"""One decision after the other about a video that goes on: a window that slides, and nothing computed twice.

    frames      0 1 2 3 4 5 6 7 8 9 ...
    tubelets    [ a ][ b ][ c ][ d ][ e ]        each through the spatial encoder once
    decision 0  [ a    b    c ]                  temporal encoder over a b c
    decision 1       [ b    c    d ]             temporal encoder over b c d
    decision 2            [ c    d    e ]

That is exact for factorised encoders alone (`tubelet.evaluate.tubelets` says why). The other models look at every
window anew.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Hashable, Iterator
from types import TracebackType

import torch
from torch import Tensor, nn

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.errors import ConfigError, VideoError
from tubelet.evaluate import autocast, resolve_precision
from tubelet.evaluate.device import Precision
from tubelet.evaluate.tubelets import Tubelet, encode_tubelets, shares_tubelets, tubelets_of_clip
from tubelet.fast import Evaluating
from tubelet.model import ViViT, logits_by_head
from tubelet.predict.decision import Decision
from tubelet.predict.ready import ready
from tubelet.predict.result import TOP, HeadResult, head_results
from tubelet.predict.smoothing import Smoother
from tubelet.predict.stream_source import FrameSource, StreamSource, open_stream
from tubelet.video import Preprocessing, clip_indices

TUBELETS_PER_FORWARD = 64


def stream(
    model: nn.Module | str | os.PathLike[str],
    source: StreamSource,
    *,
    hop: int | None = None,
    frame_stride: int | None = None,
    frame_rate: float | None = None,
    smoothing: str | None = None,
    top: int = TOP,
    device: str | torch.device | None = None,
    precision: Precision = "float32",
) -> Stream:
    """Say again and again what is in a video that goes on.

    A window is a clip as the model was trained on, its centre crop, and slides over the video: window d starts at frame
    d * hop. With a factorised encoder each tubelet is encoded once, when its last frame has come, and a decision costs
    one run of the temporal encoder over the tubelets of its window; the result is that of encoding every window anew
    (1e-5 in float32). Other models do encode every window anew; `Stream.reuse` says which it is.

    Args:
        model: a model, or what `tubelet.load` reads.
        source: a file or a folder of images; a `Clip` or frames uint8 [T, 3, H, W]; the number of a camera (0 is the
            first); an address (`rtsp://...`, `https://...`); or an iterable of frames uint8 [3, H, W].
        hop: frames of the video from one window to the next; by default one tubelet (frames of a tubelet times the
            stride). All windows share their tubelets where it is a multiple of that.
        frame_stride: every how many frames of the video one is taken; by default as the model was trained; where its
            frames were spread over whole videos, so that a window lasts as long as these (`Stream.why_stride`). For
            cameras of another frame rate than the training videos.
        frame_rate: frames per second of an iterable, which has no clock; without it its times are numbers of frames.
        smoothing: "mean:5", the mean of the probabilities over the last five decisions; "exponential:0.3", 0.3 of the
            newest and 0.7 of the average before.
        top: classes that a decision shows.
        device: where to; by default where the model is.
        precision: of matrix products; `auto` is bfloat16 where that is faster.

    Returns:
        an iterator of `Decision`s. A video shorter than one window gives one, of a clip that is filled up as in
        `tubelet.predict`. Frames after the last whole window have no decision of their own.

    Raises:
        ConfigError: settings that cannot be meant, or a model that does not say how to preprocess.
        VideoError: the source cannot be opened; while iterating, that it cannot be read on.
        DataError: the source is no video.
    """
    model, preprocessing = ready(model, device)
    window = _Window.of(model.config, preprocessing, hop, frame_stride)
    if top < 1:
        raise ConfigError(f"top={top} must be at least 1")
    smoother = None if smoothing is None else Smoother(smoothing)
    precise = resolve_precision(precision, next(model.parameters()).device)
    opened = open_stream(source, Preprocessing(preprocessing), frame_rate)
    return Stream(model, opened, window, smoother, top, precise)


class Stream(Iterator[Decision]):
    """Decisions, made as they are asked for. Made by `tubelet.stream`; also a context manager that closes the source.

    Attributes:
        name: of the source.
        reuse: in words, what is computed once and what again.
        hop: frames of the video from one window to the next.
        frame_stride: every how many frames of the video one is taken.
        why_stride: why it is this one, in words, where it was chosen here: nobody gave it, and the model was trained on
            frames that were spread over whole videos; else empty.
        encoded: how many tubelets went through the spatial encoder so far; windows, for models that look at each anew.
    """

    def __init__(
        self,
        model: ViViT,
        source: FrameSource,
        window: _Window,
        smoother: Smoother | None,
        top: int,
        dtype: torch.dtype,
    ) -> None:
        assert model.preprocessing is not None
        self.name = source.name
        self.hop = window.hop
        self.frame_stride, self.why_stride = window.stride, window.why
        self.encoded = 0
        self.reuse = (
            "every tubelet is encoded once"
            if shares_tubelets(model.config)
            else f"every window is computed anew: {model.config.variant} mixes times from its first block on"
        )
        self._model, self._source, self._window = model, source, window
        self._evaluating = Evaluating(model)
        self._preprocessing = Preprocessing(model.preprocessing)
        self._smoother, self._top, self._dtype = smoother, top, dtype
        weights = next(model.parameters())
        self._device, self._weights = weights.device, weights.dtype
        self._pixels: dict[int, Tensor] = {}
        self._times: dict[int, float] = {}
        self._vectors: dict[Hashable, Tensor] = {}
        self._decisions = self._decide()

    def __next__(self) -> Decision:
        return next(self._decisions)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Stream({self.name!r}, a decision every {self.hop} frames, {self.reuse})"

    def close(self) -> None:
        """Give back the file or camera."""
        self._decisions.close()
        self._source.close()

    # --- windows ---------------------------------------------------------------------------------------------------

    def _decide(self) -> Generator[Decision, None, None]:
        number, read = 0, 0
        while self._is_long_enough():
            start = number * self.hop
            numbers = self._window.frames(start)
            self._take([n for n in range(read, numbers[-1] + 1) if self._window.needs(n, self._source.total)])
            read = numbers[-1] + 1
            if numbers[-1] not in self._pixels:
                break
            yield self._decision(number, numbers, [True] * len(numbers))
            number += 1
            self._forget(before=number * self.hop)
        if not number:
            yield self._short_decision()
        self._source.close()

    def _is_long_enough(self) -> bool:
        total = self._source.total
        return total is None or total >= self._window.span

    def _short_decision(self) -> Decision:
        """The one decision about a video that is shorter than a window."""
        total = self._source.total
        if not total:
            raise VideoError(self.name, "has no frames")
        config = self._preprocessing.config
        numbers, real = clip_indices(0, self._window.length, self._window.stride, total, config.short_clips)
        self._take(sorted(set(numbers) - set(self._pixels)))
        return self._decision(0, numbers, real)

    def _take(self, numbers: list[int]) -> None:
        for frame in self._source.take(numbers):
            self._pixels[frame.number] = self._preprocessing.spatial(frame.pixels[None])[0, 0].to(self._weights)
            self._times[frame.number] = frame.time

    def _forget(self, before: int) -> None:
        """Let go of what no later window holds."""
        for number in [number for number in self._pixels if number < before]:
            del self._pixels[number], self._times[number]
        for name in [name for name in self._vectors if isinstance(name, Tubelet) and name.frames[0] < before]:
            del self._vectors[name]

    # --- one window ------------------------------------------------------------------------------------------------

    def _decision(self, number: int, numbers: list[int], real: list[bool]) -> Decision:
        mask = None if all(real) else torch.tensor([real], device=self._device)
        look = self._sharing if shares_tubelets(self._model.config) else self._anew
        with torch.no_grad(), self._evaluating() as model, autocast(self._device, self._dtype):
            said = look(model, numbers, mask)
        logits = logits_by_head(self._model, said)
        heads = head_results({head: values[0].cpu().double() for head, values in logits.items()}, self._model.labels)
        first, last = min(numbers), max(numbers)
        return Decision(
            number=number,
            start=self._times[first],
            end=self._times[last],
            frames=(self._source.number_in_source(first), self._source.number_in_source(last)),
            heads=heads if self._smoother is None else _smoothed(heads, self._smoother),
            shown=self._top,
        )

    def _sharing(self, model: ViViT, numbers: list[int], mask: Tensor | None) -> Tensor | dict[str, Tensor]:
        plan = tubelets_of_clip(model.config, len(numbers))
        tubelets = [Tubelet(tuple(numbers[at] for at in inside.frames), inside.place) for inside in plan]
        new: dict[Hashable, tuple[Tensor, int]] = {
            tubelet: (torch.stack([self._pixels[frame] for frame in tubelet.frames]), tubelet.place)
            for tubelet in tubelets
            if tubelet not in self._vectors
        }
        self.encoded += len(new)
        self._vectors.update(encode_tubelets(model, new, TUBELETS_PER_FORWARD))
        sequence = torch.stack([self._vectors[tubelet] for tubelet in tubelets])[None]
        times = None if mask is None else model.embedding.token_mask(mask)
        return model.forward_head(model.encode_times(sequence, times), mask)

    def _anew(self, model: ViViT, numbers: list[int], mask: Tensor | None) -> Tensor | dict[str, Tensor]:
        self.encoded += 1
        video = torch.stack([self._pixels[number] for number in numbers])[None]
        return model(video.to(self._device), mask)


class _Window:
    """Which frames the windows hold.

    Attributes:
        length: frames of a window.
        stride: every how many frames of the video one is taken.
        hop: from one window to the next.
        why: this stride was chosen, in words, where nobody gave it and the model was not trained with one.
    """

    def __init__(self, length: int, stride: int, hop: int, why: str) -> None:
        self.length, self.stride, self.hop, self.why = length, stride, hop, why
        self.span = (length - 1) * stride + 1

    @classmethod
    def of(
        cls, model: ModelConfig, preprocessing: PreprocessingConfig, hop: int | None, frame_stride: int | None
    ) -> _Window:
        """As asked for, or as the model was trained.

        Raises:
            ConfigError: frames spread over a whole video, which a stream is not, or numbers that cannot be meant.
        """
        why = ""
        if frame_stride is None and preprocessing.sampling == "uniform":
            frame_stride, why = _stride_of_training(preprocessing)
        stride = preprocessing.frame_stride if frame_stride is None else frame_stride
        hop = model.tubelet_size[0] * stride if hop is None else hop
        if stride < 1 or hop < 1:
            raise ConfigError(f"frame_stride={stride} and hop={hop} must be at least 1")
        return cls(preprocessing.num_frames, stride, hop, why)

    def frames(self, start: int) -> list[int]:
        """Numbers of the frames of the window that starts there."""
        return [start + step * self.stride for step in range(self.length)]

    def needs(self, number: int, total: int | None) -> bool:
        """Whether some window holds this frame. Before the length of a video is known, a first window that turns out
        to be too long for it may need any of its frames."""
        if total is None and number < self.span:
            return True
        first = max(0, number - (self.length - 1) * self.stride)
        return any(place % self.hop == 0 for place in range(number, first - 1, -self.stride))


def _stride_of_training(preprocessing: PreprocessingConfig) -> tuple[int, str]:
    """The stride by which a window lasts as long as the training videos, over which clips were spread, and why.

    Raises:
        ConfigError: nobody knows how long these were.
    """
    median, count = preprocessing.median_frames, preprocessing.num_frames
    if median is None:
        raise ConfigError(
            "this model was trained on frames spread over whole videos (sampling='uniform'), and does not say how long "
            "these were; say every how many frames of the stream one is taken: --frame-stride 4 on the command line, "
            f"frame_stride=4 in Python (frames of a training video / {count})"
        )
    stride = max(1, round(median / count))
    return stride, (
        f"one frame in {stride} is taken (--frame-stride {stride}), so that a window lasts as long as a training video "
        f"(median {median} frames, of which the model sees {count})"
    )


def _smoothed(heads: dict[str, HeadResult], smoother: Smoother) -> dict[str, HeadResult]:
    """Averages of the probabilities, as logarithms so that softmax gives them back."""
    averages = smoother({name: head.probabilities for name, head in heads.items()})
    return {
        name: HeadResult(name, head.classes, averages[name].clamp_min(1e-300).log()) for name, head in heads.items()
    }
