"""The frames of the windows that slide over a stream."""

from __future__ import annotations

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.errors import ConfigError

SPARE_FRAMES = 128
"""Frames of a live source that wait for the model besides those of a window: two seconds at 60 frames a second."""


class Window:
    """Windows of equal length, at equal distances.

    Attributes:
        length: frames of a window.
        stride: step between the frames of a window.
        hop: from one window to the next.
        why: the reason for the stride, in words, where it was derived from the training videos; else empty.
        span: frames from its first to its last.
        capacity: frames of a live source that are held for it, so that the newest window can always be had.
    """

    def __init__(self, length: int, stride: int, hop: int, why: str) -> None:
        self.length, self.stride, self.hop, self.why = length, stride, hop, why
        self.span = (length - 1) * stride + 1
        self.capacity = self.span + hop + SPARE_FRAMES

    @classmethod
    def of(
        cls, model: ModelConfig, preprocessing: PreprocessingConfig, hop: int | None, frame_stride: int | None
    ) -> Window:
        """With hop and stride as given, or else as the model was trained.

        Raises:
            ConfigError: a hop or stride below 1, or the model's sampling is uniform and its training videos had an
                unknown length.
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
        """Whether a window holds this frame. While `total` is unknown, all frames of the first window count: a video
        that is shorter is one clip of them all."""
        if total is None and number < self.span:
            return True
        first = max(0, number - (self.length - 1) * self.stride)
        return any(start % self.hop == 0 for start in range(number, first - 1, -self.stride))


def _stride_of_training(preprocessing: PreprocessingConfig) -> tuple[int, str]:
    """The stride by which a window lasts as long as the training videos, over which clips were spread, and why.

    Raises:
        ConfigError: their length is unknown.
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
