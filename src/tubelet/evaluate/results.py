"""What an evaluation gives: a prediction for every video, and the figures that follow from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tubelet.config import from_dict, to_dict
from tubelet.errors import DataError
from tubelet.evaluate.metrics import HeadMetrics, JointMetrics, compute_metrics
from tubelet.evaluate.predictions import VideoPrediction, load_predictions, save_predictions
from tubelet.weights.files import replacing

EVALUATION_FILE = "evaluation.json"


@dataclass(frozen=True)
class VideoFailure:
    """A video that could not be read."""

    path: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """Predictions for a set of videos, and their metrics.

    Attributes:
        classes: head to class names; a single head is called `label`.
        predictions: one for every video, in the order of the data; empty if only the figures were loaded.
        metrics: head to figures.
        joint: with several heads, the figures of all heads together (verb and noun: the action).
        views: (clips, crops).
        average: whether `logits` or `probabilities` were averaged over the views.
        num_videos: how many, unreadable ones included.
        failures: videos that could not be read. They count as wrong.
        seconds: the evaluation took.
    """

    classes: dict[str, list[str]]
    metrics: dict[str, HeadMetrics]
    joint: JointMetrics | None
    views: tuple[int, int]
    average: Literal["logits", "probabilities"]
    num_videos: int
    failures: tuple[VideoFailure, ...]
    seconds: float
    predictions: tuple[VideoPrediction, ...] = field(default=(), repr=False)

    @classmethod
    def of(
        cls,
        predictions: Sequence[VideoPrediction],
        classes: Mapping[str, Sequence[str]],
        *,
        views: tuple[int, int] = (1, 1),
        average: Literal["logits", "probabilities"] = "logits",
        seconds: float = 0.0,
    ) -> Evaluation:
        """The evaluation that these predictions amount to. No model is needed."""
        named = {head: list(names) for head, names in classes.items()}
        metrics, joint = compute_metrics(predictions, named)
        failures = tuple(VideoFailure(p.path, p.error or "") for p in predictions if p.logits is None)
        return cls(named, metrics, joint, views, average, len(predictions), failures, seconds, tuple(predictions))

    @property
    def top1(self) -> float:
        """Share of videos whose class has the highest logit; with several heads, the mean over them."""
        return _mean([head.top1 for head in self.metrics.values()])

    @property
    def loss(self) -> float | None:
        """Cross entropy, mean over the videos that could be read, unweighted mean over heads; None if none could."""
        losses = [head.loss for head in self.metrics.values() if head.loss is not None]
        return _mean(losses) if losses else None

    def __str__(self) -> str:
        clips, crops = self.views
        lines = [f"{self.num_videos} videos, {clips}x{crops} views, {self.seconds:.1f} s"]
        figures: dict[str, HeadMetrics | JointMetrics] = {**self.metrics}
        if self.joint is not None:
            figures["all heads"] = self.joint
        for name, head in figures.items():
            top5 = "" if head.top5 is None else f"   top-5 {head.top5:.2%}"
            lines.append(f"  {name}: top-1 {head.top1:.2%}{top5}")
        if self.failures:
            lines.append(f"  {len(self.failures)} could not be read and count as wrong, first {self.failures[0].path}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the predictions, which have a file of their own."""
        data = to_dict(self)
        del data["predictions"]
        return {"top1": self.top1, "loss": self.loss, **data}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], predictions: Sequence[VideoPrediction] = ()) -> Evaluation:
        """The inverse of `to_dict`."""
        fields = {key: value for key, value in data.items() if key not in ("top1", "loss")}
        evaluation = from_dict(cls, fields, where=EVALUATION_FILE)
        object.__setattr__(evaluation, "predictions", tuple(predictions))
        return evaluation

    def save(self, folder: str | Path) -> Path:
        """Write `evaluation.json` and `predictions.jsonl` into `folder`, each whole or not at all.

        Returns:
            the path of `evaluation.json`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_predictions(self.predictions, folder)
        with replacing(folder / EVALUATION_FILE) as path:
            path.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        return folder / EVALUATION_FILE

    @classmethod
    def load(cls, folder: str | Path, *, predictions: bool = True) -> Evaluation:
        """Read what `save` wrote.

        Args:
            folder: where it is.
            predictions: whether to read those too.

        Raises:
            DataError: there is no evaluation in `folder`.
        """
        path = Path(folder) / EVALUATION_FILE
        if not path.is_file():
            raise DataError(f"{path} does not exist; `tubelet evaluate {folder}` writes it")
        data = json.loads(path.read_text(encoding="utf-8"))
        return cls.from_dict(data, load_predictions(folder) if predictions else ())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
