"""Mean average precision of videos that show several classes, against scikit-learn and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from sklearn.metrics import average_precision_score

from tubelet.errors import DataError
from tubelet.evaluation import Evaluation, VideoPrediction, load_predictions, multi_label_metrics

NAMES = {"label": [f"class {n}" for n in range(6)]}


def predictions(scores: numpy.ndarray, truth: numpy.ndarray) -> list[VideoPrediction]:
    return [
        VideoPrediction(
            f"{n}.mp4",
            logits={"label": tuple(row.tolist())},
            label_sets={"label": tuple(numpy.flatnonzero(shown).tolist())},
        )
        for n, (row, shown) in enumerate(zip(scores, truth, strict=True))
    ]


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_it_is_that_of_scikit_learn_over_the_classes_that_are_shown(scale: float) -> None:
    generator = numpy.random.default_rng(0)
    truth = generator.random((200, 6)) < 0.2
    truth[:, 4] = False
    scores = numpy.round(generator.normal(size=(200, 6)) + truth, 1) * scale
    metrics = multi_label_metrics(predictions(scores, truth), NAMES)["label"]
    expected = [average_precision_score(truth[:, n], scores[:, n]) if n != 4 else None for n in range(6)]
    assert [one.average_precision for one in metrics.per_class] == pytest.approx(expected)
    assert metrics.mean_average_precision == pytest.approx(numpy.mean([one for one in expected if one is not None]))
    assert [one.support for one in metrics.per_class] == truth.sum(axis=0).tolist()


def test_an_unreadable_video_is_never_retrieved() -> None:
    """Two videos show class 0; one is ranked first, the other could not be read: half of the area."""
    truth, scores = numpy.eye(6, dtype=bool)[[0, 1]], numpy.eye(6)[[0, 1]]
    unreadable = VideoPrediction("broken.mp4", error="cut off", label_sets={"label": (0,)})
    metrics = multi_label_metrics([*predictions(scores, truth), unreadable], NAMES)["label"]
    assert [one.average_precision for one in metrics.per_class[:3]] == [0.5, 1.0, None]
    assert metrics.num_failures == 1


def test_stored_predictions_with_sets_have_these_figures_and_no_top1(tmp_path: Path) -> None:
    lines = [
        '{"path": "a.mp4", "label_sets": {"label": [0, 2]}, "logits": {"label": [3, 1, 2, 0, 0, 0]}}',
        '{"path": "b.mp4", "label_sets": {"label": []}, "logits": {"label": [1, 0, 0, 0, 0, 0]}}',
    ]
    (tmp_path / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    evaluation = Evaluation.of(load_predictions(tmp_path), NAMES)
    assert evaluation.multi_label["label"].mean_average_precision == 1.0
    assert evaluation.metrics == {}
    assert "mean average precision 100.00%" in str(evaluation)
    with pytest.raises(DataError, match="no top-1"):
        _ = evaluation.top1
    evaluation.save(tmp_path / "out")
    assert Evaluation.load(tmp_path / "out") == evaluation


def test_sets_that_do_not_fit_are_named() -> None:
    whole = predictions(numpy.eye(6), numpy.eye(6, dtype=bool))
    with pytest.raises(DataError, match=r"other\.mp4: no label_sets"):
        multi_label_metrics([*whole, VideoPrediction("other.mp4", {"label": 1}, {"label": (0.0,) * 6})], NAMES)
    with pytest.raises(DataError, match="classes \\[6\\]"):
        multi_label_metrics([VideoPrediction("x.mp4", label_sets={"label": (6,)})], NAMES)
    with pytest.raises(DataError, match="has no classes"):
        multi_label_metrics(whole, {"verb": ["a"]})
