"""Configuration files in TOML: an invalid value is a ConfigError, whatever its type."""

from __future__ import annotations

from pathlib import Path

import pytest

from tubelet.config import ModelConfig, OptimisationConfig, PretrainConfig, TrainConfig, pretrain_config, train_config
from tubelet.config.preset_table import preset
from tubelet.errors import ConfigError


def model_of(config: TrainConfig | PretrainConfig) -> ModelConfig:
    """As a training builds its model."""
    assert config.preset is not None
    return preset(config.preset, **config.model)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\ntubelet_size = 3", "tubelet_size: expected a list, got 3"),
        ('[model]\nimage_size = "x"', "image_size"),
        ("[model]\nimage_size = [nan, 1.0]", "image_size"),
        ("[model]\nnum_classes = 1.5", "num_classes"),
        ("preset = [1]", r"unknown preset \[1\]"),
        ("preset = true", "unknown preset True"),
        ("[optimisation]\nbetas = [0.9, 1.5]", "betas=.0.9, 1.5. must each be from 0 to below 1"),
        ("[optimisation]\nlearning_rate = nan", "learning_rate: expected a finite number, got nan"),
        ("[optimisation]\nclip_norm = inf", "clip_norm: expected a finite number, got inf"),
        ("[data]\nworkers = 2147483648", "workers=2147483648 must be from 0"),
    ],
)
def test_values_that_cannot_be_meant(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    for read in (train_config, pretrain_config):
        with pytest.raises(ConfigError, match=message):
            model_of(read(None, tmp_path / "run.toml"))


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "momentum", "clip_norm", "minutes"])
def test_no_setting_is_infinite(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected a finite number, got inf"):
        OptimisationConfig(**{name: float("inf")})
