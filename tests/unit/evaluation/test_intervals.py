"""Bootstrap intervals: that they are as wide as they should be, and are over what belongs together."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tubelet.evaluation import Evaluation, Resampling, VideoPrediction, compute_metrics, paired_difference


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


def test_it_is_the_same_each_time() -> None:
    predictions = videos([n % 3 > 0 for n in range(12)])
    assert interval_of(predictions) == interval_of(predictions)


@pytest.mark.parametrize("right", [[True] * 16, [n % 2 == 0 for n in range(16)]])
def test_two_people_have_no_interval_but_a_word(right: list[bool]) -> None:
    """Not [15.8 %, 100 %] for two people who are all right."""
    predictions = videos(right, ["anna"] * 8 + ["ben"] * 8)
    evaluation = Evaluation.of(predictions, {"label": ["a", "b"]})
    assert evaluation.metrics["label"].intervals == {}
    assert "[" not in str(evaluation)
    assert "2 groups: too few for an interval" in str(evaluation)


def test_eight_videos_have_an_interval_and_seven_have_none() -> None:
    right = [True] * 6 + [False] * 2
    assert interval_of(videos(right))[0] < 0.75
    assert "intervals" not in str(Evaluation.of(videos(right[1:]), {"label": ["a", "b"]}))
    assert "7 videos: too few for an interval" in str(Evaluation.of(videos(right[1:]), {"label": ["a", "b"]}))


def test_the_method_that_was_used_is_named() -> None:
    perfect = Evaluation.of(videos([True] * 30), {"label": ["a", "b"]})
    assert "95% exact binomial (Clopper-Pearson) over 30 videos" in str(perfect)
    assert "bootstrap" not in str(perfect)
    assert perfect.metrics["label"].methods["top1"] == "binomial"
    mixed = Evaluation.of(videos([n > 4 for n in range(30)]), {"label": ["a", "b"]})
    assert "95% bootstrap over 30 videos" in str(mixed)
    assert mixed.metrics["label"].methods["top1"] == "bootstrap"


def test_a_model_that_always_names_one_class_has_no_interval_without_width() -> None:
    """Mean class accuracy is 50 % in every draw; so is top-1 where every person shows both classes equally often."""
    predictions = [
        VideoPrediction(f"{n}.mp4", {"label": n % 2}, {"label": (1.0, 0.0)}, group=f"person {n // 4}")
        for n in range(40)
    ]
    evaluation = Evaluation.of(predictions, {"label": ["a", "b"]})
    assert {"top1", "mean_class_accuracy"}.isdisjoint(evaluation.metrics["label"].intervals)
    assert "[" not in str(evaluation)
    assert "no interval: the 10 groups agree" in str(evaluation)


def test_runs_that_agree_on_every_video_are_not_certain_to_agree_on_others() -> None:
    rows = videos([n % 3 > 0 for n in range(30)])
    hits = torch.tensor([float(n % 3 > 0) for n in range(30)], dtype=torch.float64)
    same = paired_difference(hits, hits, Resampling.over(rows))
    assert same.method == "binomial"
    assert same.interval == pytest.approx((0.025 ** (1 / 30) - 1, 1 - 0.025 ** (1 / 30)))
    lost = paired_difference(torch.ones(30).double(), torch.zeros(30).double(), Resampling.over(rows))
    assert lost.interval == pytest.approx((-1.0, 1 - 2 * 0.025 ** (1 / 30)))


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


def test_the_interval_of_a_mean_takes_values_in_single_precision() -> None:
    draws = Resampling.over(videos([True] * 40))
    values = [float(number % 5) for number in range(40)]
    single, double = draws.mean(torch.tensor(values)), draws.mean(torch.tensor(values, dtype=torch.float64))
    assert single is not None
    assert single == double
