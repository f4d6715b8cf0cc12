"""Intervals against scipy, and what counts as a difference."""

from __future__ import annotations

import pytest
from scipy import stats

from tubelet.studies.rows import percent
from tubelet.studies.statistics import difference, mean_interval


def test_the_interval_is_the_textbooks() -> None:
    values = [0.61, 0.70, 0.66]
    low, high = stats.t.interval(0.95, 2, loc=sum(values) / 3, scale=stats.sem(values))
    interval = mean_interval(values)
    assert interval.mean - (interval.half or 0) == pytest.approx(low)
    assert interval.mean + (interval.half or 0) == pytest.approx(high)


def test_one_seed_has_no_interval_and_proves_nothing() -> None:
    interval = difference([[1.0] * 10], [[0.0] * 10])
    assert interval.mean == 1
    assert interval.half is None
    assert not interval.excludes_zero


def test_seeds_that_agree_by_luck_are_not_certainty() -> None:
    # Every seed has one video more of ten right: no spread over seeds at all, but it is one video.
    ours, theirs = [1.0] * 6 + [0.0] * 4, [1.0] * 5 + [0.0] * 5
    interval = difference([ours] * 3, [theirs] * 3)
    assert interval.mean == pytest.approx(0.1)
    assert not interval.excludes_zero


def test_a_difference_in_many_videos_and_every_seed_counts() -> None:
    ours = [[1.0] * 80 + [0.0] * 20, [1.0] * 82 + [0.0] * 18, [1.0] * 81 + [0.0] * 19]
    theirs = [[1.0] * 50 + [0.0] * 50, [1.0] * 52 + [0.0] * 48, [1.0] * 51 + [0.0] * 49]
    assert difference(ours, theirs).excludes_zero
    assert difference(theirs, ours).mean == pytest.approx(-0.3)


def test_seeds_that_are_all_alike_have_no_interval_without_width() -> None:
    assert mean_interval([1.0, 1.0, 1.0]).half is None
    assert percent(mean_interval([1.0, 1.0, 1.0])) == "100.0 % (3 seeds alike)"
    alike = difference([[1.0] * 30] * 3, [[1.0] * 30] * 3)
    assert alike.half == pytest.approx(1 - 0.025 ** (1 / 30))
    better = difference([[1.0] * 30] * 3, [[0.0] * 30] * 3)
    assert better.half is not None
    assert better.half > 0
    assert better.excludes_zero


def test_a_handful_of_test_videos_shows_nothing_however_many_seeds() -> None:
    assert difference([[1.0] * 7] * 5, [[0.0] * 7] * 5).half is None
