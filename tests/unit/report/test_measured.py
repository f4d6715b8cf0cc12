"""Calibration, the temporal probe and several classes a video, on the page of a run."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from tubelet.evaluation import Evaluation, VideoPrediction, frame_order_metrics
from tubelet.report import write_report
from unit.report.html_page import Page

CLASSES = {"label": ["sit", "stand"]}


def predictions(hits: list[bool], name: str = "v", sure: float = 3.0) -> list[VideoPrediction]:
    """Video n is of class n % 2."""
    rows = []
    for number, hit in enumerate(hits):
        logits = [0.0, 0.0]
        logits[number % 2 if hit else 1 - number % 2] = sure
        path = f"{name}{number}.mp4"
        rows.append(VideoPrediction(path, {"label": number % 2}, {"label": tuple(logits)}, views=2, frames=8))
    return rows


@pytest.fixture
def evaluation() -> Evaluation:
    """30 of 40 right, at a confidence of 95 %; backwards all of the first class are called the second."""
    ordinary = predictions([number % 4 > 0 for number in range(40)])
    fitted_on = Evaluation.of(predictions([n % 3 > 0 for n in range(60)], "val"), CLASSES, split="val", resamples=0)
    changed = {
        "shuffled": predictions([number % 2 > 0 for number in range(40)]),
        "reversed": predictions([number % 2 > 0 for number in range(40)]),
        "single_frame": predictions([number % 2 > 0 for number in range(40)]),
    }
    made = Evaluation.of(ordinary, CLASSES, views="2x1", split="test").calibrated(fitted_on)
    return replace(made, probe=frame_order_metrics(ordinary, changed, CLASSES, seed=0), seconds=4.0)


def test_calibration_is_drawn_with_and_without_the_temperature(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.save(tmp_path)
    path = write_report(tmp_path)
    page = Page(path)
    assert "Calibration" in page.headings
    confidence = math.exp(3) / (1 + math.exp(3))
    assert f"{confidence - 0.75:.1%}" in page.text
    temperature = 3 / math.log(2)  # 2 of 3 are right: the confidence has to be 2 / 3
    assert f"divided by a temperature of {temperature:.3f}" in page.text
    assert "fitted on 60 other videos (split val)" in page.text
    assert 'aria-label="Reliability"' in path.read_text(encoding="utf-8")


def test_the_verdict_on_time_is_there_with_its_figures(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.save(tmp_path)
    page = Page(write_report(tmp_path))
    assert "Does time matter?" in page.headings
    assert evaluation.probe is not None
    assert evaluation.probe.heads["label"].verdict in page.text
    assert "-25.0 points" in page.text
    assert "backwards called" in page.text


def test_how_it_was_measured(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.save(tmp_path)
    text = Page(write_report(tmp_path)).text
    for words in ("split test", "2×1 of each video", "100 ms a video", "bootstrap over 40 videos, 2,000 draws"):
        assert words in text


def test_several_classes_a_video(tmp_path: Path) -> None:
    rows = [
        VideoPrediction("a.mp4", logits={"label": (3.0, 1.0)}, label_sets={"label": (0,)}),
        VideoPrediction("b.mp4", logits={"label": (2.0, 4.0)}, label_sets={"label": (0, 1)}),
    ]
    Evaluation.of(rows, CLASSES).save(tmp_path)
    page = Page(write_report(tmp_path))
    assert "Several classes a video" in page.headings
    assert "Mean average precision 100.0%" in page.text


def test_views_of_an_earlier_form_are_shown(evaluation: Evaluation, tmp_path: Path) -> None:
    path = evaluation.save(tmp_path)
    data = json.loads(path.read_text())
    data["views"] = [4, 3]
    path.write_text(json.dumps(data))
    assert "4×3 views each" in Page(write_report(tmp_path)).text
