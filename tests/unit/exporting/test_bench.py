"""`tubelet bench`: every form of a model, measured and compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tiny
import tubelet
from tubelet.errors import ConfigError
from tubelet.exporting.bench import bench


def test_every_form_is_measured_and_gives_what_the_model_gives(exported: Callable[[str], Path], trained: Path) -> None:
    rows = bench([trained, exported("onnx")], rounds=2)
    assert [row.form for row in rows if row.form != "bfloat16"] == ["plain", "optimise", "onnx"]
    for row in rows:
        assert row.seconds > 0
        assert row.megabytes > 0.01
        if row.form != "bfloat16":
            assert row.agreement == row.clips == 12
            assert row.probabilities < 1e-5


def test_other_classes_are_no_form_of_the_model(trained: Path, tmp_path: Path) -> None:
    tubelet.save(tiny.day_and_night(), tmp_path / "other")
    with pytest.raises(ConfigError, match="other classes"):
        bench([trained, tmp_path / "other"])
