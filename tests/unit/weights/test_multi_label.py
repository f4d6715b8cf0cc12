"""The kind of a head and its thresholds in files: our own format, and that of transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tiny
import tubelet
from tubelet.config import OperatingPoint, PreprocessingConfig
from tubelet.errors import WeightsError
from tubelet.model import ViViT

POINTS = {
    "tags": OperatingPoint(thresholds=(0.25, 0.5, 0.75), fitted_on=40, split="val"),
    "place": OperatingPoint(temperature=1.5, unknown_below=0.6, background="none", fitted_on=40, split="val"),
}


def two_kinds() -> ViViT:
    model = tubelet.create(tiny.PRESET, **tiny.MODEL, num_classes={"tags": 3, "place": 2}, multi_label=("tags",))
    model.labels = {"tags": ["a", "b", "c"], "place": ["none", "street"]}
    model.operating_points = POINTS
    return model


def test_a_model_folder_keeps_both(tmp_path: Path) -> None:
    tubelet.save(two_kinds(), tmp_path / "model")
    loaded = tubelet.load(tmp_path / "model")
    assert loaded.config.multi_label == ("tags",)
    assert loaded.operating_points == POINTS


def test_a_folder_from_before_there_were_any_loads_and_has_none(tmp_path: Path) -> None:
    model = tubelet.create(tiny.PRESET, **tiny.MODEL, num_classes=2)
    tubelet.save(model, tmp_path / "model")
    described = json.loads((tmp_path / "model" / "config.json").read_text())
    assert "operating_points" not in described
    del described["model"]["multi_label"]
    (tmp_path / "model" / "config.json").write_text(json.dumps(described))
    loaded = tubelet.load(tmp_path / "model")
    assert loaded.config == model.config
    assert loaded.operating_points == {}


@pytest.mark.parametrize(
    ("head", "fields", "message"),
    [
        ("tags", {"thresholds": [0.5]}, "tags has 1 thresholds, expected 3"),
        ("place", {"thresholds": [0.5, 0.5]}, "place has 2 thresholds, expected None"),
        ("tags", {"thresholds": [0.5, 0.5, 1.5]}, "above 0 and at most 1"),
        ("tags", {"threshold": [0.5]}, "unknown field 'threshold'"),
    ],
)
def test_thresholds_that_do_not_fit_are_refused(
    head: str, fields: dict[str, object], message: str, tmp_path: Path
) -> None:
    tubelet.save(two_kinds(), tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    described = json.loads(file.read_text())
    described["operating_points"] = {head: fields}
    file.write_text(json.dumps(described))
    with pytest.raises(WeightsError, match=message):
        tubelet.load(tmp_path / "model")


def test_new_classes_have_no_thresholds(tmp_path: Path) -> None:
    model = two_kinds()
    assert tubelet.weights.adapt(model, dropout=0.1).operating_points == POINTS
    model.reset_classifier(4, multi_label=("label",))
    assert model.config.multi_label == ("label",)
    assert model.operating_points == {}


def test_transformers_are_given_the_kind_and_give_it_back(tmp_path: Path) -> None:
    sizes = {**tiny.MODEL, "variant": "spatio_temporal", "image_size": 16}
    del sizes["temporal_layers"]
    model = tubelet.create("vivit_tiny_16x2", **sizes, num_classes=3, multi_label=("label",))
    model.preprocessing = PreprocessingConfig(num_frames=4, resize=16, crop_size=(16, 16))
    tubelet.convert(model, tmp_path / "theirs", format="transformers")
    assert json.loads((tmp_path / "theirs" / "config.json").read_text())["problem_type"] == "multi_label_classification"
    assert tubelet.load(tmp_path / "theirs").config.multi_label == ("label",)
