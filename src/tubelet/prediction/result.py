"""The prediction of one video: its classes, and how it is printed, stored and shown in a notebook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.config.operating_point import UNFITTED, UNKNOWN, OperatingPoint
from tubelet.errors import ConfigError, VideoError
from tubelet.model import ViViT
from tubelet.prediction.html import error_html, prediction_html
from tubelet.provenance import Use
from tubelet.video import open_video
from tubelet.video.clip import damage_in_words
from tubelet.video.still import thumbnails

TOP = 5
"""Classes that are shown."""

IN_MEMORY = "frames in memory"
"""Name of a video without a path."""


@dataclass(frozen=True, eq=False, repr=False)
class HeadResult:
    """The prediction of one head of the model.

    Attributes:
        name: of the head; `label` where the model has one.
        classes: names of its K classes.
        logits: float64 [K], averaged over the views.
        multi_label: whether several classes, or none, may be shown at once.
        point: how probabilities become labels; None takes the best class, or, multi-label, those from 0.5 on.
    """

    name: str
    classes: tuple[str, ...]
    logits: Float[Tensor, "K"]
    multi_label: bool = False
    point: OperatingPoint | None = None

    @cached_property
    def probabilities(self) -> Float[Tensor, "K"]:
        """In the order of `classes`: softmax of the logits (after the temperature, if one was fitted); sigmoids in a
        multi-label head."""
        if self.multi_label:
            return self.logits.sigmoid()
        return (self.logits if self.point is None else self.logits / self.point.temperature).softmax(dim=0)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Of a multi-label head: the probability from which on each class is reported."""
        fitted = None if self.point is None else self.point.thresholds
        return fitted or (UNFITTED,) * len(self.classes)

    @property
    def labels(self) -> tuple[str, ...]:
        """All classes that are reported, most probable first: one, or none where the prediction is `unknown`; of a
        multi-label head, those whose probability reaches their threshold."""
        if not self.multi_label:
            return () if self.is_unknown else (self.label,)
        reached = {
            name for name, p, at in zip(self.classes, self.probabilities, self.thresholds, strict=True) if p >= at
        }
        return tuple(name for name, _ in self.top(None) if name in reached)

    @property
    def is_unknown(self) -> bool:
        """Whether a head with one class per video abstains: its best class is the background, or too improbable."""
        if self.point is None or self.multi_label:
            return False
        return self._best == self.point.background or self.probability < self.point.unknown_below

    @property
    def label(self) -> str:
        """The class with the highest logit; `unknown` where the head abstains.

        Raises:
            ConfigError: the head is multi-label.
        """
        if self.multi_label:
            raise ConfigError(f"several classes may be shown at once in the head {self.name!r}; use labels, not label")
        return UNKNOWN if self.is_unknown else self._best

    @property
    def _best(self) -> str:
        return self.classes[int(self.logits.argmax())]

    @property
    def probability(self) -> float:
        """Of the most probable class."""
        return float(self.probabilities.max())

    def top(self, count: int | None = TOP) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities, best first; None gives all."""
        order = self.logits.argsort(descending=True, stable=True)[:count].tolist()
        return [(self.classes[index], float(self.probabilities[index])) for index in order]

    def to_dict(self, top: int | None = TOP) -> dict[str, Any]:
        """JSON-ready: the best class, its probability, and the `top` classes; of a multi-label head its `labels` with
        their probabilities instead of the best class."""
        best = [{"label": name, "probability": probability} for name, probability in self.top(top)]
        if self.multi_label:
            reported = [{"label": name, "probability": probability} for name, probability in self.reported()]
            return {"labels": reported, "top": best}
        return {"label": self.label, "probability": self.probability, "top": best}

    def reported(self, count: int | None = TOP) -> list[tuple[str, float]]:
        """What is shown: of a multi-label head all `labels` with their probabilities, else the `count` best classes."""
        if not self.multi_label:
            return self.top(count)
        labels = set(self.labels)
        return [pair for pair in self.top(None) if pair[0] in labels]

    def in_words(self, top: int) -> str:
        """The `top` classes with their probabilities on one line; of a multi-label head all that are reported."""
        listed = ", ".join(f"{label} {probability:.1%}" for label, probability in self.reported(top))
        if self.is_unknown:
            return f"{UNKNOWN} ({listed})"
        if not listed:
            return f"none of the classes (most probable: {self._best} {self.probability:.1%})"
        return listed

    def __repr__(self) -> str:
        if self.multi_label:
            return f"HeadResult({self.name}={list(self.labels)!r}, {len(self.classes)} classes)"
        return f"HeadResult({self.name}={self.label!r}, {self.probability:.1%}, {len(self.classes)} classes)"


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The prediction of one video.

    With a single head, `label`, `probability`, `probabilities`, `logits` and `top` are that head's. With several, use
    `heads`: `result.heads["verb"].label`.

    Attributes:
        path: the file; None for frames that came without one.
        heads: predictions by head name; empty if the video could not be read.
        error: why it could not be read; None if all went well.
        views: (clips, crops): the logits are the mean over clips x crops views.
        indices: the frames of the video that were used, by their numbers in the file, ascending; of a `Clip`, in its
            order, those of `Clip.indices` that were used.
        timestamps: float64, when these are shown, seconds from the start of the file; None for frames without a clock.
        seconds: that reading and predicting took.
        shown: how many classes `str`, `to_dict` and notebooks show.
        thumbnails: a few of the frames that the model saw, small, uint8 [n, 3, h, w]: of a video that was in memory;
            those of a file are read from it again.
        use: what the model, or one that it was started from, did with the video: `learned`, `chose` (the weights, as
            validation) or `held_out`; None for a new video, or where that is not known.
        damaged: those of `indices` that are known to be damaged; see `tubelet.Clip.damaged`.
        resampled: whether the frames were chosen by their timestamps, as the video has another frame rate than the
            model.
    """

    path: str | None
    heads: Mapping[str, HeadResult] = field(default_factory=dict)
    error: str | None = None
    views: tuple[int, int] = (1, 1)
    indices: tuple[int, ...] = ()
    timestamps: tuple[float, ...] | None = None
    seconds: float = 0.0
    shown: int = TOP
    thumbnails: Tensor | None = None
    use: Use | None = None
    damaged: tuple[int, ...] = ()
    resampled: bool = False

    @property
    def ok(self) -> bool:
        """Whether there is a prediction."""
        return self.error is None

    @property
    def label(self) -> str:
        """The most probable class; `unknown` where the model abstains. An error for a multi-label head."""
        return self._head.label

    @property
    def labels(self) -> tuple[str, ...]:
        """All classes that are reported: those of a multi-label head that reach their thresholds; else one, or none."""
        return self._head.labels

    @property
    def probability(self) -> float:
        """Of the most probable class."""
        return self._head.probability

    @property
    def probabilities(self) -> Float[Tensor, "K"]:
        """float64 [K], in the order of `classes`."""
        return self._head.probabilities

    @property
    def logits(self) -> Float[Tensor, "K"]:
        """float64 [K], averaged over the views, in the order of `classes`."""
        return self._head.logits

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names."""
        return self._head.classes

    def top(self, count: int | None = None) -> list[tuple[str, float]]:
        """The `count` most probable classes with their probabilities, best first; `shown` of them by default."""
        return self._head.top(self.shown if count is None else count)

    def to_dict(self, top: int | None = None) -> dict[str, Any]:
        """JSON-ready.

        Args:
            top: classes of each head; `shown` by default.

        Returns:
            `path`, `error`, `views`, `seconds`, `frames`, `damaged`, `timestamps`, `resampled`, `use`, and for a single
            head its `label`, `probability` and `top` (a list of {"label", "probability"}, best first); for several the
            same under `heads`, by name. A multi-label head has `labels`, a list as `top`, and no `label`.
        """
        count = self.shown if top is None else top
        data: dict[str, Any] = {"path": self.path, "error": self.error}
        heads = {name: head.to_dict(count) for name, head in self.heads.items()}
        data.update(next(iter(heads.values())) if len(heads) == 1 else {"heads": heads} if heads else {})
        times = None if self.timestamps is None else [round(time, 6) for time in self.timestamps]
        return {
            **data,
            "views": f"{self.views[0]}x{self.views[1]}",
            "frames": list(self.indices),
            "damaged": list(self.damaged),
            "timestamps": times,
            "resampled": self.resampled,
            "use": self.use,
            "seconds": round(self.seconds, 6),
        }

    def to_json(self, top: int | None = None) -> str:
        """`to_dict` as one line."""
        return json.dumps(self.to_dict(top))

    def __str__(self) -> str:
        name = self._name
        if self.error is not None:
            return f"{name}: could not be read: {self.error}"
        lines = []
        for head in self.heads.values():
            best = head.in_words(self.shown)
            lines.append(f"{name}: {best}" if len(self.heads) == 1 else f"{name}: {head.name}: {best}")
        if self.damaged:
            lines.append(f"{name}: {damage_in_words(self.damaged, len(self.indices))}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Result({self.path!r}, error={self.error!r})"
        best = ", ".join(
            f"{head.name}={list(head.labels)!r}"
            if head.multi_label
            else f"{head.name}={head.label!r} ({head.probability:.1%})"
            for head in self.heads.values()
        )
        return f"Result({self.path!r}, {best}, {self.views[0]}x{self.views[1]} views, {len(self.indices)} frames)"

    def _repr_html_(self) -> str:
        if self.error is not None:
            return error_html(self._name, self.error)
        heads = {name: head.reported(self.shown) for name, head in self.heads.items()}
        return prediction_html(self._name, self._thumbnails(), heads)

    def _thumbnails(self) -> Tensor | None:
        if self.thumbnails is not None or self.path is None or not self.indices:
            return self.thumbnails
        try:
            with open_video(self.path) as decoder:
                return thumbnails(decoder, self.indices)
        except (VideoError, OSError):  # the file was moved since; the prediction is shown without it
            return None

    @property
    def _name(self) -> str:
        return self.path or IN_MEMORY

    @property
    def _head(self) -> HeadResult:
        if self.error is not None:
            raise VideoError(self._name, f"there is no prediction: {self.error}")
        return single_head(self.heads, "result")


def single_head(heads: Mapping[str, HeadResult], name: str) -> HeadResult:
    """The only head.

    Args:
        heads: by name.
        name: of the variable that has them, for the error.

    Raises:
        ConfigError: there are several.
    """
    if len(heads) != 1:
        raise ConfigError(f"this model has several heads ({', '.join(heads)}); use {name}.heads[{next(iter(heads))!r}]")
    return next(iter(heads.values()))


def class_names(labels: Mapping[str, list[str]] | None, sizes: Mapping[str, int]) -> dict[str, list[str]]:
    """The class names of each head; numbers where `labels` is None.

    Args:
        labels: of a model, by head.
        sizes: classes of each head.
    """
    return {
        head: list(labels[head]) if labels is not None else [f"class {index}" for index in range(size)]
        for head, size in sizes.items()
    }


def head_results(logits: Mapping[str, Tensor], model: ViViT) -> dict[str, HeadResult]:
    """Logits by head as the predictions of a model; classes are numbers where it has no labels."""
    results = {}
    names = class_names(model.labels, {head: len(values) for head, values in logits.items()})
    several, points = model.config.multi_label, model.operating_points
    for head, values in logits.items():
        with torch.inference_mode(False):  # a plain tensor, also inside the caller's inference mode
            own = values.to(torch.float64, copy=True)
            results[head] = HeadResult(head, tuple(names[head]), own, head in several, points.get(head))
    return results
