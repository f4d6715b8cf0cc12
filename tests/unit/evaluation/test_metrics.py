"""Figures against numbers worked out by hand, and against scikit-learn."""

from __future__ import annotations

import math
from itertools import product

import numpy
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from tubelet.errors import DataError
from tubelet.evaluation import VideoPrediction, compute_metrics


def prediction(label: int, logits: list[float] | None, path: str = "a.mp4") -> VideoPrediction:
    values = None if logits is None else {"label": tuple(logits)}
    return VideoPrediction(path, {"label": label}, values, None if logits else "cut off")


def test_figures_of_five_videos_worked_out_by_hand() -> None:
    predictions = [
        prediction(0, [2.0, 1.0, 0.0]),  # right
        prediction(0, [0.0, 3.0, 0.0]),  # called 1
        prediction(1, [0.0, 1.0, 0.0]),  # right
        prediction(2, [1.0, 0.0, 0.0]),  # called 0
        prediction(1, None),  # unreadable: wrong
    ]
    metrics, joint = compute_metrics(predictions, {"label": ["a", "b", "c"]})
    head = metrics["label"]
    assert joint is None
    assert head.top1 == pytest.approx(2 / 5)
    assert head.top5 is None
    assert head.num_failures == 1
    assert head.confusion == ((1, 1, 0), (0, 1, 0), (1, 0, 0))
    assert [(one.support, one.recall, one.precision) for one in head.per_class] == [
        (2, 1 / 2, 1 / 2),
        (2, 1 / 2, 1 / 2),
        (1, 0.0, None),
    ]
    assert head.mean_class_accuracy == pytest.approx(1 / 3)
    e = math.e
    by_hand = [
        -math.log(e**2 / (e**2 + e + 1)),
        -math.log(1 / (e**3 + 2)),
        -math.log(e / (e + 2)),
        -math.log(1 / (e + 2)),
    ]
    assert head.loss == pytest.approx(sum(by_hand) / 4)


def test_a_class_without_videos_has_no_recall_and_does_not_pull_the_mean_down() -> None:
    metrics, _ = compute_metrics([prediction(0, [1.0, 0.0])], {"label": ["seen", "never"]})
    assert metrics["label"].per_class[1].recall is None
    assert metrics["label"].mean_class_accuracy == 1


def test_top5_counts_unreadable_videos_as_wrong() -> None:
    rows = [[9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0]] * 2
    predictions = [prediction(4, rows[0]), prediction(5, rows[1]), prediction(0, None)]
    metrics, _ = compute_metrics(predictions, {"label": list("abcdefg")})
    assert metrics["label"].top5 == pytest.approx(1 / 3)
    assert metrics["label"].top1 == 0


def test_figures_are_those_of_scikit_learn() -> None:
    generator = numpy.random.default_rng(3)
    labels = generator.integers(0, 8, 300)
    logits = generator.normal(size=(300, 8)) + 1.5 * numpy.eye(8)[labels]
    predictions = [prediction(int(label), row.tolist()) for label, row in zip(labels, logits, strict=True)]
    names = [f"class {number}" for number in range(8)]
    head = compute_metrics(predictions, {"label": names})[0]["label"]
    called, probabilities = logits.argmax(1), numpy.exp(logits) / numpy.exp(logits).sum(1, keepdims=True)
    assert head.top1 == pytest.approx(sklearn_metrics.accuracy_score(labels, called))
    assert head.top5 == pytest.approx(sklearn_metrics.top_k_accuracy_score(labels, logits, k=5))
    assert head.mean_class_accuracy == pytest.approx(sklearn_metrics.balanced_accuracy_score(labels, called))
    assert head.loss == pytest.approx(sklearn_metrics.log_loss(labels, probabilities))
    assert head.confusion == tuple(map(tuple, sklearn_metrics.confusion_matrix(labels, called).tolist()))
    precision, recall, _, support = sklearn_metrics.precision_recall_fscore_support(labels, called)
    assert [one.precision for one in head.per_class] == pytest.approx(precision.tolist())
    assert [one.recall for one in head.per_class] == pytest.approx(recall.tolist())
    assert [one.support for one in head.per_class] == support.tolist()


def test_calibration_error_of_two_bins_by_hand() -> None:
    """Three videos at confidence 0.9, two of them right; one at 0.6, right."""
    sure, unsure = math.log(9), math.log(1.5)
    predictions = [prediction(0, [sure, 0.0]), prediction(0, [sure, 0.0]), prediction(1, [sure, 0.0])]
    predictions.append(prediction(0, [unsure, 0.0]))
    metrics, _ = compute_metrics(predictions, {"label": ["a", "b"]})
    by_hand = 3 / 4 * abs(0.9 - 2 / 3) + 1 / 4 * abs(0.6 - 1)
    assert metrics["label"].calibration_error == pytest.approx(by_hand, abs=1e-6)


def test_actions_are_right_if_all_heads_are_and_top5_goes_by_the_product_of_probabilities() -> None:
    classes = {"verb": list("abcd"), "noun": list("xyz")}
    generator = torch.Generator().manual_seed(0)
    logits = [
        {"verb": torch.randn(4, generator=generator), "noun": torch.randn(3, generator=generator)} for _ in range(40)
    ]
    truth = [(n % 4, n % 3) for n in range(40)]
    predictions = [
        VideoPrediction(
            f"{n}.mp4", {"verb": verb, "noun": noun}, {head: tuple(row.tolist()) for head, row in rows.items()}
        )
        for n, (rows, (verb, noun)) in enumerate(zip(logits, truth, strict=True))
    ]
    top1 = top5 = 0
    for rows, pair in zip(logits, truth, strict=True):
        table = torch.outer(rows["verb"].double().softmax(0), rows["noun"].double().softmax(0))
        ranked = sorted(product(range(4), range(3)), key=lambda pair, table=table: -table[pair].item())
        top1 += ranked[0] == pair
        top5 += pair in ranked[:5]
    metrics, joint = compute_metrics(predictions, classes)
    assert set(metrics) == {"verb", "noun"}
    assert joint is not None
    assert joint.top1 == top1 / 40
    assert joint.top5 == top5 / 40


def test_if_nothing_could_be_read_everything_is_wrong_and_nothing_is_made_up() -> None:
    head = compute_metrics([prediction(0, None), prediction(1, None)], {"label": ["a", "b"]})[0]["label"]
    assert (head.top1, head.loss, head.calibration_error, head.num_failures) == (0, None, None, 2)


def test_no_predictions_and_logits_of_another_model_are_errors() -> None:
    with pytest.raises(DataError, match="no videos"):
        compute_metrics([], {"label": ["a", "b"]})
    with pytest.raises(DataError, match=r"a\.mp4: 3 logits for the 2 classes"):
        compute_metrics([prediction(0, [1.0, 2.0, 3.0])], {"label": ["a", "b"]})
