"""`tubelet predict --timeline`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import tubelet
from tubelet.cli.main import main
from tubelet.config import PreprocessingConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that calls bright videos `day` and dark ones `night`, and two videos that change over."""
    root = tmp_path_factory.mktemp("timeline")
    model = tubelet.create(
        "vivit_tiny_16x2_fe",
        labels=["day", "night"],
        num_frames=4,
        image_size=16,
        tubelet_size=(2, 8, 8),
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        mlp_dim=16,
        temporal_layers=0,
        pool="mean",
        output_norm="after_pool",
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embedding.weight[0].fill_(1.0)
        model.embedding.weight[1].fill_(-1.0)
        model.spatial_encoder.norm.weight.fill_(1.0)
        model.head.weight[0, 0], model.head.weight[1, 1] = 5.0, 5.0
    model.preprocessing = PreprocessingConfig(num_frames=4, frame_stride=1, resize=16, crop_size=(16, 16))
    tubelet.save(model, root / "model")
    frames = torch.full((20, 3, 16, 16), 250, dtype=torch.uint8)
    frames[10:] = 5
    tubelet.write_video(root / "evening.mp4", frames, 10.0)
    tubelet.write_video(root / "morning.mp4", frames.flip(0), 10.0)
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
