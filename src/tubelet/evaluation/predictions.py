"""Predictions of a model for each video: stored once; metrics are computed from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tubelet.config import from_dict, to_dict
from tubelet.errors import DataError
from tubelet.files import write_text
from tubelet.json_files import read_json_lines
from tubelet.provenance import Use

PREDICTIONS_FILE = "predictions.jsonl"


@dataclass(frozen=True)
class VideoPrediction:
    """The prediction for one video (or one part of a video).

    Attributes:
        path: as the data set names it.
        labels: head to index of the true class, among the classes of the evaluation.
        logits: head to one number per class, averaged over the views (log-probabilities where probabilities were
            averaged). None if the video could not be read.
        error: why the video could not be read.
        start: seconds; where the part begins, if it is not the whole video.
        end: seconds.
        group: the person or the source that the video shares with others, if the data say so.
        views: how many clips and crops were looked at.
        frames: of each of them.
        resampled: whether its frames were chosen by their timestamps, as it has another frame rate than the model.
        use: what the model, or one that it was started from, did with the video: `learned`, `chose` (the weights, as
            validation) or `held_out`; None for a new video, or where that is not known.
        damaged: how many of its frames are known to be damaged (see `tubelet.Clip.damaged`); None if none is.
        label_sets: for heads whose videos may show several classes or none: head to the indices of all that are shown.
    """

    path: str
    labels: dict[str, int] = field(default_factory=dict)
    logits: dict[str, tuple[float, ...]] | None = None
    error: str | None = None
    start: float | None = None
    end: float | None = None
    group: str | None = None
    views: int | None = None
    frames: int | None = None
    resampled: bool | None = None
    use: Use | None = None
    label_sets: dict[str, tuple[int, ...]] | None = None
    damaged: int | None = None

    @property
    def key(self) -> tuple[str, float | None, float | None]:
        """What makes it the same video in another evaluation."""
        return self.path, self.start, self.end


def save_predictions(predictions: Sequence[VideoPrediction], folder: Path) -> None:
    """Write `predictions.jsonl` into a folder, whole or not at all."""
    lines = []
    for prediction in predictions:
        fields = {key: value for key, value in to_dict(prediction).items() if value is not None}
        lines.append(json.dumps(fields) + "\n")
    write_text(folder / PREDICTIONS_FILE, "".join(lines))


def load_predictions(source: str | Path) -> list[VideoPrediction]:
    """Read a `predictions.jsonl`, or that of a folder.

    Raises:
        DataError: there is none, or a line that is no prediction.
        ConfigError: a line with fields that a prediction does not have.
    """
    path = Path(source) / PREDICTIONS_FILE if Path(source).is_dir() else Path(source)
    if not path.is_file():
        raise DataError(f"{path} does not exist; `tubelet evaluate {source}` writes it")
    lines = read_json_lines(path, "is it a predictions.jsonl?")
    return [from_dict(VideoPrediction, fields, where=f"{path} line {number}") for number, fields in lines]
