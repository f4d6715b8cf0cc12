"""Figures computed again from what an evaluation stored, without the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tubelet.errors import DataError
from tubelet.evaluation.predictions import PREDICTIONS_FILE, load_predictions
from tubelet.evaluation.results import EVALUATION_FILE, Evaluation
from tubelet.weights.json_config import read_json

CALIBRATION_FOLDER = "calibration"
"""Inside the folder of an evaluation: the predictions that its temperatures were fitted on."""


def evaluate_stored(
    source: str | Path, *, classes: Mapping[str, Sequence[str]] | None = None, split: str | None = None
) -> Evaluation:
    """Compute the figures of stored predictions.

    What was measured and not computed (views, seconds, cost, what the model learned from, the temporal probe) is taken
    over from the `evaluation.json` that lies beside, if one does; temperatures are fitted again if their predictions
    are there, and kept otherwise.

    Args:
        source: the folder of an evaluation (a run, usually), or a file like its `predictions.jsonl`.
        classes: head to class names; by default those of `evaluation.json`, or of the model in the same folder.
        split: the data's name for these videos, where `evaluation.json` does not say.

    Raises:
        DataError: no predictions, nothing that names the classes, or predictions that do not fit them.
    """
    path = Path(source)
    folder = path if path.is_dir() else path.parent
    predictions = load_predictions(path)
    own = path.is_dir() or path.name == PREDICTIONS_FILE
    before = Evaluation.load(folder, predictions=False) if own and (folder / EVALUATION_FILE).is_file() else None
    names = classes or (before.classes if before is not None else _model_classes(folder, path))
    if before is None:
        return Evaluation.of(predictions, names, split=split)
    again = Evaluation.of(
        predictions,
        names,
        views=before.views,
        average=before.average,
        seconds=before.seconds,
        split=split or before.split,
        cost=before.cost,
        operating_points=before.operating_points,
    )
    again = replace(again, date=before.date)
    if before.learned_from is not None or before.provenance_unknown is not None:
        again = again.measured_on(
            [one.use for one in predictions],
            left_out=before.left_out,
            unknown=before.provenance_unknown,
            data=before.data,
            split=again.split,
        )
    if not before.calibration:
        return replace(again, probe=before.probe)
    fitted_on = folder / CALIBRATION_FOLDER
    if (fitted_on / PREDICTIONS_FILE).is_file():
        return replace(again.calibrated(evaluate_stored(fitted_on, classes=names)), probe=before.probe)
    one = next(iter(before.calibration.values()))
    temperatures = {head: (kept.temperature, kept.fitted_on) for head, kept in before.calibration.items()}
    return replace(again.with_temperatures(temperatures, one.split), probe=before.probe)


def _model_classes(folder: Path, source: Path) -> dict[str, list[str]]:
    config = folder / "config.json"
    labels = read_json(config).get("labels") if config.is_file() else None
    if not isinstance(labels, dict):
        raise DataError(
            f"nothing beside {source} names the classes (no {EVALUATION_FILE}, no config.json with labels); "
            'give them: --classes FILE, a JSON file like {"label": ["run", "jump"]}'
        )
    return {str(head): [str(name) for name in names] for head, names in labels.items()}
