"""The processor's file of a transformers folder as our preprocessing. (Against the real processors: tests/parity.)"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.errors import ConfigError, WeightsError
from tubelet.weights.hf_preprocessing import VIDEOMAE, VIVIT, read_preprocessing, with_pixel_range

MODEL = ModelConfig(num_frames=8, hidden_size=8, num_heads=2)

# What google/vivit-b-16x2-kinetics400 (revision 8a7171a) and google/vivit-b-16x2 (eb7fdbc) have in this file.
KINETICS_400 = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViViTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 0.00784313725490196,
    "size": {"shortest_edge": 224},
}
UNFACTORISED = {
    **KINETICS_400,
    "do_normalize": False,
    "do_zero_centering": True,
    "image_processor_type": "VivitImageProcessor",
    "size": {"shortest_edge": 256},
}


def read(folder: Path, values: dict[str, Any], name: str = "preprocessor_config.json") -> tuple[Any, list[str]]:
    (folder / name).write_text(json.dumps(values))
    return read_preprocessing(folder, VIVIT, MODEL)


def test_the_published_kinetics_model_is_fed_from_minus_three_to_one_and_the_report_warns(tmp_path: Path) -> None:
    preprocessing, notes = read(tmp_path, KINETICS_400)
    assert preprocessing == PreprocessingConfig(num_frames=8, resize=224, mean=(0.75,) * 3, std=(0.25,) * 3)
    assert any(note.startswith("warning: preprocessor_config.json gives pixels in [-3, 1]") for note in notes)


def test_the_published_other_model_is_fed_from_minus_one_to_one(tmp_path: Path) -> None:
    preprocessing, notes = read(tmp_path, UNFACTORISED)
    assert preprocessing == PreprocessingConfig(num_frames=8)
    assert not any("warning" in note for note in notes)


def test_a_folder_without_a_processor_gets_the_papers_preprocessing_at_its_own_size(tmp_path: Path) -> None:
    model = ModelConfig(num_frames=8, hidden_size=8, num_heads=2, image_size=112)
    preprocessing, notes = read_preprocessing(tmp_path, VIVIT, model)
    assert preprocessing == PreprocessingConfig(num_frames=8, resize=128, crop_size=(112, 112))
    assert "no preprocessor_config.json: the paper's is assumed" in notes[0]
    preprocessing, notes = read_preprocessing(tmp_path, VIDEOMAE, model)
    assert (preprocessing.resize, preprocessing.frame_stride) == (112, 4)
    assert preprocessing.mean == (0.485, 0.456, 0.406)


def test_older_spellings_are_understood(tmp_path: Path) -> None:
    old = {"feature_extractor_type": "VideoMAEFeatureExtractor", "size": 256, "crop_size": 192, "resample": 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(old))
    preprocessing, _ = read_preprocessing(tmp_path, VIDEOMAE, MODEL)
    assert (preprocessing.resize, preprocessing.crop_size) == (256, (192, 192))
    assert preprocessing.interpolation == "bicubic"
    assert (preprocessing.mean[0], preprocessing.std[0]) == (0.5, 0.5)


def test_the_processor_says_whose_defaults_count(tmp_path: Path) -> None:
    """A ViViT that was fine-tuned with VideoMAE's processor sees what that gives: no offset."""
    preprocessing, _ = read(tmp_path, {"image_processor_type": "VideoMAEImageProcessor"})
    assert preprocessing == PreprocessingConfig(num_frames=8, frame_stride=4, resize=224)


def test_two_processors_that_differ_are_noted(tmp_path: Path) -> None:
    (tmp_path / "video_preprocessor_config.json").write_text(
        json.dumps({"video_processor_type": "VivitVideoProcessor"})
    )
    _, notes = read(tmp_path, {})
    assert not any("video_preprocessor_config.json" in note for note in notes)
    _, notes = read(tmp_path, UNFACTORISED)
    assert any(note.startswith("video_preprocessor_config.json says something else") for note in notes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"do_resize": False}, "do_resize is off"),
        ({"do_center_crop": False}, "do_center_crop is off"),
        ({"size": {"height": 224, "width": 224}}, "size is not one of a shortest_edge"),
        ({"size": "224"}, "size is not one of a shortest_edge"),
        ({"crop_size": {"shortest_edge": 224}}, "crop_size is not a height and a width"),
        ({"size": {"shortest_edge": 200}}, "resize=200 leaves a short side smaller than the crop"),
        ({"size": {"shortest_edge": 0}}, "resize=0 must be at least 1"),
        ({"resample": 1}, "resample=1 is neither bilinear (2) nor bicubic (3)"),
        ({"image_std": [0.5, 0.0, 0.5]}, "std"),
        ({"image_mean": [0.5, "a", 0.5]}, "image_mean holds 'a'"),
        ({"image_mean": []}, "image_mean is empty"),
        ({"image_mean": [0.5, 0.5]}, "one value per channel"),
        ({"rescale_factor": 0}, "division by zero"),
        ({"rescale_factor": None}, "rescale_factor holds None"),
        ({"image_processor_type": "ViTImageProcessor"}, "its type 'ViTImageProcessor' is none of"),
        ({"tubelet": {"frame_stride": "two"}}, "frame_stride: expected int, got 'two'"),
        ({"tubelet": []}, "which tubelet's preprocessing cannot do"),
    ],
)
def test_what_cannot_be_done_here_is_refused_with_the_way_out(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError) as caught:
        read(tmp_path, {**KINETICS_400, **changes})
    assert told in str(caught.value)
    assert "preprocessing=PreprocessingConfig(...)" in str(caught.value)


@pytest.mark.parametrize("pixel_range", [(1.0, -1.0), (0.0, 0.0), (0.0, float("inf"))])
def test_a_pixel_range_has_a_lower_and_a_higher_end(pixel_range: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="the lower one first"):
        with_pixel_range(PreprocessingConfig(), pixel_range)


def test_a_pixel_range_is_what_black_and_white_become() -> None:
    assert (
        with_pixel_range(PreprocessingConfig(mean=(0.75,) * 3, std=(0.25,) * 3), (-1.0, 1.0)) == PreprocessingConfig()
    )
    assert with_pixel_range(PreprocessingConfig(), (0.0, 1.0)) == PreprocessingConfig(mean=(0.0,) * 3, std=(1.0,) * 3)
