"""Events out of decisions, and the files that they are written to."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tubelet.errors import ConfigError
from tubelet.prediction import Decision, Event, HeadResult, Timeline, find_events
from tubelet.prediction.smoothing import Smoother


def decisions(walk: Sequence[float], start: float = 0.0) -> list[Decision]:
    """Windows of two seconds, one a second, with this probability of "walk" (the rest is "sit")."""
    made = []
    for number, share in enumerate(walk):
        logits = torch.tensor([share, 1 - share], dtype=torch.float64).log()
        head = HeadResult("label", ("walk", "sit"), logits)
        made.append(Decision(number, start + number, start + number + 2, (number, number + 2), {"label": head}))
    return made


def walks(walk: Sequence[float], **settings: float) -> list[Event]:
    return list(find_events(decisions(walk), labels=["walk"], **settings))


def test_an_event_runs_from_border_to_border() -> None:
    (event,) = walks([0.1, 0.2, 0.9, 0.8, 0.1])
    assert (event.start, event.end) == (2.5, 4.5)  # middles of the windows: 1, 2, 3, 4, 5
    assert (event.peak, event.decisions) == (pytest.approx(0.9), 2)
    assert event.mean == pytest.approx(0.85)


def test_the_first_and_last_decision_reach_to_the_ends() -> None:
    (event,) = walks([0.9, 0.9])
    assert (event.start, event.end) == (0.0, 3.0)


def test_between_the_thresholds_nothing_changes() -> None:
    assert len(walks([0.6, 0.4, 0.6, 0.4, 0.6], on=0.5, off=0.3)) == 1
    assert len(walks([0.6, 0.4, 0.6, 0.4, 0.6], on=0.5, off=0.5)) == 3
    assert walks([0.4, 0.45, 0.4], on=0.5, off=0.3) == []


def test_short_events_can_be_left_out() -> None:
    found = walks([0.1, 0.9, 0.1, 0.9, 0.9, 0.9, 0.1], minimum=2.0)
    assert [event.decisions for event in found] == [3]


def test_classes_have_events_of_their_own() -> None:
    found = list(find_events(decisions([0.9, 0.1, 0.9])))
    assert [event.label for event in found] == ["walk", "sit", "walk"]


@pytest.mark.parametrize(
    "settings", [{"on": 0.3, "off": 0.5}, {"on": 1.5}, {"off": 0.0}, {"minimum": -1.0}, {"minimum": math.nan}]
)
def test_thresholds_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="0 < off <= on <= 1"):
        find_events([], **settings)


def test_a_timeline_is_written_in_three_formats(tmp_path: Path) -> None:
    timeline = Timeline.of("a.mp4", decisions([0.9, 0.1, 0.1, 0.9], start=100.0))
    assert (timeline.start, timeline.end) == (100.0, 105.0)
    stored = json.loads(timeline.save(tmp_path / "a.json").read_text())
    assert [(event["label"], event["start"], event["end"]) for event in stored["events"]] == [
        ("walk", 100.0, 101.5),
        ("sit", 101.5, 103.5),
        ("walk", 103.5, 105.0),
    ]
    with timeline.save(tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], float(row["start"])) for row in rows] == [("walk", 100.0), ("sit", 101.5), ("walk", 103.5)]
    assert timeline.save(tmp_path / "a.srt").read_text().split("\n\n")[1] == (
        "2\n00:00:01,500 --> 00:00:03,500\nsit 90%"
    )


def test_nothing_is_overwritten_and_the_suffix_says_the_format(tmp_path: Path) -> None:
    timeline = Timeline.of("a.mp4", decisions([0.9]))
    timeline.save(tmp_path / "a.json")
    with pytest.raises(ConfigError, match="is not overwritten"):
        timeline.save(tmp_path / "a.json")
    with pytest.raises(ConfigError, match=r"\.json, \.csv, \.srt"):
        timeline.save(tmp_path / "a.txt")


def smoothed(how: str, walk: Sequence[float]) -> list[Event]:
    return list(find_events(map(Smoother(how), decisions(walk)), labels=["walk"]))


@pytest.mark.parametrize("how", ["mean:1", "mean:3", "mean:5", "mean:9", "exponential:0.5", "exponential:0.3"])
def test_a_smoothed_event_is_not_late(how: str) -> None:
    """From 10.5 to 25.5 seconds. An average of nine takes two decisions more to fall below `off` than to rise."""
    walk = [0.02] * 10 + [0.98] * 15 + [0.02] * 20
    (plain,) = walks(walk)
    (event,) = smoothed(how, walk)
    assert (plain.start, plain.end) == (10.5, 25.5)
    assert event.start == pytest.approx(10.5, abs=1.5)
    assert event.end == pytest.approx(25.5, abs=2.0)
    assert event.start + event.end == pytest.approx(36.0, abs=2.0)


def test_the_first_decisions_of_an_average_are_about_the_windows_that_it_holds() -> None:
    smooth = Smoother("mean:3")
    assert [smooth(decision).time for decision in decisions([0.5] * 5)] == [1.0, 1.5, 2.0, 3.0, 4.0]
    assert [smooth(decision).middle for decision in decisions([0.5] * 2)] == [1.0, 2.0]


@pytest.mark.parametrize("jump", [-1000.0, -3.0])
def test_an_event_over_a_clock_that_jumps_back_does_not_vanish(jump: float) -> None:
    before = decisions([0.1, 0.1, 0.9, 0.9], start=1000.0)
    after = decisions([0.9, 0.9, 0.1, 0.1], start=1004.0 + jump)
    (event,) = find_events([*before, *after], labels=["walk"], minimum=3.0)
    assert (event.start, event.end, event.decisions) == (1002.5, 1006.5, 4)
    timeline = Timeline.of("camera", [*before, *after])
    assert (timeline.start, timeline.end) == (1000.0, 1009.0)
    assert [(one.label, one.end > one.start) for one in timeline.events] == [
        ("sit", True),
        ("walk", True),
        ("sit", True),
    ]
