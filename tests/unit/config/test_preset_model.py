"""A preset that is named decides the sizes of the model; the recipe adds what fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tubelet.config import TrainConfig, override, pretrain_config, recipes, train_config
from tubelet.config.preset_model import SIZES
from tubelet.config.preset_table import preset, presets
from tubelet.errors import ConfigError


def sizes(config: TrainConfig) -> dict[str, object]:
    assert config.preset is not None
    model = preset(config.preset, **config.model)
    return {name: getattr(model, name) for name in SIZES}


@pytest.mark.parametrize("recipe", recipes())
def test_every_preset_is_trained_at_its_own_sizes_with_every_recipe(recipe: str) -> None:
    for name, model in presets().items():
        config = train_config(recipe, preset=name)
        assert config.preset == name
        assert sizes(config) == {size: getattr(model, size) for size in SIZES}, name


def test_the_recipe_adds_what_fits_and_frames_are_resized_in_its_proportion() -> None:
    config = train_config(preset="vivit_base_16x2")
    assert (config.model["embedding"], config.model["pool"]) == ("conv_stem", "weighted")
    assert config.preprocessing["resize"] == round(76 * 224 / 64)
    huge = train_config(preset="vivit_huge_14x2_fsa")  # the stem's cells are 4 pixels wide
    assert "embedding" not in huge.model


def test_the_recipe_s_own_preset_can_be_named_too() -> None:
    assert sizes(train_config(preset="vivit_tiny_16x2_fe"))["hidden_size"] == 192
    assert sizes(train_config())["hidden_size"] == 128


def test_what_a_user_sets_wins_over_the_preset_in_fields_and_in_files(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("[model]\nnum_frames = 8\n")
    config = train_config(None, own, preset="vivit_small_16x2_fe", model={"image_size": 128})
    found = sizes(config)
    assert (found["hidden_size"], found["num_frames"], found["image_size"]) == (384, 8, (128, 128))
    assert train_config(None, own).model["hidden_size"] == 128


def test_what_cannot_go_together_names_what_was_typed_and_where(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"preset=vivit_base_16x2 and temporal_layers=2 do not go together"):
        train_config(preset="vivit_base_16x2", model={"temporal_layers": 2})
    own = tmp_path / "own.toml"
    own.write_text("[model]\ntemporal_layers = 3\n")
    with pytest.raises(ConfigError, match=r"own\.toml: preset=vivit_base_16x2 and temporal_layers=3"):
        train_config(None, own, preset="vivit_base_16x2")


def test_what_the_recipe_says_of_one_variant_is_no_reproach_to_another() -> None:
    config = train_config(model={"variant": "factorised_self_attention"})
    assert preset(str(config.preset), **config.model).variant == "factorised_self_attention"


def test_a_configuration_that_is_changed_and_a_pretraining_follow_the_same_rule() -> None:
    assert sizes(override(train_config(), preset="vivit_base_16x4_fdp"))["hidden_size"] == 768
    own = override(train_config(model={"num_frames": 8}), preset="vivit_small_16x2")
    assert (sizes(own)["num_frames"], sizes(own)["hidden_size"]) == (8, 384)
    pretraining = pretrain_config(preset="vivit_small_16x2")
    assert preset("vivit_small_16x2", **pretraining.model).hidden_size == 384
