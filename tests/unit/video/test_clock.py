"""The clock of a live source: jumps, reconnections, frames without timestamps."""

from __future__ import annotations

import random

import pytest

from tubelet.video.clock import LiveClock


def test_frames_without_timestamps_have_the_time_of_their_arrival() -> None:
    clock = LiveClock()
    clock.connect([(None, 100.0), (None, 100.1)])
    assert [clock(None, arrival) for arrival in (100.0, 100.1, 100.5)] == pytest.approx([0.0, 0.1, 0.5])


@pytest.mark.parametrize("jump", [-500.0, -1.0, 500.0])
def test_after_a_jump_times_go_on_with_the_local_clock(jump: float) -> None:
    clock = LiveClock()
    clock.connect([(7.0, 100.0)])
    before = [clock(7.0 + number / 25, 100.0 + number / 25) for number in range(50)]
    after = [clock(7.0 + jump + number / 25, 100.0 + number / 25) for number in range(50, 100)]
    assert before + after == pytest.approx([7.0 + number / 25 for number in range(100)])
    assert clock.jumps == 1


def test_connections_do_not_add_up_their_delays() -> None:
    """Each begins with frames that waited for up to a second, and another clock."""
    clock, draws = LiveClock(), random.Random(1)
    for connection in range(50):
        filmed = [connection * 5.0 + number / 20 for number in range(90)]
        late = draws.uniform(0.3, 1.0)
        arrivals = [max(moment, filmed[0] + late) for moment in filmed]
        begins = draws.uniform(0, 1000) if connection else 0.0
        timestamps = [begins + moment - filmed[0] for moment in filmed]
        clock.connect(list(zip(timestamps, arrivals, strict=True))[:30])
        times = [clock(*both) for both in zip(timestamps, arrivals, strict=True)]
        assert times == pytest.approx(filmed, abs=0.06)
    assert clock.jumps == 0


def test_a_clock_that_stands_still_for_a_while_is_set_right() -> None:
    clock = LiveClock()
    clock.connect([(0.0, 100.0)])
    for number in range(100):
        clock(number / 25, 100.0 + number / 25)
    times = [clock(number / 25, 103.0 + number / 25) for number in range(100, 300)]  # three seconds are missing
    assert times[-1] == pytest.approx(3.0 + 299 / 25)


def test_a_file_without_a_usable_clock_goes_on_frame_by_frame() -> None:
    clock = LiveClock()
    clock.connect([(5.0, 100.0)], is_live=False)
    timestamps = [5.0, 5.5, 6.0, 0.0, 0.5, None, 1.5, 7.0]
    times = [clock(timestamp, 100.0) for timestamp in timestamps]
    assert times == pytest.approx([5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 13.5])


def test_frames_that_come_early_at_the_end_of_a_connection_do_not_make_the_next_one_late() -> None:
    """Parser and decoder hold two frames, and give them out at once as the connection ends."""
    clock = LiveClock()
    late = [(number / 20, 100.1 + number / 20) for number in range(58)]
    early = [(58 / 20, late[-1][1]), (59 / 20, late[-1][1])]
    clock.connect(late[:8])
    first = [clock(*both) for both in late + early]
    assert first == pytest.approx([number / 20 for number in range(60)])
    again = [(7000.0 + number / 20, 103.1 + number / 20) for number in range(40)]
    clock.connect(again[:8])
    assert [clock(*both) for both in again] == pytest.approx([3.0 + number / 20 for number in range(40)])


def test_a_faster_frame_within_the_first_connection_sets_the_delay() -> None:
    """The first frames come in a burst, late; the next connection is held against the fastest ones."""
    clock = LiveClock()
    frames = [(number / 20, 101.0 if number < 20 else 100.0 + number / 20) for number in range(80)]
    clock.connect(frames[:15])
    for both in frames:
        clock(*both)
    clock.connect([(50.0, 104.0)])
    assert clock(50.0, 104.0) == pytest.approx(4.0)
