"""Invalid configurations are refused with advice; valid ones survive a round trip."""

from __future__ import annotations

import json

import pytest

from tubelet.config import ModelConfig, from_dict, replace, to_dict, uniform_frame_indices
from tubelet.errors import ConfigError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_frames": 15}, "num_frames=15 is not a multiple of the tubelet's 2 frames; use 14 or 16"),
        ({"num_frames": 1}, "num_frames=1 is not a multiple of the tubelet's 2 frames; use 2"),
        ({"image_size": (224, 230)}, "width=230 is not a multiple of the tubelet's 16 pixels; use 224 or 240"),
        ({"num_heads": 5}, "hidden_size=768 is not a multiple of num_heads=5; use 765 or 770"),
        ({"pool": "token"}, "pool='token' is not one of 'cls', 'mean', 'max'"),
        ({"variant": "factorised_self_attention", "pool": "cls"}, "no class token"),
        ({"variant": "factorised_dot_product", "num_heads": 3}, "use an even number"),
        ({"temporal_layers": 4}, "belongs to variant='factorised_encoder'"),
        ({"attention_order": "space_time"}, "belongs to variant='factorised_self_attention'"),
        ({"sampled_frames": 8}, "belongs to embedding='uniform_frames'"),
        ({"embedding": "uniform_frames"}, r"use \(1, 16, 16\)"),
        ({"embedding": "conv_stem", "tubelet_size": (2, 14, 14)}, "multiples of 4"),
        ({"dropout": 1.0}, "from 0 to below 1"),
        ({"num_classes": {}}, "at least one head"),
        ({"num_classes": {"verb": 97, "noun": 0}}, "at least one class"),
        ({"num_frames": 32.0}, "num_frames: expected int, got 32.0"),
        ({"num_layers": True}, "num_layers: expected int, got True"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_way_out(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**fields)  # type: ignore[arg-type]


def test_defaults_follow_the_variant() -> None:
    assert ModelConfig().pool == "cls"
    assert ModelConfig(variant="factorised_encoder").temporal_layers == 4
    model3 = ModelConfig(variant="factorised_self_attention")
    assert (model3.pool, model3.attention_order) == ("mean", "space_time")


def test_survives_json() -> None:
    for config in (
        ModelConfig(num_classes={"verb": 97, "noun": 300}, image_size=(224, 320)),
        ModelConfig(embedding="uniform_frames", tubelet_size=(1, 16, 16), sampled_frames=8),
        ModelConfig(variant="factorised_encoder", temporal_layers=0),
    ):
        assert from_dict(ModelConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_an_unknown_field_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'hiden_size' of ModelConfig; did you mean 'hidden_size'"):
        from_dict(ModelConfig, {"hiden_size": 768})
    with pytest.raises(ConfigError, match="did you mean 'num_frames'"):
        replace(ModelConfig(), num_frame=16)


def test_replacing_the_variant_drops_what_it_has_no_use_for() -> None:
    config = ModelConfig(variant="factorised_encoder", temporal_layers=2)
    assert replace(config, variant="factorised_self_attention") == ModelConfig(variant="factorised_self_attention")


def test_uniform_frame_sampling_picks_the_originals_frames() -> None:
    assert uniform_frame_indices(32, 8) == [4, 7, 11, 14, 18, 21, 25, 28]
    assert len(uniform_frame_indices(128, 18)) == 19  # the original's floating-point quirk, which its own test pins
    config = ModelConfig(embedding="uniform_frames", tubelet_size=(1, 16, 16), num_frames=128, sampled_frames=18)
    assert config.grid == (19, 14, 14)
