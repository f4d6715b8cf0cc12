"""`tubelet bench`: every form of a model, measured and compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import tiny
import tubelet
from tubelet.errors import ConfigError
from tubelet.exporting.bench import bench


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
