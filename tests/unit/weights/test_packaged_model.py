"""The model `demo`, which comes with the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import tubelet
from tubelet.cli.main import main
from tubelet.paths import packaged_model
from tubelet.runs import check_samples
from tubelet.weights.sample_clips import SampleClips


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("elsewhere")
def test_it_predicts_its_clip_without_a_video_or_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "demo", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert Path(said["path"]).name == "clip.mp4"
    assert said["label"] == "left-slow-rgb"
    assert said["probability"] > 0.9


@pytest.mark.usefixtures("elsewhere")
def test_only_that_model_has_a_video_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "runs/mine"]) == 2
    assert "no video was named" in capsys.readouterr().err


def test_the_folder_of_a_demonstration_does_not_hide_it_and_a_model_does(elsewhere: Path) -> None:
    (elsewhere / "demo" / "runs").mkdir(parents=True)
    (elsewhere / "demo" / "demo.json").write_text("{}")
    assert tubelet.load("demo").labels is not None
    packaged = packaged_model("demo")
    assert packaged is not None
    for name in ("config.json", "model.safetensors"):
        shutil.copy(packaged / name, elsewhere / "demo")
    assert packaged_model("demo") is None
    assert tubelet.load("demo").sample_clips is None  # these are beside the packaged one alone


@pytest.mark.usefixtures("elsewhere")
def test_it_is_small_and_computes_here_what_it_computed_when_it_was_trained() -> None:
    folder = packaged_model("demo")
    assert folder is not None
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1_000_000
    clips = SampleClips.read(folder)
    assert {int(logits.argmax()) for logits in clips.logits["label"]} == set(range(8))
    assert check_samples("demo", backends=("plain", "optimise")).ok
