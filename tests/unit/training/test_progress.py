"""What a person sees: plain lines, a bar, the time left, and the share of time spent waiting."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from tubelet.config import TrainConfig
from tubelet.training import ConsoleReporter, train
from tubelet.training import progress as progress_module
from tubelet.training.progress import Pace, format_seconds


def test_without_a_terminal_there_is_one_plain_line_an_epoch(clips: Path, tmp_path: Path, tiny: TrainConfig) -> None:
    text = io.StringIO()
    train(clips, tmp_path / "run", config=tiny, reporter=ConsoleReporter(Console(file=text, width=300)))
    lines = text.getvalue().splitlines()
    assert "\x1b" not in text.getvalue()
    assert lines[0] == "12 samples, 3 classes, 9 train / 3 val"
    assert [line.split("  ")[0] for line in lines if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    last = lines[-1]
    for word in ("loss", "clips/s", "waiting for data", "validation top-1"):
        assert word in last
    assert " left" in lines[-2]
    assert " left" not in last


def test_an_epoch_that_takes_long_has_lines_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "PLAIN_LINE_SECONDS", 0.0)
    text = io.StringIO()
    reporter = ConsoleReporter(Console(file=text))
    reporter.begin(0, 10)
    reporter.step(4, "loss 1.000")
    assert text.getvalue().startswith("step 4/10  loss 1.000")


def test_without_a_terminal_the_first_steps_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    reporter = ConsoleReporter(Console(file=text))
    reporter.begin(4, 100)
    for step in range(5, 30):
        reporter.step(step, f"loss {step}.0  9.0 clips/s")
    (line,) = text.getvalue().splitlines()
    assert line.startswith("step 7/100  loss 7.0  9.0 clips/s")
    assert line.endswith(" left")


def test_without_a_terminal_there_is_a_line_a_minute_whatever_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    text = io.StringIO()
    reporter = ConsoleReporter(Console(file=text))
    reporter.begin(0, 100)
    for done in range(1, 7):
        now += 25
        reporter.preparing(done, 100)
    for done in range(1, 7):
        now += 25
        reporter.validating(done, 100)
    lines = [line.split("  ")[0] for line in text.getvalue().splitlines()]
    assert lines == [*(f"features of {n}/100 videos" for n in (1, 4)), *(f"validating {n}/100" for n in (1, 4))]


def test_the_total_may_change_on_the_way() -> None:
    text = io.StringIO()
    reporter = ConsoleReporter(Console(file=text))
    reporter.begin(0, 100)
    reporter.begin(2, 10)
    reporter.step(5, "loss 1.0")
    assert text.getvalue().startswith("step 5/10")


def test_a_terminal_gets_a_bar_that_is_gone_afterwards() -> None:
    text = io.StringIO()
    reporter = ConsoleReporter(Console(file=text, force_terminal=True, width=100, highlight=False))
    reporter.begin(5, 10)
    reporter.step(6, "loss [1.000]")
    reporter.validating(1, 3)
    reporter.epoch("epoch 1/2  loss [1.000]")
    reporter.end()
    assert "epoch 1/2  loss [1.000]" in text.getvalue()


def test_time_left_counts_from_where_a_resumed_run_began(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    reporter = ConsoleReporter(Console(file=io.StringIO()))
    reporter.begin(90, 100)
    assert reporter.time_left() == "?"
    now += 30
    reporter.step(92, "")
    assert reporter.time_left() == "2:00"


def test_the_share_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    pace = Pace()
    for _ in range(4):
        now += 1
        pace.data_came()
        now += 3
        pace.step_done(8)
    assert (pace.clips_per_second, pace.data_wait_share, pace.clips) == (2, 0.25, 32)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00"), (63.0, "1:03"), (3723.4, "1:02:03"), (86400.0, "24:00:00")]
)
def test_seconds_for_people(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
