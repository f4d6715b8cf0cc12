"""Sampling at a fixed rate: by the times of frames, and index for index where the rate is the same."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from tubelet.config import PreprocessingConfig
from tubelet.errors import ConfigError
from tubelet.video import RateSampler, sample_at_rate

RATE = 30.0


def even(rate: float, seconds: float = 20.0, start: float = 0.0) -> list[float]:
    return [start + number / rate for number in range(round(rate * seconds))]


@pytest.mark.parametrize("rate", [10, 15, 24, 25, 48, 50, 60, 100, 120])
def test_frames_are_those_nearest_to_the_times_of_the_rate(rate: float) -> None:
    numbers, _ = sample_at_rate(even(rate, start=3.0), RATE)
    assert len(numbers) == pytest.approx(20 * RATE, abs=1)
    for sample, number in enumerate(numbers):
        is_last = number == numbers[-1]  # which is shown until the next would have come
        assert abs(number / rate - sample / RATE) <= (1.0 if is_last else 0.5) / rate + 0.02 / RATE


def test_twice_the_rate_is_every_second_frame_and_half_the_rate_every_frame_twice() -> None:
    assert sample_at_rate(even(60), RATE)[0] == list(range(0, 1200, 2))
    assert sorted(sample_at_rate(even(15), RATE)[0]) == sorted([*range(300), *range(300)])


@pytest.mark.parametrize(
    "times",
    [
        even(30.0, 600.0),
        even(29.97, 600.0),
        [round(time, 3) for time in even(30.0, 600.0)],  # Matroska keeps milliseconds
        [round(time, 3) for time in even(29.97, 600.0)],
        [time + random.Random(number).uniform(-0.008, 0.008) for number, time in enumerate(even(30.0))],
    ],
    ids=["30", "29.97", "30 in ms", "29.97 in ms", "jitter"],
)
def test_an_equal_rate_takes_every_frame_once(times: list[float]) -> None:
    assert sample_at_rate(times, RATE) == (list(range(len(times))), pytest.approx(times))


def test_a_frame_that_is_shown_long_is_taken_as_often_as_its_time_asks_for() -> None:
    numbers, times = sample_at_rate([0.0, 1 / 30, 1.0, 1 + 1 / 30], RATE)
    assert numbers[:2] == [0, 1]
    assert numbers.count(1) == pytest.approx(15, abs=1)
    assert numbers.count(2) == pytest.approx(15, abs=1)
    assert all(0 <= later - earlier < 1.5 / RATE for earlier, later in pairwise(times))


def test_a_clock_that_jumps_an_hour_makes_no_frames_of_it() -> None:
    numbers, _ = sample_at_rate([*even(30.0, 1.0), *even(30.0, 1.0, start=3600.0)], RATE)
    assert numbers == list(range(60))


def test_frame_by_frame_is_as_all_at_once() -> None:
    times = even(24.0)
    sampler = RateSampler(RATE)
    numbers: list[int] = []
    for number, time in enumerate(times):
        before, this = sampler.push(time)
        numbers += [number - 1] * len(before) + [number] * len(this)
    assert numbers + [len(times) - 1] * len(sampler.finish()) == sample_at_rate(times, RATE)[0]


def test_one_frame_and_none() -> None:
    assert sample_at_rate([5.0], RATE) == ([0], [5.0])
    assert sample_at_rate([], RATE) == ([], [])


@pytest.mark.parametrize("rate", [0.0, -30.0, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="frames_per_second"):
        PreprocessingConfig(frames_per_second=rate)
