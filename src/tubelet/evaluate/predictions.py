"""What a model said about each video: stored once, figures are computed from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tubelet.config import from_dict, to_dict
from tubelet.errors import DataError
from tubelet.weights.files import replacing

PREDICTIONS_FILE = "predictions.jsonl"


@dataclass(frozen=True)
class VideoPrediction:
    """What the model said about one video (or one part of a video).

    Attributes:
        path: as the data set names it.
        labels: head to index of the true class, among the classes of the evaluation.
        logits: head to one number per class, averaged over the views (log-probabilities where probabilities were
            averaged). None if the video could not be read.
        error: why the video could not be read.
        start: seconds; where the part begins, if it is not the whole video.
        end: seconds.
    """

    path: str
    labels: dict[str, int]
    logits: dict[str, tuple[float, ...]] | None = None
    error: str | None = None
    start: float | None = None
    end: float | None = None


def save_predictions(predictions: Sequence[VideoPrediction], folder: Path) -> None:
    """Write `predictions.jsonl` into a folder, whole or not at all."""
    lines = []
    for prediction in predictions:
        fields = {key: value for key, value in to_dict(prediction).items() if value is not None}
        lines.append(json.dumps(fields) + "\n")
    with replacing(folder / PREDICTIONS_FILE) as path:
        path.write_text("".join(lines), encoding="utf-8")


def load_predictions(folder: str | Path) -> list[VideoPrediction]:
    """Read the `predictions.jsonl` of a folder.

    Raises:
        DataError: there is none.
    """
    path = Path(folder) / PREDICTIONS_FILE
    if not path.is_file():
        raise DataError(f"{path} does not exist; `tubelet evaluate {folder}` writes it")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        from_dict(VideoPrediction, json.loads(line), where=f"{path}:{number}") for number, line in enumerate(lines, 1)
    ]
