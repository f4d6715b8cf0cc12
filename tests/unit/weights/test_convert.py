"""`tubelet.convert`: between all formats, from files and from models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import tubelet
from tubelet import ConfigError, WeightsError
from unit.weights.kinds import tiny


def logits(source: Path, **fields: Any) -> torch.Tensor:
    video = torch.linspace(-1, 1, 4 * 3 * 16 * 16).view(1, 4, 3, 16, 16)
    with torch.no_grad():
        return tubelet.load(source, **fields)(video)


def test_round_the_formats_and_back(tmp_path: Path) -> None:
    tubelet.save(tiny(image_size=(16, 16)), tmp_path / "a")
    expected = logits(tmp_path / "a")
    tubelet.convert(tmp_path / "a", tmp_path / "b", format="transformers")
    tubelet.convert(tmp_path / "b", tmp_path / "c.checkpoint", format="scenic", layout="params")
    tubelet.convert(tmp_path / "c.checkpoint", tmp_path / "d", image_size=(16, 16))
    assert torch.equal(logits(tmp_path / "b"), expected)
    assert torch.equal(logits(tmp_path / "c.checkpoint", image_size=(16, 16)), expected)
    assert torch.equal(logits(tmp_path / "d"), expected)


def test_the_report_says_what_was_read_and_what_got_lost(tmp_path: Path) -> None:
    model = tiny(image_size=(16, 16))
    model.labels = {"label": list("abc")}
    tubelet.save(model, tmp_path / "a")
    report = tubelet.convert(tmp_path / "a", tmp_path / "b", format="scenic")
    assert report.format == "native"
    assert report.counts()["loaded"] == len(model.state_dict())
    assert "class names and preprocessing have no place in it" in report.notes
    assert any(note.endswith("load it with image_size=(16, 16), num_frames=4") for note in report.notes)


def test_a_model_is_adapted_and_written(tmp_path: Path) -> None:
    tubelet.convert(tiny(image_size=(16, 16)), tmp_path / "a", num_frames=8)
    assert tubelet.load(tmp_path / "a").config.num_frames == 8


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    for out, format in (("a", "native"), ("b", "transformers"), ("c", "scenic")):
        tubelet.convert(tiny(image_size=(16, 16)), tmp_path / out, format)
        with pytest.raises(WeightsError):
            tubelet.convert(tiny(image_size=(16, 16)), tmp_path / out, format)
        tubelet.convert(tiny(image_size=(16, 16)), tmp_path / out, format, overwrite=True)


def test_an_unknown_format_or_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'native', 'transformers', 'scenic'"):
        tubelet.convert(tiny(), tmp_path / "x", format="onnx")
    with pytest.raises(ConfigError, match="'optimizer', 'params'"):
        tubelet.convert(tiny(), tmp_path / "x", format="scenic", layout="transformers_5")
    with pytest.raises(ConfigError, match="leave it out"):
        tubelet.convert(tiny(), tmp_path / "x", layout="params")
    assert list(tmp_path.iterdir()) == []
