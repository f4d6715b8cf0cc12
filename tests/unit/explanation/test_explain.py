"""From a video to files: where the map lies in the picture, what is written, what the verb prints."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy
import pytest
import torch
from tests.unit.explanation.models import model_of_a_corner

import tubelet
from tubelet.cli.main import main
from tubelet.errors import ConfigError
from tubelet.explanation.overlay import Overlay
from tubelet.explanation.page import write_files
from tubelet.video import read_video, write_video


def video_with_a_square(path: Path, top: int, left: int, *, height: int = 32, width: int = 32) -> Path:
    frames = torch.zeros(24, 3, height, width, dtype=torch.uint8)
    frames[:, :, top : top + 8, left : left + 8] = 255
    return write_video(path, frames, 12.5)


def test_what_decides_is_hottest_where_it_is_and_when(tmp_path: Path) -> None:
    model = model_of_a_corner(1, 2)
    found = tubelet.explain(model, video_with_a_square(tmp_path / "a.mp4", 8, 16), target="bright", method="balanced")
    assert found.map.shape == (4, 4, 4)
    assert found.map[:, 1, 2].sum() == pytest.approx(float(found.map.abs().sum()), rel=0.2)
    assert float(found.map.sum()) + sum(found.unattributed.values()) == pytest.approx(found.logit, abs=1e-4)
    assert [frames[0] for frames in found.views[0].frames] == sorted(frames[0] for frames in found.views[0].frames)


def test_the_film_has_the_length_and_times_of_the_video(tmp_path: Path) -> None:
    video = video_with_a_square(tmp_path / "a.mp4", 8, 16, height=48, width=80)
    found = tubelet.explain(model_of_a_corner(1, 2), video, target="bright", method="balanced", score=True)
    files = write_files(found, video, tmp_path / "out", "a")
    with av.open(str(files.film)) as film, av.open(str(video)) as source:
        times = [[float(frame.time) for frame in one.decode(video=0)] for one in (film, source)]
        ends = [float(one.streams.video[0].duration * one.streams.video[0].time_base) for one in (film, source)]
    numpy.testing.assert_allclose(times[0], times[1], atol=1e-4)
    assert ends[0] == pytest.approx(ends[1], abs=1 / 12.5)
    page = files.page.read_text()
    assert "a.mp4" in page
    assert "relevance gain" in page.lower()
    numbers = json.loads(files.numbers.read_text())
    assert numbers["curve"] == pytest.approx(found.curve.tolist())
    assert numbers["score"]["gain"] == found.score.gain


def test_an_explanation_saves_itself_and_replaces_nothing(tmp_path: Path) -> None:
    model, video = model_of_a_corner(1, 2), video_with_a_square(tmp_path / "a.mp4", 8, 16)
    found = tubelet.explain(model, video, method="balanced")
    files = found.save(tmp_path / "out")
    assert [file.name for file in vars(files).values()] == ["a.mp4", "a.png", "a.html", "a.json"]
    with pytest.raises(ConfigError, match=r"a\.mp4 exists and is not overwritten"):
        found.save(tmp_path / "out")
    found.save(tmp_path / "out", overwrite=True)
    with pytest.raises(ConfigError, match="one of the files to be read"):
        found.save(tmp_path, overwrite=True)
    frames = read_video(video).frames
    in_memory = tubelet.explain(model, frames, method="balanced")
    with pytest.raises(ConfigError, match="give them again"):
        in_memory.save(tmp_path / "out")
    assert in_memory.save(tmp_path / "out", frames, name="b").film.stat().st_size > 0
    tensor = tubelet.explain(model, torch.zeros(1, 8, 3, 32, 32), method="balanced")
    with pytest.raises(ConfigError, match="no video to draw on"):
        tensor.save(tmp_path / "out")


def test_a_notebook_shows_the_frames_and_the_curve(tmp_path: Path) -> None:
    model, video = model_of_a_corner(1, 2), video_with_a_square(tmp_path / "<b>.mp4", 8, 16)
    found = tubelet.explain(model, video, method="balanced")
    shown = found._repr_html_()
    assert shown.count("data:image/png;base64,") == 2
    assert "&lt;b&gt;.mp4" in shown
    video.unlink()
    moved = found._repr_html_()
    assert moved.count("data:image/png;base64,") == 1
    assert "does not exist" in moved
    tensor = tubelet.explain(model, torch.zeros(1, 8, 3, 32, 32), method="balanced")
    assert tensor._repr_html_().count("data:image/png;base64,") == 1


def test_areas_that_the_crop_never_saw_are_dark(tmp_path: Path) -> None:
    frames = torch.full((24, 3, 32, 64), 200, dtype=torch.uint8)
    video = write_video(tmp_path / "wide.mp4", frames, 12.5)
    found = tubelet.explain(model_of_a_corner(1, 2), video, method="balanced")
    overlay = Overlay(found)
    painted = overlay.paint(frames[0], found.views[0].frames[0][0])
    middle, side = painted[:, overlay.size[1] // 2].mean(), painted[:, 2].mean()
    assert side < 0.5 * middle


def test_a_short_clip_that_repeats_sums_by_frame(tmp_path: Path) -> None:
    """Four frames where sixteen are needed: the curve over the video's frames keeps the sum of the map."""
    frames = torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    video = write_video(tmp_path / "short.mp4", frames, 12.5)
    found = tubelet.explain(model_of_a_corner(1, 2), video, method="balanced")
    assert len(found.over_frames()) == 4
    assert float(found.over_frames().sum()) == pytest.approx(float(found.map.sum()), rel=1e-6)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"target": "brihgt"}, "'brihgt' is no class of this model; did you mean 'bright'"),
        ({"target": 7}, "class 7 does not exist: 'label' has classes 0 to 1"),
        ({"target": 0, "against": "bright"}, "target and against are the same class"),
        ({"target": "verb:bright"}, "'verb:bright' is no class"),
    ],
)
def test_a_class_that_does_not_exist_is_an_error(wanted: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tubelet.explain(model_of_a_corner(0, 0), torch.zeros(1, 8, 3, 32, 32), method="balanced", **wanted)


def test_the_verb_writes_files_and_never_replaces_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tubelet.save(model_of_a_corner(1, 2), tmp_path / "model")
    video = video_with_a_square(tmp_path / "a.mp4", 8, 16)
    words = ["explain", str(tmp_path / "model"), str(video), "--out", str(tmp_path / "out"), "--json", "--score"]
    assert main(words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["target"]["class"] in ("bright", "other")
    assert shown["score"]["better_than_chance"] in (True, False)
    assert Path(shown["files"]["page"]).is_file()
    assert main(words) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_the_verb_without_videos_says_what_to_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tubelet.save(model_of_a_corner(1, 2), tmp_path / "model")
    assert main(["explain", str(tmp_path / "model")]) == 2
    assert "tubelet explain MODEL VIDEO" in capsys.readouterr().err
