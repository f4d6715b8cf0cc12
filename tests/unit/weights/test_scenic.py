"""Checkpoints of Scenic: what is deduced, what is asked for, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tubelet
from tubelet import ConfigError, WeightsError
from tubelet.model import ViViT
from tubelet.weights.msgpack_tree import flatten, read_tree, unflatten, write_tree
from tubelet.weights.scenic import save_scenic
from unit.weights.kinds import KINDS, tiny

Tree = dict[str, Any]


def written(tmp_path: Path, change: Callable[[Tree], object] = lambda tree: None, **fields: Any) -> Path:
    """A checkpoint of a small model whose parameters (path to tensor) were changed."""
    file = tmp_path / "checkpoint"
    save_scenic(tiny(**fields), file, overwrite=True)
    parameters = flatten(read_tree(file)["optimizer"]["target"])
    change(parameters)
    write_tree({"optimizer": {"target": unflatten(parameters)}, "global_step": 1}, file)
    return file


def fields_of(model: ViViT) -> dict[str, Any]:
    config = model.config
    names = ["image_size", "num_frames", "variant", "pool", "num_classes", "sampled_frames", "attention_order"]
    return {name: getattr(config, name) for name in names if getattr(config, name) is not None}


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_model_comes_back_bit_for_bit(kind: str, tmp_path: Path) -> None:
    model = tiny(**KINDS[kind])
    save_scenic(model, tmp_path / "x.checkpoint")
    loaded = tubelet.load(tmp_path / "x.checkpoint", **fields_of(model))
    theirs = loaded.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in model.state_dict().items())
    video = torch.randn(2, model.config.num_frames, 3, *model.config.image_size)
    expected, got = model(video), loaded(video)
    pairs = [(expected, got)] if isinstance(expected, Tensor) else [(expected[head], got[head]) for head in expected]
    assert all(torch.equal(one, other) for one, other in pairs)


def test_everything_the_tree_tells_is_deduced(tmp_path: Path) -> None:
    model = tiny(
        variant="factorised_encoder", temporal_layers=3, num_layers=2, num_heads=4, mlp_dim=20, num_classes=11,
        tubelet_size=(4, 8, 4), image_size=(32, 20), num_frames=12, in_channels=2,
    )  # fmt: skip
    save_scenic(model, tmp_path / "x")
    assert tubelet.load(tmp_path / "x", image_size=(32, 20)).config == model.config


def test_a_model_without_classifier_has_no_head(tmp_path: Path) -> None:
    loaded = tubelet.load(written(tmp_path, num_classes=0), image_size=(16, 24))
    assert loaded.config.num_classes == 0


def test_a_tree_of_nothing_but_parameters_is_read(tmp_path: Path) -> None:
    file = written(tmp_path)
    write_tree(read_tree(file)["optimizer"]["target"], file)
    assert tubelet.load(file, image_size=(16, 24)).config == tiny().config


def test_the_training_state_is_left_out_and_the_report_says_so(tmp_path: Path) -> None:
    file = written(tmp_path)
    tree = read_tree(file)
    tree["optimizer"]["state"] = {"momentum": torch.full((3,), float("nan"))}
    write_tree(tree, file)
    report = tubelet.load(file, image_size=(16, 24)).load_report
    assert "the rest of the training state (optimizer) was not read" in report.notes


def test_the_preprocessing_is_the_originals(tmp_path: Path) -> None:
    small = tubelet.load(written(tmp_path), image_size=(16, 24)).preprocessing
    assert small is not None
    assert (small.num_frames, small.frame_stride, small.crop_size) == (4, 2, (16, 24))
    assert (small.interpolation, small.antialias, small.short_clips) == ("bilinear", False, "loop")
    assert (small.mean, small.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    for crop, resize in ((224, 256), (256, 288)):
        file = written(tmp_path, image_size=(crop, crop), tubelet_size=(2, 32, 32))
        preprocessing = tubelet.load(file, image_size=crop).preprocessing
        assert preprocessing is not None
        assert preprocessing.resize == resize


# --- several heads ---------------------------------------------------------------------------------------------------


def test_logits_of_epic_kitchens_are_split_nouns_first(tmp_path: Path) -> None:
    file = written(tmp_path, num_classes=397)
    whole = tubelet.load(file, image_size=(16, 24))
    assert any("{'noun': 300, 'verb': 97}" in note for note in whole.load_report.notes)
    split = tubelet.load(file, image_size=(16, 24), num_classes={"noun": 300, "verb": 97})
    video = torch.randn(1, 4, 3, 16, 24)
    logits, heads = whole(video), split(video)
    assert isinstance(heads, dict)
    torch.testing.assert_close(heads["noun"], logits[:, :300])
    torch.testing.assert_close(heads["verb"], logits[:, 300:])


def test_heads_that_do_not_add_up_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"num_classes=.*but the file has 3"):
        tubelet.load(written(tmp_path), image_size=(16, 24), num_classes={"a": 1, "b": 1})


# --- what the caller says --------------------------------------------------------------------------------------------


def test_all_that_is_missing_is_asked_for_in_one_error(tmp_path: Path) -> None:
    file = written(tmp_path, embedding="uniform_frames", tubelet_size=(1, 8, 8), pool="mean", image_size=(16, 16))
    with pytest.raises(WeightsError, match="Give by name") as caught:
        tubelet.load(file)
    message = str(caught.value)
    assert "variant ('spatio_temporal' or 'factorised_dot_product'" in message
    assert "image_size (16 positions over frames, height and width" in message
    assert "image_size=16 (4 sampled frames)" in message
    assert "num_frames (frames of a clip" in message


def test_what_is_asked_for_comes_with_what_would_fit(tmp_path: Path) -> None:
    file = written(tmp_path, image_size=(32, 32), num_frames=8)
    with pytest.raises(WeightsError, match=r"image_size=32 \(num_frames=8\) or image_size=16 \(num_frames=32\)"):
        tubelet.load(file)
    with pytest.raises(ConfigError, match=r"give 3x4x4 tokens, but the file has 64 positions; .*image_size=32"):
        tubelet.load(file, image_size=32, num_frames=6)
    with pytest.raises(ConfigError, match="36 tokens a frame, but the file has 64 positions, which is no multiple"):
        tubelet.load(file, image_size=48)
    with pytest.raises(ConfigError, match="4 positions over time; num_frames=8 has"):
        tubelet.load(written(tmp_path, variant="factorised_encoder", num_frames=8), image_size=(16, 24), num_frames=16)


def test_an_odd_number_of_heads_is_model_1(tmp_path: Path) -> None:
    loaded = tubelet.load(written(tmp_path, pool="mean", num_heads=1), image_size=(16, 24))
    assert loaded.config.variant == "spatio_temporal"
    assert any(note.startswith("variant: spatio_temporal") for note in loaded.load_report.notes)


def test_fields_that_agree_may_be_given(tmp_path: Path) -> None:
    config = tiny().config
    fields = {name: getattr(config, name) for name in config.__dataclass_fields__}
    assert tubelet.load(written(tmp_path), **fields).config == config


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", 32),
        ("num_layers", 3),
        ("num_heads", 4),
        ("tubelet_size", (4, 8, 8)),
        ("embedding", "uniform_frames"),
        ("variant", "factorised_encoder"),
        ("variant", "factorised_dot_product"),
        ("pool", "mean"),
        ("num_classes", 5),
        ("temporal_layers", 0),
        ("sampled_frames", 2),
        ("activation", "gelu"),
        ("positions", "sinusoidal"),
    ],
)
def test_a_field_that_disagrees_is_an_error_that_names_both(field: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{field}=.* was given, but the file has "):
        tubelet.load(written(tmp_path), image_size=(16, 24), **{field: value})


def test_a_class_token_that_is_not_there_cannot_be_pooled(tmp_path: Path) -> None:
    file = written(tmp_path, pool="mean")
    with pytest.raises(ConfigError, match="pool='cls' was given, but the file has no class token"):
        tubelet.load(file, image_size=(16, 24), variant="spatio_temporal", pool="cls")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"image_sise": 16}, "did you mean 'image_size'"),
        ({"image_size": "16"}, "expected 2 whole numbers"),
        ({"image_size": (16, 24, 3)}, "expected 2 whole numbers"),
        ({"image_size": -16}, "at least 1"),
        ({"image_size": 4}, "smaller than one patch"),
        ({"image_size": (17, 24)}, "use 16 or 24"),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(fields: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=reason):
        tubelet.load(written(tmp_path), **fields)


# --- what tubelet does not have, and what is damaged -----------------------------------------------------------------


def rename(parameters: Tree, old: str, new: str) -> None:
    for path in [path for path in parameters if path.startswith(old)]:
        parameters[path.replace(old, new, 1)] = parameters.pop(path)


def drop(parameters: Tree, start: str) -> None:
    for path in [path for path in parameters if path.startswith(start)]:
        del parameters[path]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: p.update({"pre_logits/kernel": torch.ones(16, 9), "pre_logits/bias": torch.ones(9)}),
         r"pre_logits layer \(representation_size=9\)"),
        (lambda p: drop(p, "Transformer/posembed_input"), "positions are not learned"),
        (lambda p: drop(p, "Transformer/encoder_norm"), "no encoder_norm"),
        (lambda p: drop(p, "embedding"), "expected the parameters of a ViViT"),
        (lambda p: drop(p, "Transformer/encoderblock_0"), "expected the blocks of a ViViT"),
        (lambda p: rename(p, "Transformer/encoderblock_1", "Transformer/encoderblock_999999999"), "missing"),
        (lambda p: p.pop("Transformer/encoderblock_1/LayerNorm_1/bias"), "LayerNorm_1/bias missing"),
        (lambda p: p.update({"extra/kernel": torch.ones(1)}), "extra/kernel is not expected"),
        (lambda p: p.update({"cls": torch.ones(1, 1, 17)}), r"cls has the shape \[1, 1, 17\]"),
        (lambda p: p["output_projection/bias"].fill_(float("inf")), "output_projection/bias holds 3 numbers"),
        (lambda p: p.update({"output_projection/kernel": 3.0}), "output_projection/kernel is float, not an array"),
        (lambda p: p.update({"embedding/kernel": torch.ones(8, 8, 16)}), "embedding/kernel has 3 axes"),
        (lambda p: p.update({"Transformer/posembed_input/pos_embedding": torch.ones(13, 16)}), "positions, width"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(change: Callable[[Tree], object], reason: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=reason) as caught:
        tubelet.load(written(tmp_path, change), image_size=(16, 24))
    assert "\n" not in str(caught.value)


def test_an_unexpected_parameter_can_be_allowed(tmp_path: Path) -> None:
    file = written(tmp_path, lambda parameters: parameters.update({"extra/kernel": torch.ones(1)}))
    report = tubelet.load(file, image_size=(16, 24), allow_unexpected=["extra/*"]).load_report
    assert report.names("unused") == ["extra/kernel"]


def test_two_encoders_of_different_widths_are_refused(tmp_path: Path) -> None:
    def widen(parameters: Tree) -> None:
        parameters["TemporalTransformer/encoderblock_0/MlpBlock_0/Dense_0/bias"] = torch.ones(30)

    file = written(tmp_path, widen, variant="factorised_encoder")
    with pytest.raises(WeightsError, match="the spatial encoder has mlp_dim=24, the temporal one 30"):
        tubelet.load(file, image_size=(16, 24))


def test_a_state_without_parameters_says_what_it_has(tmp_path: Path) -> None:
    write_tree({"opt_state": {}, "global_step": 3}, tmp_path / "x")
    with pytest.raises(WeightsError, match=r"expected parameters under optimizer/target or params; .* global_step"):
        tubelet.load(tmp_path / "x")


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"embedding": "conv_stem"},
        {"pool": "weighted"},
        {"positions": "sinusoidal"},
        {"activation": "gelu"},
        {"layer_norm_eps": 1e-5},
        {"output_norm": "after_pool"},
        {"input_norm": True},
    ],
)
def test_a_model_that_the_original_does_not_have_is_not_written(fields: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"Scenic has no model with {next(iter(fields))}="):
        save_scenic(tiny(**fields), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(WeightsError, match="overwrite=True"):
        save_scenic(tiny(), tmp_path / "x")
    assert (tmp_path / "x").read_text() == "mine"
    save_scenic(tiny(), tmp_path / "x", overwrite=True)
    assert tubelet.load(tmp_path / "x", image_size=(16, 24)).config == tiny().config


def test_what_must_be_given_to_read_it_again_is_told(tmp_path: Path) -> None:
    model = tiny(variant="factorised_dot_product", num_classes={"noun": 4, "verb": 2})
    notes = save_scenic(model, tmp_path / "x")
    assert any("image_size=(16, 24), num_frames=4, variant='factorised_dot_product', num_classes=" in n for n in notes)
