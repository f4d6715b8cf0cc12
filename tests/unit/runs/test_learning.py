"""What a run says became of its training: real trainings, each of which goes a different way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tubelet
from tiny import moving_bar, train_config, write_noise
from tubelet.config import TrainConfig
from tubelet.data import Sample, Table
from tubelet.evaluation import Evaluation, VideoPrediction
from tubelet.report.learning import Reading
from tubelet.runs import RunResult
from tubelet.runs.learning import accuracy, chance_level
from tubelet.training import SilentReporter
from tubelet.video import write_video

STILL: dict[str, Any] = {
    "temporal": "centre",
    "crop": "centre",
    "scale_jitter": (1.0, 1.0),
    "coverage": (1.0, 1.0),
    "colour": 0.0,
    "grey": 0.0,
    "cache": "memory",
    "batch_size": 8,
    "learning_rate": 3e-3,
    "sample_clips": False,
}
"""Clips as they are, so that few steps are enough."""


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The direction of a bar: a tiny model learns it from 64 videos."""
    folder = tmp_path_factory.mktemp("bars")
    for split, clips in (("train", range(16)), ("val", range(40, 48))):
        for direction in ("down", "up", "left", "right"):
            (folder / split / direction).mkdir(parents=True)
            for clip in clips:
                write_video(folder / split / direction / f"{clip}.mp4", moving_bar(direction, clip), 10.0)
    return folder


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, of which nothing but the single videos can be learned."""
    folder = tmp_path_factory.mktemp("noise")
    write_noise(folder / "train", {"a": 8, "b": 8, "c": 8}, seed=1)
    write_noise(folder / "val", {"a": 6, "b": 6, "c": 6}, seed=2)
    return folder


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and bright videos under two names each: half of them can be named rightly, whatever is learned."""
    folder, generator = tmp_path_factory.mktemp("levels"), torch.Generator().manual_seed(0)
    for split, clips in (("train", 12), ("val", 8)):
        for name, low in (("dark a", 20), ("dark b", 20), ("bright a", 180), ("bright b", 180)):
            (folder / split / name).mkdir(parents=True)
            for clip in range(clips):
                level = torch.randint(low, low + 50, (8, 3, 1, 1), generator=generator)
                write_video(folder / split / name / f"{clip}.mp4", level.to(torch.uint8).expand(8, 3, 24, 24), 10.0)
    return folder


Training = Callable[..., tuple[RunResult, Reading]]


@pytest.fixture
def training(tmp_path: Path) -> Training:
    """A training with the settings of `STILL`, and what it says of itself."""

    def run(data: Path, model: dict[str, Any] | None = None, **fields: Any) -> tuple[RunResult, Reading]:
        config = train_config(model, **{**STILL, **fields})
        result = tubelet.train(data, tmp_path / "run", config=config, reporter=SilentReporter())
        assert result.learning is not None
        return result, result.learning

    return run


def test_a_good_training_gets_no_complaint(bars: Path, training: Training) -> None:
    result, reading = training(bars, epochs=12, validate_every=6)
    assert reading.verdict == "fine"
    assert reading.suggestions == ()
    assert reading.sentence.startswith("No sign of under- or overfitting: 100 % of 64 training videos are right and ")
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert reading.sentence in page
    assert json.loads((result.folder / "learning.json").read_text())["verdict"] == "fine"
    again = tubelet.train(out=result.folder, resume=True, reporter=SilentReporter())
    assert again.learning == reading


def test_noise_that_is_learned_by_heart_is_overfitting(noise: Path, training: Training) -> None:
    _, reading = training(noise, epochs=24, validate_every=4)
    assert reading.verdict == "overfitted"
    assert "100 % of 24 training videos are right" in reading.sentence
    assert reading.figures["training_top1"] == 1.0
    assert "--label-smoothing 0.1" in reading.suggestions


def test_classes_that_cannot_be_told_apart_are_underfitting(levels: Path, training: Training) -> None:
    _, reading = training(levels, {"pool": "mean"}, epochs=12, validate_every=2)
    assert reading.verdict == "underfitted"
    assert "50 % of 48 training videos" in reading.sentence
    assert reading.suggestions[0] == "--lr 0.006"


def test_a_training_that_still_learns_ended_too_early(bars: Path, training: Training) -> None:
    _, reading = training(bars, epochs=4, validate_every=4)
    assert reading.verdict == "ended too early"
    assert "of the fall of the training loss came in the second half" in reading.sentence
    assert reading.suggestions[0] == "--epochs 8"


def test_steps_too_small_to_learn_by_are_no_beginning(bars: Path, training: Training) -> None:
    _, reading = training(bars, epochs=3, learning_rate=1e-8, label_smoothing=0.1)
    assert reading.verdict == "not begun"
    assert "where chance is 1.39" in reading.sentence
    assert "--lr 0.0005" in reading.suggestions


def predictions(rows: list[tuple[str, str | None, int, int]]) -> Evaluation:
    """An evaluation of (path, group, class, predicted class)."""
    made = [
        VideoPrediction(path, {"label": truth}, {"label": tuple(float(said == one) for one in range(2))}, group=group)
        for path, group, truth, said in rows
    ]
    return Evaluation.of(made, {"label": ["a", "b"]}, resamples=0)


def test_the_error_of_an_accuracy_counts_groups_and_what_all_right_does_not_show() -> None:
    alone = [(f"{number}.mp4", None, 0, number % 2) for number in range(32)]
    grouped = [(path, f"person {number // 4 % 8}", 0, number // 4 % 2) for number, (path, *_) in enumerate(alone)]
    all_right = [(path, None, 0, 0) for path, *_ in alone]
    errors = {}
    for name, rows in (("alone", alone), ("grouped", grouped), ("all right", all_right)):
        found = accuracy(predictions(rows))
        assert found is not None
        errors[name] = found.error
    assert errors["alone"] == pytest.approx((0.25 / 32) ** 0.5, rel=0.05)
    assert errors["grouped"] == pytest.approx((0.25 / 8) ** 0.5, rel=0.05)
    assert 0.03 < errors["all right"] < 0.05


def test_the_loss_of_chance_is_the_entropy_of_what_the_training_asks_for() -> None:
    samples = [Sample(f"{number}.mp4", {"label": int(number < 1)}, split="train") for number in range(4)]
    table = Table(tuple(samples), {"label": ["a", "b"]}, ".")
    share, loss = chance_level(table, TrainConfig())
    assert (share, loss) == (0.75, pytest.approx(0.5623, abs=1e-4))
    _, smoothed = chance_level(table, train_config(label_smoothing=1 - 1e-9))
    _, balanced = chance_level(table, train_config(class_weights="balanced"))
    assert smoothed == pytest.approx(balanced, abs=1e-6) == pytest.approx(0.6931, abs=1e-4)
