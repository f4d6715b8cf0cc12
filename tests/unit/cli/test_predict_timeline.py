"""`tubelet predict --timeline`, as it is typed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import tiny
import tubelet
from tubelet.cli.main import main
from unit.prediction.camera import Camera


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that calls bright videos `day` and dark ones `night`, and two videos that change over."""
    root = tmp_path_factory.mktemp("timeline")
    tubelet.write_video(root / "morning.mp4", tiny.write_evening(root).flip(0), 10.0)
    return root


def predict(folder: Path, *words: str) -> int:
    return main(["predict", str(folder / "model"), *words])


def test_a_file_of_events_is_written_and_printed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(folder, str(folder / "evening.mp4"), "--timeline", str(tmp_path / "e.json")) == 0
    printed = capsys.readouterr()
    assert "day" in printed.out
    assert "every tubelet is encoded once" in printed.err
    events = json.loads((tmp_path / "e.json").read_text())["events"]
    assert [event["label"] for event in events] == ["day", "night"]
    assert events[0]["start"] == 0.0
    assert events[0]["end"] == pytest.approx(1.0, abs=0.25)
    assert events[1]["start"] == pytest.approx(1.0, abs=0.25)
    assert predict(folder, str(folder / "evening.mp4"), "--timeline", str(tmp_path / "e.json")) == 2
    assert "is not overwritten" in capsys.readouterr().err


def test_a_folder_gets_every_format_and_an_unreadable_video_stops_no_other(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    videos = [str(folder / "evening.mp4"), str(tmp_path / "broken.mp4"), str(folder / "morning.mp4")]
    assert predict(folder, *videos, "--timeline", str(tmp_path / "out"), "--json", "--smoothing", "mean:2") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["error"] is None for line in lines] == [True, False, True]
    assert [event["label"] for event in lines[2]["events"]] == ["night", "day"]
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == sorted(f"{stem}.{kind}" for stem in ("evening", "morning") for kind in ("csv", "json", "srt"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--hop", "3"], "--hop belongs to --timeline"),
        (["--timeline", "x.json", "--views", "4x1"], "mean nothing with --timeline"),
        (["--timeline", "x.txt"], "expected a file with .json"),
        (["--timeline", "x.srt", "--smoothing", "median:3"], "mean:5"),
        (["--timeline", "x.srt", "--on", "0.2"], "0 < off <= on"),
    ],
)
def test_flags_that_cannot_be_meant(
    folder: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(folder, str(folder / "evening.mp4"), *words) == 2
    assert said in capsys.readouterr().err


def test_several_videos_do_not_go_into_one_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "x.srt")
    assert predict(folder, str(folder / "*.mp4"), "--timeline", out) == 2
    assert "2 videos; name a folder" in capsys.readouterr().err


def test_what_a_camera_showed_until_it_broke_off_is_kept(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Events are in a file of their own as soon as they are over; the error is in the output."""
    out, meanwhile = tmp_path / "door.json", []

    def level(moment: float) -> int:
        if moment > 2.5 and Path(f"{out}.part").exists():
            meanwhile.append(Path(f"{out}.part").read_text())
        return 250 if 0.5 < moment < 1.5 else 5

    with Camera(level, lasts=lambda number: 3.0, connections=1) as camera:
        address = camera.address
        assert predict(folder, address, "--timeline", str(out), "--json", "--reconnect", "0.5") == 1
    printed = capsys.readouterr()
    line = json.loads(printed.out)
    assert "could not be connected again" in line["error"]
    assert [event["label"] for event in line["events"]] == ["night", "day", "night"]
    assert json.loads(out.read_text())["events"] == line["events"]
    assert line["interruptions"] == {"breaks": 0, "clock_jumps": 0, "dropped": 0}
    assert [json.loads(event)["label"] for event in meanwhile[-1].splitlines()] == ["night", "day"]
    assert [path.name for path in tmp_path.iterdir()] == ["door.json"]
    for secret in ("user", "word", "secret"):
        assert secret not in printed.out + printed.err + out.read_text()


def test_a_camera_that_came_back_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Camera(lambda moment: 5, lasts=lambda number: 1.5, connections=2) as camera:
        words = [camera.address, "--timeline", str(tmp_path / "timelines"), "--reconnect", "0.5"]
        assert predict(folder, *words) == 1
    assert "http://127.0.0.1" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "timelines").iterdir()) == ["door.csv", "door.json", "door.srt"]
    stored = json.loads((tmp_path / "timelines" / "door.json").read_text())
    assert stored["interruptions"]["breaks"] == 1
    assert stored["error"].startswith("the ")


def test_what_a_run_that_was_ended_had_found_is_not_replaced(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "e.json.part").write_text("found before")
    words = [str(folder / "evening.mp4"), "--timeline", str(tmp_path / "e.json")]
    assert predict(folder, *words) == 2
    assert "e.json.part exists and is not overwritten" in capsys.readouterr().err
    assert (tmp_path / "e.json.part").read_text() == "found before"
    assert predict(folder, *words, "--overwrite") == 0


@pytest.mark.parametrize(
    "address", ["rtsp://user:pa/ss@w?rd@127.0.0.1:1/door?token=secret", "rtsp://user:word@127.0.0.1:1"]
)
@pytest.mark.parametrize(
    "words",
    [
        "predict MODEL ADDRESS",
        "predict ADDRESS clips",
        "predict MODEL ADDRESS --timeline OUT",
        "predict MODEL ADDRESS ADDRESS --timeline OUT",
        "predict MODEL ADDRESS --timeline OUT.json --json",
        "predict MODEL --no-such-flag ADDRESS",
        "evaluate MODEL ADDRESS --json",
        "train ADDRESS --out OUT",
        "data check ADDRESS",
        "ADDRESS",
    ],
)
def test_no_word_shows_a_password(
    folder: Path, tmp_path: Path, words: str, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"MODEL": str(folder / "model"), "ADDRESS": address}
    named = [places.get(word, word.replace("OUT", str(tmp_path / "out"))) for word in words.split()]
    assert main(named) in (1, 2)
    printed = capsys.readouterr()
    names = "".join(path.name for path in tmp_path.rglob("*"))
    for secret in ("user", "pa/ss", "w?rd", "word@", "secret"):
        assert secret not in printed.out + printed.err + names


def test_a_rate_that_is_not_the_models_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tubelet.load(folder / "model")
    assert model.preprocessing is not None
    model.preprocessing = dataclasses.replace(model.preprocessing, frames_per_second=5.0)
    tubelet.save(model, tmp_path / "slower")
    words = ["predict", str(tmp_path / "slower"), str(folder / "evening.mp4")]
    assert main([*words, "--json"]) == 0
    printed = capsys.readouterr()
    assert "1 of 1 video sampled by timestamps, since the frame rate is not the model's" in printed.err
    assert (json.loads(printed.out)["resampled"], json.loads(printed.out)["frames"]) == (True, [6, 8, 10, 12])
    assert main([*words, "--json", "--no-resample"]) == 0
    printed = capsys.readouterr()
    assert "timestamps, since" not in printed.err
    assert (json.loads(printed.out)["resampled"], json.loads(printed.out)["frames"]) == (False, [8, 9, 10, 11])
    assert main([*words, "--timeline", str(tmp_path / "t.json")]) == 0
    assert "a decision every 2 frames at 5 frames per second" in capsys.readouterr().err
