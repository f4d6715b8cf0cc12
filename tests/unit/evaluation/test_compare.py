"""Paired tests of runs, against numbers worked out by hand and against resampling one by one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tubelet.errors import DataError
from tubelet.evaluation import Evaluation, Resampling, VideoPrediction, compare, holm, mcnemar, paired_difference

NAMES = ["a", "b"]


def run_of(hits: list[int], names: list[str] = NAMES, *, start: int = 0) -> Evaluation:
    """Videos `start`, `start + 1`, ... of class a, called right where a hit is 1."""
    right, wrong = names.index("a"), names.index("b")
    rows = []
    for number, hit in enumerate(hits, start):
        logits = [0.0] * len(names)
        logits[right if hit else wrong] = 2.0
        rows.append(VideoPrediction(f"{number}.mp4", {"label": right}, {"label": tuple(logits)}))
    return Evaluation.of(rows, {"label": names}, resamples=0)


def test_mcnemar_is_the_exact_binomial() -> None:
    """10 against 2: 2 * P(X <= 2) of 12 fair coins = 2 * 79 / 4096."""
    assert mcnemar(10, 2) == pytest.approx(2 * 79 / 4096)
    assert mcnemar(2, 10) == mcnemar(10, 2)
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 0) == 1.0
    by_hand = 2 * sum(math.comb(3000, k) for k in range(1401)) / 2**3000
    assert mcnemar(1600, 1400) == pytest.approx(by_hand)


def test_holm_multiplies_the_smallest_most_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_a_difference_counts_the_videos_that_only_one_gets_right() -> None:
    first = [1] * 50 + [0] * 30 + [1] * 5 + [0] * 15
    second = [1] * 50 + [0] * 30 + [0] * 5 + [1] * 15
    one = compare({"x": run_of(first), "y": run_of(second)}).pairs[0].difference
    assert (one.both, one.neither, one.only_first, one.only_second) == (50, 30, 5, 15)
    assert one.difference == pytest.approx(0.10)
    assert one.p_value == pytest.approx(mcnemar(5, 15))


def test_pairing_makes_the_interval_narrower_than_two_separate_ones() -> None:
    """Of 200 videos 100 are right in both and 8 only in the second: the sd of one is sqrt(0.04 - 0.0016)."""
    first, second = torch.zeros(200).double(), torch.zeros(200).double()
    first[:100] = second[:108] = 1
    videos = [VideoPrediction(f"{n}.mp4", {"label": 0}, {"label": (0.0, 1.0)}) for n in range(200)]
    low, high = paired_difference(first, second, Resampling.over(videos)).interval or (0.0, 0.0)
    half = 1.96 * math.sqrt((0.04 - 0.04**2) / 200)
    assert low == pytest.approx(0.04 - half, abs=0.006)
    assert high == pytest.approx(0.04 + half, abs=0.006)
    assert high - low < 0.6 * 2 * 1.96 * math.sqrt(0.25 / 200)


def test_classes_are_matched_by_name_and_only_shared_videos_count() -> None:
    first, second = run_of([1, 0, 1, 1], start=0), run_of([1, 1, 0], ["b", "a"], start=1)
    found = compare({"x": first, "y": second})
    assert found.num_videos == 3
    assert found.left_out == {"x": 1, "y": 0}
    assert found.metrics["x"]["label"].top1 == pytest.approx(2 / 3)
    one = found.pairs[0].difference
    assert (one.both, one.only_first, one.only_second) == (1, 1, 1)


def test_a_video_that_one_run_could_not_read_is_wrong_for_it() -> None:
    first, second = run_of([1, 1]), run_of([1, 1])
    broken = VideoPrediction("1.mp4", {"label": 0}, None, "cut off")
    second = Evaluation.of([second.predictions[0], broken], {"label": NAMES}, resamples=0)
    found = compare({"x": first, "y": second})
    assert (found.pairs[0].difference.only_first, found.num_videos) == (1, 2)
    assert found.videos[found.pairs[0].examples[0]]["said"]["y"] is None


def test_groups_that_one_run_knows_of_count() -> None:
    first, second = run_of([1, 1, 0, 0]), run_of([1, 0, 1, 0])
    people = [replace(one, group=f"person {number // 2}") for number, one in enumerate(second.predictions)]
    found = compare({"x": first, "y": replace(second, predictions=tuple(people))})
    assert (found.bootstrap.unit, found.bootstrap.units) == ("group", 2)


def test_all_heads_are_compared_together_too() -> None:
    def run(verbs: list[int], nouns: list[int]) -> Evaluation:
        rows = [
            VideoPrediction(f"{n}.mp4", {"verb": 0, "noun": 0}, {"verb": (v, 1.0 - v), "noun": (o, 1.0 - o)})
            for n, (v, o) in enumerate(zip(map(float, verbs), map(float, nouns), strict=True))
        ]
        return Evaluation.of(rows, {"verb": NAMES, "noun": NAMES}, resamples=0)

    found = compare({"x": run([1, 1, 0], [1, 0, 1]), "y": run([1, 1, 1], [1, 1, 0])})
    by_head = {pair.head: pair.difference for pair in found.pairs}
    assert {head: (one.only_first, one.only_second) for head, one in by_head.items()} == {
        "verb": (0, 1),
        "noun": (1, 1),
        "all heads": (0, 1),
    }


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="two runs or more"):
        compare({"x": run_of([1])})
    with pytest.raises(DataError, match="share no video"):
        compare({"x": run_of([1]), "y": run_of([1], start=5)})
    with pytest.raises(DataError, match="same heads and classes"):
        compare({"x": run_of([1]), "y": run_of([1], ["a", "b", "c"])})
    other = VideoPrediction("0.mp4", {"label": 1}, {"label": (0.0, 1.0)})
    relabelled = Evaluation.of([other], {"label": NAMES}, resamples=0)
    with pytest.raises(DataError, match="another class"):
        compare({"x": run_of([1]), "y": relabelled})
