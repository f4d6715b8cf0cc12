"""A run of the default sampling knows how long its videos are, and streams by that."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tubelet
from tubelet.cli.main import main
from tubelet.config import PreprocessingConfig
from tubelet.data import Sample, Table
from tubelet.errors import ConfigError
from tubelet.training.lengths import with_training_lengths

UNIFORM = PreprocessingConfig(num_frames=4, frame_stride=1, sampling="uniform", resize=16, crop_size=(16, 16))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of 10, 20 and 40 frames in each class."""
    folder = tmp_path_factory.mktemp("lengths")
    for label, level in (("dark", 10), ("bright", 200)):
        (folder / label).mkdir()
        for count in (10, 20, 40):
            frames = torch.full((count, 3, 16, 16), level, dtype=torch.uint8)
            tubelet.write_video(folder / label / f"{count}.mp4", frames, 10.0)
    return folder


def test_a_default_run_makes_timelines(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tubelet.create(
        "vivit_tiny_16x2",
        labels=["bright", "dark"],
        num_frames=4,
        image_size=16,
        tubelet_size=(2, 8, 8),
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        mlp_dim=16,
    )
    model.preprocessing = UNIFORM
    run = tmp_path / "run"
    table = tubelet.data.read_table(clips).with_splits(lambda sample: "train")
    trained = tubelet.train(table, run, model=model, epochs=1, batch_size=2, preprocessing={"sampling": "uniform"})
    preprocessing = tubelet.load(run).preprocessing
    assert preprocessing is not None
    assert preprocessing.median_frames == 20
    video = clips / "dark" / "40.mp4"
    with tubelet.stream(trained.model, video) as decisions:
        assert decisions.frame_stride == 5
        assert next(decisions).frames == (0, 15)
    capsys.readouterr()
    assert main(["predict", str(run), str(video), "--timeline", str(tmp_path / "t.srt")]) == 0
    assert capsys.readouterr().err.count("median 20 frames") == 1


def test_an_old_run_names_the_flag(clips: Path) -> None:
    model = tubelet.create("vivit_tiny_16x2", num_frames=4, image_size=16, tubelet_size=(2, 8, 8), num_classes=2)
    model.preprocessing = UNIFORM
    with pytest.raises(ConfigError, match="--frame-stride 4"):
        tubelet.stream(model, clips / "dark" / "40.mp4")


def test_parts_of_videos_count_by_themselves_and_what_cannot_be_read_does_not(clips: Path, tmp_path: Path) -> None:
    video = str(clips / "dark" / "40.mp4")
    samples = [Sample(video, {}, start=1.0, end=2.0), Sample(video, {}, start=2.0, end=3.0), Sample("gone.mp4", {})]
    assert with_training_lengths(UNIFORM, Table(tuple(samples), {}, ""))[0].median_frames == 10
    assert with_training_lengths(UNIFORM, Table((samples[2],), {}, ""))[0].median_frames is None
