"""Bootstrap intervals: that they are as wide as they should be, and are over what belongs together."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tubelet.evaluate import Resampling, VideoPrediction, compute_metrics


def videos(right: list[bool], groups: list[str] | None = None) -> list[VideoPrediction]:
    """Two classes, of which the videos show the first."""
    return [
        VideoPrediction(
            f"{number}.mp4",
            {"label": 0},
            {"label": (1.0, 0.0) if hit else (0.0, 1.0)},
            group=None if groups is None else groups[number],
        )
        for number, hit in enumerate(right)
    ]


def interval_of(predictions: list[VideoPrediction], figure: str = "top1") -> tuple[float, float]:
    metrics, _ = compute_metrics(predictions, {"label": ["a", "b"]}, Resampling.over(predictions))
    return metrics["label"].intervals[figure]


def test_over_single_videos_it_is_nearly_the_normal_approximation() -> None:
    """300 of 400 right: 0.75 +- 1.96 * sqrt(0.75 * 0.25 / 400)."""
    low, high = interval_of(videos([number % 4 > 0 for number in range(400)]))
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert low == pytest.approx(0.75 - half, abs=0.005)
    assert high == pytest.approx(0.75 + half, abs=0.005)


def test_videos_of_one_person_are_drawn_together() -> None:
    """20 people of 20 videos each, all right or all wrong: 400 videos say no more than 20 do."""
    right = [person % 4 > 0 for person in range(20) for _ in range(20)]
    groups = [f"person {person}" for person in range(20) for _ in range(20)]
    low, high = interval_of(videos(right, groups))
    half = 1.96 * math.sqrt(0.75 * 0.25 / 20)
    assert low == pytest.approx(0.75 - half, abs=0.03)
    assert high == pytest.approx(0.75 + half, abs=0.03)
    bootstrap = Resampling.over(videos(right, groups)).bootstrap
    assert (bootstrap.unit, bootstrap.units) == ("group", 20)


def test_parts_of_one_video_are_drawn_together() -> None:
    parts = [
        VideoPrediction("long.mp4", {"label": 0}, {"label": (1.0, 0.0)}, start=float(n), end=n + 1.0) for n in range(5)
    ]
    bootstrap = Resampling.over([*parts, *videos([True])]).bootstrap
    assert (bootstrap.unit, bootstrap.units) == ("video", 2)


def test_parts_of_one_video_under_two_names_are_drawn_together(tmp_path: Path) -> None:
    (tmp_path / "long.mp4").write_bytes(b"video")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "long.mp4")
    names = ["long.mp4", "link.mp4", "folder/../long.mp4", "other.mp4"]
    (tmp_path / "folder").mkdir()
    parts = [VideoPrediction(str(tmp_path / name), {"label": 0}, {"label": (1.0, 0.0)}) for name in names]
    assert Resampling.over(parts).bootstrap.units == 2


def test_a_perfect_score_is_not_certain() -> None:
    """30 of 30 right: the exact binomial bound, 0.025 ** (1 / 30)."""
    assert interval_of(videos([True] * 30)) == pytest.approx((0.025 ** (1 / 30), 1.0))
    assert interval_of(videos([False] * 30)) == pytest.approx((0.0, 1 - 0.025 ** (1 / 30)))


def test_it_is_the_same_each_time_and_nothing_is_said_of_a_single_video() -> None:
    predictions = videos([True, False, True, True])
    assert interval_of(predictions) == interval_of(predictions)
    metrics, _ = compute_metrics(predictions[:1], {"label": ["a", "b"]}, Resampling.over(predictions[:1]))
    assert metrics["label"].intervals == {}


def test_the_interval_of_every_figure_is_that_of_figures_computed_draw_by_draw() -> None:
    generator = torch.Generator().manual_seed(1)
    predictions = [
        VideoPrediction(
            f"{n}.mp4",
            {"label": n % 7},
            {"label": tuple((torch.randn(7, generator=generator) + torch.eye(7)[n % 7]).tolist())},
        )
        if n % 9
        else VideoPrediction(f"{n}.mp4", {"label": n % 7}, None, "cut off")
        for n in range(60)
    ]
    classes = {"label": [f"class {n}" for n in range(7)]}
    resampling = Resampling.over(predictions, resamples=50)
    intervals = compute_metrics(predictions, classes, resampling)[0]["label"].intervals
    drawn = []
    for weights in resampling.weights():
        for row in weights:
            again = [one for one, times in zip(predictions, row.tolist(), strict=True) for _ in range(int(times))]
            drawn.append(compute_metrics(again, classes)[0]["label"])
    assert len(drawn) == 50
    for figure in ("top1", "top5", "mean_class_accuracy", "loss"):
        values = torch.tensor([getattr(one, figure) for one in drawn], dtype=torch.float64)
        expected = torch.quantile(values, torch.tensor([0.025, 0.975], dtype=torch.float64))
        assert intervals[figure] == pytest.approx(expected.tolist(), abs=1e-9)
