"""Reliability, calibration error and temperature, against torchmetrics and against what the truth was made with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from tubelet.errors import DataError
from tubelet.evaluation import Evaluation, VideoPrediction, fit_temperature
from tubelet.evaluation.calibration import calibration_error, reliability

CLASSES = {"label": list("abcde")}
Drawn = Callable[..., list[VideoPrediction]]


def tensors(predictions: list[VideoPrediction]) -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.tensor([one.logits["label"] for one in predictions if one.logits], dtype=torch.float64)
    return logits, torch.tensor([one.labels["label"] for one in predictions])


def test_the_calibration_error_is_that_of_torchmetrics(drawn: Drawn) -> None:
    logits, target = tensors(drawn(500, seed=0, sharpness=2.5))
    expected = multiclass_calibration_error(logits.softmax(dim=1), target, 5, n_bins=15, norm="l1").item()
    assert calibration_error(reliability(logits, target)) == pytest.approx(expected, abs=1e-6)
    assert expected > 0.1


def test_every_video_is_in_the_bin_of_its_confidence(drawn: Drawn) -> None:
    logits, target = tensors(drawn(500, seed=1))
    bins = reliability(logits, target)
    assert sum(one.count for one in bins) == 500
    for one in bins:
        assert one.confidence is None or one.low <= one.confidence <= one.high


def test_the_temperature_that_logits_were_sharpened_by_is_found_again_and_mends_other_videos(drawn: Drawn) -> None:
    validation = Evaluation.of(drawn(4000, seed=2, sharpness=3.0, name="val"), CLASSES, split="val", resamples=0)
    test = Evaluation.of(drawn(2000, seed=3, sharpness=3.0, name="test"), CLASSES, split="test", resamples=0)
    mended = test.calibrated(validation).calibration["label"]
    assert mended.temperature == pytest.approx(3.0, rel=0.08)
    assert (mended.fitted_on, mended.split) == (4000, "val")
    before = test.metrics["label"]
    assert mended.calibration_error < 0.05
    assert before.calibration_error > 0.15
    assert mended.loss < before.loss


def test_the_temperature_is_the_minimum_of_the_loss(drawn: Drawn) -> None:
    logits, target = tensors(drawn(300, seed=4, sharpness=0.4))
    best = fit_temperature(logits, target)

    def loss(temperature: float) -> float:
        return torch.nn.functional.cross_entropy(logits / temperature, target).item()

    assert loss(best) < min(loss(best * 1.01), loss(best / 1.01))


def test_where_no_temperature_is_best_that_is_said() -> None:
    sure = torch.eye(3, dtype=torch.float64) * 20
    with pytest.raises(DataError, match="all 3 videos are right"):
        fit_temperature(sure, torch.tensor([0, 1, 2]))
    with pytest.raises(DataError, match="say nothing about these videos"):
        fit_temperature(sure, torch.tensor([1, 2, 0]))
    with pytest.raises(DataError, match="no video to fit"):
        fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))


def test_a_temperature_is_not_fitted_on_the_videos_that_it_is_measured_on(drawn: Drawn) -> None:
    evaluation = Evaluation.of(drawn(50, seed=5), CLASSES, resamples=0)
    with pytest.raises(DataError, match="50 videos are in both"):
        evaluation.calibrated(evaluation)
