"""The service with a head whose classes exclude nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import tubelet
from serving_help import running, write_day
from tiny import day_and_night
from tubelet.config import OperatingPoint, replace
from tubelet.prediction import Result

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guarded processes are bounded on Linux")


def test_answers_have_all_labels_above_their_thresholds_and_no_best_class(tmp_path: Path) -> None:
    model = day_and_night()
    model.config = replace(model.config, multi_label=("label",))
    model.operating_points = {"label": OperatingPoint(thresholds=(0.6, 1e-12), fitted_on=30, split="val")}
    video = write_day(tmp_path / "clip.mp4", [255] * 8)
    own = tubelet.predict(model, video)
    assert isinstance(own, Result)
    assert own.labels == ("day", "night")
    with running(model) as served:
        answer = served.post("/v1/predict", video.read_bytes()).json()
        described = served.client.get("/v1/model").json()["models"][0]
        decisions = served.post("/v1/timeline", video.read_bytes()).text
    assert [one["label"] for one in answer["labels"]] == ["day", "night"]
    assert answer["labels"][1]["probability"] == pytest.approx(float(own.probabilities[1]), abs=1e-6)
    assert answer.get("label") is None
    assert described["multi_label"] == ["label"]
    assert '"labels"' in decisions
