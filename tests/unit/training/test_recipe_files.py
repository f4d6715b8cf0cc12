"""The paper's recipes, figure by figure: what the original's configs say, and the paper's figure where it differs."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest

from tubelet.config import recipes, train_config

SGD = {"momentum": 0.9, "weight_decay": 0.0, "batch_size": 64, "warmup_epochs": 2.5, "clip_norm": 1.0}
COLOURS = {"colour": 0.8, "grey": 0.1, "rand_augment_layers": 0}
NO_COLOURS = {"colour": 0.0, "grey": 0.0, "rand_augment_ops": "original", "rand_augment_layers": 2}

WRITTEN: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    # name: model, optimisation, augmentation, positions
    "kinetics400": ({"drop_path": None}, {"learning_rate": 0.1, "epochs": 30}, COLOURS, "tile"),
    "kinetics400-fe": ({"temporal_layers": 4}, {"learning_rate": 0.05, "epochs": 30}, COLOURS, "tile"),
    "kinetics400-large-fe": ({"temporal_layers": 24}, {"learning_rate": 0.1, "epochs": 30}, COLOURS, "tile"),
    "kinetics600": ({"temporal_layers": 24}, {"learning_rate": 0.05, "epochs": 30}, COLOURS, "tile"),
    "moments-in-time": ({"temporal_layers": 24}, {"learning_rate": 0.25, "epochs": 10}, COLOURS, "tile"),
    "epic-kitchens": (
        {"temporal_layers": 4, "drop_path": 0.2},
        {"learning_rate": 0.5, "epochs": 50},
        {**NO_COLOURS, "rand_augment_magnitude": 15, "mixup": 0.1, "label_smoothing": 0.2},
        "tile",
    ),
    "something-something-v2": (
        {"temporal_layers": 4, "drop_path": 0.3},
        {"learning_rate": 0.4, "epochs": 35},
        {**NO_COLOURS, "rand_augment_magnitude": 20, "mixup": 0.3, "label_smoothing": 0.3},
        "resize",
    ),
}

PAPER_S_RATE = {"kinetics400-fe": 0.1, "kinetics600": 0.1, "something-something-v2": 0.5}
"""Where it is not that of the original's config."""

EXPECTED = {
    "kinetics400": ("79.9", "80.0"),
    "kinetics400-fe": ("78.4", "78.8"),
    "kinetics400-large-fe": ("80.3", "81.7"),
    "kinetics600": ("81.6", "82.9"),
    "moments-in-time": ("38.5", "64.1"),
    "epic-kitchens": ("44.0", "43.6"),
    "something-something-v2": ("65.9", "89.9"),
    "kinetics400-adamw": ("79.4", "94.0"),
}


def text_of(name: str) -> str:
    return (resources.files("tubelet") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_a_recipe_of_the_paper_says_what_the_original_s_config_says(name: str) -> None:
    model, optimisation, augmentation, positions = WRITTEN[name]
    config = train_config(name)
    assert {field: config.model.get(field) for field in model} == model
    for field, value in {**SGD, "optimiser": "sgd", **optimisation}.items():
        assert getattr(config.optimisation, field) == value, field
    plain = {"temporal": "random", "crop": "random", "flip": 0.5, "scale_jitter": (0.9, 1.33), "cutmix": 0, "erase": 0}
    for field, value in {**plain, "mixup": 0, "label_smoothing": 0, **augmentation}.items():
        assert getattr(config.augmentation, field) == value, field
    assert (config.adaptation.tubelet_init, config.adaptation.init_positions) == ("central_frame", positions)
    assert config.preprocessing["antialias"] is False


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_where_paper_and_code_differ_the_recipe_gives_both(name: str) -> None:
    (line,) = [line for line in text_of(name).splitlines() if line.startswith("learning_rate")]
    if name in PAPER_S_RATE:
        assert f"the paper: {PAPER_S_RATE[name]:g}" in line
    else:
        assert "the paper:" not in line


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_header_says_the_expected_result_and_the_views(name: str) -> None:
    header = text_of(name).partition("\n\n")[0]
    assert all(figure in recipes()[name] for figure in EXPECTED[name])
    assert "--views" in header or "views" in recipes()[name]


def test_the_modern_recipe_is_that_of_tadaconv_s_vivit() -> None:
    config = train_config("kinetics400-adamw")
    optimisation, augmentation = config.optimisation, config.augmentation
    assert (config.preset, config.model["drop_path"]) == ("vivit_base_16x2_fe", 0.1)
    assert (optimisation.optimiser, optimisation.learning_rate, optimisation.weight_decay) == ("adamw", 1e-4, 0.1)
    assert (optimisation.epochs, optimisation.warmup_epochs, optimisation.batch_size) == (30, 2.5, 256)
    assert (optimisation.ema_decay, augmentation.mixup, augmentation.label_smoothing) == (0.999, 0.2, 0.1)
    assert augmentation.cutmix > 0
    assert augmentation.colour > 0
