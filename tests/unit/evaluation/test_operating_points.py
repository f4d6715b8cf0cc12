"""Thresholds that are fitted: those with the best F1, and those that give an accuracy."""

from __future__ import annotations

import numpy
import pytest
import torch
from sklearn.metrics import f1_score

from tubelet.config import OperatingPoint
from tubelet.errors import DataError
from tubelet.evaluation import Evaluation, VideoPrediction
from tubelet.evaluation.abstention import fit_abstention
from tubelet.evaluation.operating_points import fit_operating_points
from tubelet.evaluation.thresholds import fit_thresholds

NAMES = {"label": ["x", "y", "z"]}


def scored(seed: int, videos: int = 120) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = (torch.rand(videos, 3, generator=generator) < torch.tensor([0.5, 0.1, 0.02])).long()
    logits = 2.0 * truth + torch.randn(videos, 3, generator=generator, dtype=torch.float64) - 2.0
    return logits.round(decimals=1), truth


def predictions(logits: torch.Tensor, truth: torch.Tensor, name: str) -> list[VideoPrediction]:
    return [
        VideoPrediction(
            f"{name}-{number}.mp4",
            logits={"label": tuple(row)},
            label_sets={"label": tuple(torch.nonzero(shown)[:, 0].tolist())},
        )
        for number, (row, shown) in enumerate(zip(logits.tolist(), truth, strict=True))
    ]


def test_no_threshold_has_a_better_f1() -> None:
    logits, truth = scored(0)
    probabilities = logits.sigmoid()
    found = fit_thresholds(probabilities, truth)
    for number, threshold in enumerate(found[:2]):
        shown, column = truth[:, number].numpy(), probabilities[:, number].numpy()
        assert threshold is not None
        best = max(f1_score(shown, column >= cut) for cut in numpy.unique(column))
        assert f1_score(shown, column >= threshold) == pytest.approx(best)
    assert found[2] is None or int(truth[:, 2].sum()) >= 5


def test_a_perfect_class_is_cut_in_the_middle_of_its_gap() -> None:
    truth = torch.tensor([[1]] * 5 + [[0]] * 5)
    probabilities = torch.tensor([[0.9], [0.8], [0.95], [0.7], [0.85], [0.1], [0.2], [0.05], [0.3], [0.15]])
    assert fit_thresholds(probabilities, truth) == (pytest.approx(0.5),)


def test_the_figures_at_the_thresholds_are_those_of_scikit_learn_on_other_videos() -> None:
    (val, val_truth), (test, test_truth) = scored(1), scored(2)
    fitted_on = Evaluation.of(predictions(val, val_truth, "val"), NAMES, split="val")
    points, notes = fit_operating_points(fitted_on)
    measured = Evaluation.of(predictions(test, test_truth, "test"), NAMES, split="test", operating_points=points)
    one = measured.multi_label["label"]
    thresholds = points["label"].thresholds
    assert thresholds is not None
    called = test.sigmoid().numpy() >= numpy.array(thresholds)
    assert [each.f1 for each in one.per_class] == pytest.approx(
        [f1_score(test_truth[:, n], called[:, n], zero_division=0.0) for n in range(3)]
    )
    assert one.micro_f1 == pytest.approx(f1_score(test_truth.numpy(), called, average="micro"))
    assert (one.fitted_on, one.split) == (120, "val")
    assert "thresholds fitted on 120 val videos" in str(measured)
    assert "too good a figure" in str(fitted_on.at(points))
    assert ("z" in " ".join(notes)) == (int(val_truth[:, 2].sum()) < 5)
    assert Evaluation.from_dict(measured.to_dict()).multi_label == measured.multi_label


def test_the_interval_of_a_mean_average_precision_holds_it() -> None:
    evaluation = Evaluation.of(predictions(*scored(3), "a"), NAMES)
    one = evaluation.multi_label["label"]
    low, high = one.intervals["mean_average_precision"]
    assert one.mean_average_precision is not None
    assert low < one.mean_average_precision < high


def doubtful(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are too confident by a factor of three, and right in about three of four videos."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4000, 3, generator=generator, dtype=torch.float64) * 2
    target = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    return logits * 3, target


def test_answers_above_the_threshold_are_as_often_right_as_wanted_on_other_videos() -> None:
    temperature, below = fit_abstention(*doubtful(0), 0.9)
    assert temperature == pytest.approx(3.0, rel=0.1)
    logits, target = doubtful(1)
    confidence, predicted = (logits / temperature).softmax(dim=1).max(dim=1)
    answered = confidence >= below
    assert (predicted == target).double().mean() < 0.8
    assert (predicted == target)[answered].double().mean() == pytest.approx(0.9, abs=0.02)
    assert 0.2 < answered.double().mean() < 0.9


def test_what_cannot_be_reached_is_said_and_every_video_is_answered() -> None:
    logits, target = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0]] * 5, torch.tensor([1, 2, 0, 1])
    with pytest.raises(DataError, match=r"no threshold makes 90.0% .* the best is 0.0%"):
        fit_abstention(logits, target, 0.9)
    answers = [
        VideoPrediction(f"{n}.mp4", {"label": int(t)}, {"label": tuple(row)})
        for n, (row, t) in enumerate(zip(logits.tolist(), target, strict=True))
    ]
    points, notes = fit_operating_points(Evaluation.of(answers, NAMES, split="val"), abstain=0.9)
    assert points["label"].unknown_below == 0.0
    assert "every video is answered" in notes[0]


def test_coverage_accuracy_and_the_background_by_hand() -> None:
    """Five videos: right and sure, wrong and sure, right and doubtful, background seen, background answered."""
    rows = [(9.0, 0.0, 0.0), (9.0, 0.0, 0.0), (0.3, 0.0, 0.0), (0.0, 0.0, 9.0), (0.0, 9.0, 0.0)]
    truth = [0, 1, 0, 2, 2]
    answers = [
        VideoPrediction(f"{n}.mp4", {"label": t}, {"label": row})
        for n, (row, t) in enumerate(zip(rows, truth, strict=True))
    ]
    point = OperatingPoint(unknown_below=0.6, background="z", fitted_on=10, split="val")
    found = Evaluation.of(answers, NAMES, split="test", operating_points={"label": point}).abstention["label"]
    assert (found.coverage, found.accuracy, found.background_found) == (pytest.approx(0.6), pytest.approx(1 / 3), 0.5)
