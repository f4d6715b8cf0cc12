"""Results as people read them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from tubelet.errors import VideoError
from tubelet.model import ViViT
from tubelet.prediction import HeadResult, Result, predict
from tubelet.video import read_video

LOGITS = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)


@pytest.fixture
def result() -> Result:
    head = HeadResult("label", ("run", "walk", "sit <b>"), LOGITS)
    return Result("a.mp4", {"label": head}, indices=(0, 2, 4), timestamps=(0.0, 0.08, 0.16), seconds=0.25, shown=2)


def test_the_best_classes_come_first_with_their_probabilities(result: Result) -> None:
    total = math.exp(1) + math.exp(3) + math.exp(2)
    expected = [("walk", math.exp(3) / total), ("sit <b>", math.exp(2) / total), ("run", math.exp(1) / total)]
    assert [name for name, _ in result.top(3)] == [name for name, _ in expected]
    assert [share for _, share in result.top(3)] == pytest.approx([share for _, share in expected])
    assert result.top() == result.top(2)
    assert (result.label, result.probability) == result.top(1)[0]
    assert float(result.probabilities.sum()) == pytest.approx(1)


def test_equal_logits_keep_the_order_of_the_classes() -> None:
    head = HeadResult("label", ("a", "b", "c"), torch.zeros(3, dtype=torch.float64))
    assert [name for name, _ in head.top(3)] == ["a", "b", "c"]
    assert head.label == "a"


def test_json_holds_what_a_program_needs(result: Result) -> None:
    data = json.loads(result.to_json())
    assert data["path"] == "a.mp4"
    assert data["label"] == "walk"
    assert data["error"] is None
    assert [one["label"] for one in data["top"]] == ["walk", "sit <b>"]
    assert data["frames"] == [0, 2, 4]
    assert data["timestamps"] == [0.0, 0.08, 0.16]
    assert len(result.to_dict(top=3)["top"]) == 3


def test_it_prints_well(result: Result) -> None:
    assert str(result) == "a.mp4: walk 66.5%, sit <b> 24.5%"
    assert repr(result) == "Result('a.mp4', label='walk' (66.5%), 1x1 views, 3 frames)"


def test_a_failed_result_says_why_and_has_no_prediction() -> None:
    failed = Result("b.mp4", error="is empty (0 bytes)")
    assert not failed.ok
    assert str(failed) == "b.mp4: could not be read: is empty (0 bytes)"
    assert json.loads(failed.to_json())["error"] == "is empty (0 bytes)"
    assert "is empty" in failed._repr_html_()
    with pytest.raises(VideoError, match="there is no prediction"):
        _ = failed.label


def test_a_notebook_sees_frames_and_escaped_names(model: ViViT, videos: list[Path], result: Result) -> None:
    assert "sit &lt;b&gt;" in result._repr_html_()
    shown = predict(model, videos[0])
    assert isinstance(shown, Result)
    assert shown._repr_html_().count("data:image/jpeg;base64,") == 4  # it used four frames
    videos[0].unlink()
    assert "data:image" not in shown._repr_html_()
    assert shown.label in shown._repr_html_()


def test_frames_in_memory_are_shown_too(model: ViViT, videos: list[Path]) -> None:
    frames = read_video(videos[0]).frames
    result = predict(model, frames)
    assert isinstance(result, Result)
    assert result.path is None
    assert result.timestamps is None
    assert result._repr_html_().count("data:image/jpeg;base64,") == 4  # what the model saw, not six of all
