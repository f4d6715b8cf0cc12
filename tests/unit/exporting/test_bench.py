"""`tubelet bench`: every form of a model, measured and compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tiny
import tubelet
from tubelet.cli.main import main
from tubelet.errors import ConfigError
from tubelet.exporting.bench import bench
from tubelet.provenance import KnownVideo, Provenance


def test_every_form_is_measured_and_gives_what_the_model_gives(
    exported: Callable[[str], Path], trained: Path, bars: Path
) -> None:
    rows = bench([trained, exported("onnx")], data=[bars], rounds=2)
    evaluated = tubelet.evaluate(str(trained), str(bars))
    assert [row.form for row in rows if row.form != "bfloat16"] == ["plain", "optimise", "onnx"]
    for row in rows:
        assert row.seconds > 0
        assert row.megabytes > 0.01
        assert row.memory is not None
        assert row.memory > 0.1
        if row.form != "bfloat16":
            assert row.agreement == row.clips == 12
            assert row.probabilities < 1e-5
            assert row.right == round(evaluated.top1 * 12)


def test_other_classes_are_no_form_of_the_model(trained: Path, tmp_path: Path) -> None:
    tubelet.save(tiny.day_and_night(), tmp_path / "other")
    with pytest.raises(ConfigError, match="other classes"):
        bench([trained, tmp_path / "other"], memory=False)


def test_videos_that_were_learned_from_are_counted_beside_the_right_ones(
    trained: Path, bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learned = [str(video.resolve()) for video in sorted(bars.rglob("*.mp4"))[:5]]
    model = tubelet.load(trained)
    model.provenance = Provenance(tuple(KnownVideo("run", "learned", "train", path, None) for path in learned))
    tubelet.save(model, tmp_path / "known")
    assert main(["bench", str(tmp_path / "known"), "--data", str(bars), "--rounds", "1", "--no-memory"]) == 0
    assert "known learned from 5 of these 12 videos" in " ".join(capsys.readouterr().err.split())
    assert main(["bench", str(trained), "--data", str(bars), "--rounds", "1", "--no-memory"]) == 0
    assert "not known whether model learned from these videos" in " ".join(capsys.readouterr().err.split())
