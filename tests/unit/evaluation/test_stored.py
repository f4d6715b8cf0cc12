"""Figures computed again from stored predictions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tubelet.errors import ConfigError, DataError
from tubelet.evaluation import Evaluation, VideoPrediction, evaluate, evaluate_stored
from tubelet.model import ViViT

CLASSES = {"label": list("abcde")}
Drawn = Callable[..., list[VideoPrediction]]


def test_figures_are_those_of_the_evaluation_and_what_was_measured_is_kept(
    model: ViViT, folder: Path, tmp_path: Path
) -> None:
    evaluation = evaluate(model, folder, views="dense:4x1")
    evaluation.save(tmp_path)
    assert evaluate_stored(tmp_path) == evaluation
    assert evaluate_stored(tmp_path / "predictions.jsonl") == evaluation


def test_a_changed_prediction_changes_the_figures(drawn: Drawn, tmp_path: Path) -> None:
    Evaluation.of(drawn(200, seed=0), CLASSES, resamples=0).save(tmp_path)
    path = tmp_path / "predictions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    before = evaluate_stored(tmp_path).top1
    for line in lines:
        line["logits"]["label"][line["labels"]["label"]] = 100.0
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert before < 1 == evaluate_stored(tmp_path).top1


def test_temperatures_are_fitted_again_on_the_stored_predictions_for_it(drawn: Drawn, tmp_path: Path) -> None:
    validation = Evaluation.of(drawn(300, seed=1, name="val", sharpness=2.0), CLASSES, split="val")
    test = Evaluation.of(drawn(300, seed=2, sharpness=2.0), CLASSES, split="test").calibrated(validation)
    test.save(tmp_path)
    assert evaluate_stored(tmp_path) == test  # the temperature is kept
    validation.save(tmp_path / "calibration")
    assert evaluate_stored(tmp_path) == test  # and fitted again
    colder = Evaluation.of(drawn(300, seed=1, name="val", sharpness=1.0), CLASSES, split="val")
    colder.save(tmp_path / "calibration")
    assert evaluate_stored(tmp_path).calibration["label"].temperature < test.calibration["label"].temperature


def test_classes_come_from_beside_or_from_the_caller(drawn: Drawn, tmp_path: Path) -> None:
    evaluation = Evaluation.of(drawn(20, seed=3), CLASSES)
    evaluation.save(tmp_path)
    (tmp_path / "evaluation.json").unlink()
    with pytest.raises(DataError, match="--classes FILE"):
        evaluate_stored(tmp_path)
    assert evaluate_stored(tmp_path, classes=CLASSES).metrics == evaluation.metrics
    (tmp_path / "config.json").write_text(json.dumps({"labels": CLASSES}))
    assert evaluate_stored(tmp_path).metrics == evaluation.metrics


def test_a_line_that_is_no_prediction_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"path": "a.mp4", "labels": {"label": 0}, "logits": {"label": [1, 0, 0, 0, 0]}}\nnonsense\n')
    with pytest.raises(DataError, match=r"mine\.jsonl line 2: not JSON"):
        evaluate_stored(path, classes=CLASSES)
    path.write_text('{"path": "a.mp4", "label": 0}\n')
    with pytest.raises(ConfigError, match=r"mine\.jsonl line 1: unknown field 'label'"):
        evaluate_stored(path, classes=CLASSES)


def test_an_evaluation_of_an_earlier_form_is_read(drawn: Drawn, tmp_path: Path) -> None:
    evaluation = Evaluation.of(drawn(20, seed=4), CLASSES, views=(4, 3), resamples=0)
    evaluation.save(tmp_path)
    path = tmp_path / "evaluation.json"
    data = json.loads(path.read_text())
    data["views"] = [4, 3]
    for field in ("split", "multi_label", "bootstrap", "calibration", "cost", "probe"):
        del data[field]
    for field in ("reliability", "intervals"):
        del data["metrics"]["label"][field]
    path.write_text(json.dumps(data))
    assert Evaluation.load(tmp_path).views == "4x3"
    assert dataclasses.replace(evaluate_stored(tmp_path), bootstrap=None).top1 == evaluation.top1
