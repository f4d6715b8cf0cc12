"""`tubelet watch`, as it is typed: events as they end, decisions as they come, a screen on a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import tiny
import tubelet
from tubelet.cli.main import main
from tubelet.prediction import find_events
from unit.prediction.camera import Camera


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that calls bright videos `day` and dark ones `night`, and a video that changes over."""
    root = tmp_path_factory.mktemp("watch")
    tiny.write_evening(root)
    return root


def watch(folder: Path, source: object, *words: str) -> int:
    return main(["watch", str(folder / "model"), str(source), *words])


def test_without_a_terminal_there_is_a_line_for_each_event(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert watch(folder, folder / "evening.mp4") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(folder / "evening.mp4")
    assert [line.split()[-1] for line in lines[1:]] == ["day", "night"]


def test_json_has_the_decisions_and_events_of_stream(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert watch(folder, folder / "evening.mp4", "--json", "--smoothing", "mean:2", "--top", "1") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    decisions = list(tubelet.stream(folder / "model", folder / "evening.mp4", smoothing="mean:2", top=1))
    assert [line for line in lines if line["type"] == "decision"] == [
        {"type": "decision", **decision.to_dict()} for decision in decisions
    ]
    events = [{"type": "event", **event.to_dict()} for event in find_events(decisions)]
    assert [line for line in lines if line["type"] == "event"] == events
    assert [event["label"] for event in events] == ["day", "night"]


def test_on_a_terminal_the_newest_classes_and_the_events_are_drawn_over_and_over(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert watch(folder, folder / "evening.mp4") == 0
    printed = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().out)
    screens = printed.split("evening.mp4  ")[1:]
    decisions = list(tubelet.stream(folder / "model", folder / "evening.mp4"))
    assert [float(screen.split()[0]) for screen in screens][: len(decisions)] == [
        pytest.approx(decision.end, abs=0.06) for decision in decisions
    ]
    assert re.search("day   ━{29}. 100.0%", screens[0])
    assert "100.0%" in next(line for line in screens[-1].splitlines() if line.startswith("night"))
    assert re.search(r"0\.00 - +\d\.\d+ s .* day", screens[-1])


def test_a_camera_that_breaks_off_ends_with_its_reason_and_its_events(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Camera(lambda moment: 250 if moment < 0.7 else 5, lasts=lambda number: 1.5, connections=1) as camera:
        assert watch(folder, camera.address, "--reconnect", "0.5") == 1
    printed = capsys.readouterr()
    assert [line.split()[-1] for line in printed.out.splitlines()[1:]] == ["day", "night"]
    assert "could not be connected again" in printed.err
    for secret in ("user", "word", "secret"):
        assert secret not in printed.out + printed.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.mp4"], "nothing.mp4 does not exist; did you mean evening.mp4? (a camera is its number"),
        (["evening.mp4", "--on", "0.2"], "0 < off <= on"),
        (["evening.mp4", "--smoothing", "median:3"], "mean:5"),
    ],
)
def test_what_cannot_be_meant(
    folder: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert watch(folder, *words) == 2
    assert said in capsys.readouterr().err
