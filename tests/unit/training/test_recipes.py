"""Recipes and configurations: the paper's numbers, layers on top of each other, and words that are not known."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tubelet.config import TrainConfig, cost, default_recipe, from_dict, override, recipes, to_dict, train_config
from tubelet.errors import ConfigError
from tubelet.presets import preset
from tubelet.training.model import preprocessing_for

PAPER = {
    # name: millions of parameters, (frames, stride), (short side, crop), rate, epochs, smoothing, drop-path, mixup
    "kinetics400": (88.95, (32, 2), (256, 224), 0.1, 30, 0, 0, 0),
    "kinetics400-fe": (115.06, (32, 2), (256, 224), 0.05, 30, 0, 0, 0),
    "kinetics400-large-fe": (606.83, (32, 2), (256, 224), 0.1, 30, 0, 0, 0),
    "kinetics600": (606.83, (32, 2), (256, 224), 0.05, 30, 0, 0, 0),
    "moments-in-time": (606.83, (32, 2), (256, 224), 0.25, 10, 0, 0, 0),
    "epic-kitchens": (354.90, (32, 1), (256, 224), 0.5, 50, 0.2, 0.2, 0.1),
    "something-something-v2": (354.96, (32, 1), (288, 256), 0.4, 35, 0.3, 0.3, 0.3),
}


@pytest.mark.parametrize("name", sorted(PAPER))
def test_the_paper_s_recipes_are_table_7(name: str) -> None:
    parameters, (frames, stride), (short, crop), rate, epochs, smoothing, drop_path, mixup = PAPER[name]
    config = train_config(name)
    assert config.preset is not None
    model = preset(config.preset, **config.model)
    preprocessing = preprocessing_for(model, config.preprocessing)
    optimisation, augmentation = config.optimisation, config.augmentation
    assert cost(model).parameters / 1e6 == pytest.approx(parameters, abs=0.01)
    assert (preprocessing.num_frames, preprocessing.frame_stride) == (frames, stride)
    assert (preprocessing.resize, preprocessing.crop_size) == (short, (crop, crop))
    assert (optimisation.optimiser, optimisation.momentum, optimisation.weight_decay) == ("sgd", 0.9, 0)
    assert (optimisation.learning_rate, optimisation.epochs, optimisation.warmup) == (rate, epochs, 2.5)
    assert (optimisation.batch_size, optimisation.clip_norm) == (64, 1)
    assert (augmentation.label_smoothing, model.drop_path, augmentation.mixup) == (smoothing, drop_path, mixup)
    assert (augmentation.scale_jitter, augmentation.flip) == ((0.9, 1.33), 0.5)
    assert bool(augmentation.colour) != bool(augmentation.rand_augment_layers)


@pytest.mark.parametrize("name", sorted(recipes()))
def test_every_recipe_describes_a_model_and_survives_the_way_through_json(name: str) -> None:
    config = train_config(name)
    if config.preset is not None:
        preprocessing_for(preset(config.preset, **config.model), config.preprocessing)
    assert from_dict(TrainConfig, to_dict(config)) == from_dict(
        TrainConfig, to_dict(from_dict(TrainConfig, to_dict(config)))
    )
    assert len(recipes()[name]) > 20


def test_recipe_then_files_then_fields_and_the_later_wins(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text("seed = 1\n[optimisation]\nepochs = 7\nbatch_size = 5\n[model]\nnum_heads = 6\n")
    (tmp_path / "two.toml").write_text("[optimisation]\nepochs = 8\n")
    config = train_config(
        "small-data", tmp_path / "one.toml", tmp_path / "two.toml", batch_size=4, model={"mlp_dim": 96}
    )
    assert (config.seed, config.optimisation.epochs, config.optimisation.batch_size) == (1, 8, 4)
    assert (config.model["num_heads"], config.model["mlp_dim"]) == (6, 96)
    assert config.model["hidden_size"] == train_config("small-data").model["hidden_size"]
    assert train_config(tmp_path / "one.toml").optimisation.epochs == 7


def test_the_recipe_is_chosen_by_what_the_weights_start_from(tmp_path: Path) -> None:
    assert train_config().preset == train_config("small-data").preset
    assert train_config(init="runs/first").preset is None
    (tmp_path / "own.toml").write_text('init = "vit.npz"\n')
    assert train_config(None, tmp_path / "own.toml").optimisation == train_config("fine-tune").optimisation
    for init in (None, "vit.npz"):
        name, why = default_recipe(init)
        assert name in recipes()
        assert name in why


def test_unknown_words_are_errors_with_the_nearest_known_one(tmp_path: Path) -> None:
    (tmp_path / "typo.toml").write_text("[optimisation]\nlerning_rate = 1.0\n")
    with pytest.raises(ConfigError, match=r"typo.*'lerning_rate'.*did you mean 'learning_rate'"):
        train_config("small-data", tmp_path / "typo.toml")
    with pytest.raises(ConfigError, match="did you mean 'label_smoothing'"):
        train_config(label_smothing=0.1)
    with pytest.raises(ConfigError, match="did you mean 'small-data'"):
        train_config("small-dat")
    (tmp_path / "broken.toml").write_text("epochs : 3")
    with pytest.raises(ConfigError, match=r"broken\.toml is not TOML"):
        train_config("small-data", tmp_path / "broken.toml")
    with pytest.raises(ConfigError, match=r"gone\.toml cannot be read"):
        train_config("small-data", tmp_path / "gone.toml")


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"epochs": 5, "warmup_epochs": 6.0}, "below epochs=5; leave it out for 0.417"),
        ({"batch_size": 2, "accumulate_steps": 3}, "use at most 2"),
        ({"preprocessing": {"crop_size": 64}}, r"set model\.image_size"),
        ({"ema_decay": 1.0}, "0.999"),
        ({"hold_out": 0.1, "hold_out_groups": ("7",)}, "leave one out"),
        ({"epochs": "many"}, "expected int, got 'many'"),
    ],
)
def test_values_that_cannot_be_meant_are_errors_that_help(fields: dict[str, object], advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        override(train_config("small-data"), **fields)


def test_field_names_are_unique_so_that_flags_need_no_prefix() -> None:
    config = train_config()
    seen: dict[str, str] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        names = [inner.name for inner in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else [field.name]
        for name in names:
            assert name not in seen, f"{name} is in {seen.get(name)} and in {field.name}"
            seen[name] = field.name


def test_the_short_side_keeps_the_paper_s_proportion_unless_told() -> None:
    model = preset("vivit_tiny_16x2_fe", image_size=(64, 96))
    assert preprocessing_for(model, {}).resize == 110
    assert preprocessing_for(model, {"resize": 96}).resize == 96
    assert preprocessing_for(model, {"sampling": "uniform"}).frame_stride == 1
    grey = preset("vivit_tiny_16x2_fe", in_channels=1)
    assert preprocessing_for(grey, {}).mean == (0.5,)
