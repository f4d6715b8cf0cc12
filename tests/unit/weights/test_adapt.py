"""Other frames, sizes, tubelets, classes and variants from the same weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet import ConfigError, PreprocessingConfig
from tubelet.model import ViViT
from tubelet.weights import adapt
from tubelet.weights.adapt import resize_tubelets
from unit.weights.kinds import tiny

VARIANTS = ["spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"]


def video_for(model: ViViT, frames: int = 0, size: tuple[int, int] | None = None) -> Tensor:
    return torch.randn(2, frames or model.config.num_frames, 3, *(size or model.config.image_size))


def still_clip(model: ViViT) -> Tensor:
    return video_for(model)[:, :1].expand(-1, model.config.num_frames, -1, -1, -1)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("fields", "adapted"),
    [
        ({"num_frames": 2}, ["positions.grid"]),
        ({"num_frames": 12}, ["positions.grid"]),
        ({"image_size": (32, 48)}, ["positions.grid"]),
        ({"image_size": 32}, ["positions.grid"]),
        ({"tubelet_size": (4, 8, 8)}, ["embedding.weight", "positions.grid"]),
        ({"tubelet_size": (1, 8, 8)}, ["embedding.weight", "positions.grid"]),
        ({"tubelet_size": (2, 4, 4), "num_frames": 8}, ["embedding.weight", "positions.grid"]),
    ],
)
def test_every_variant_takes_other_sizes_and_says_what_was_adapted(
    variant: str, fields: dict[str, Any], adapted: list[str]
) -> None:
    model = tiny(variant=variant)
    other = adapt(model, **fields)
    assert other(video_for(other)).shape == (2, 3)
    names = other.load_report.names("adapted")
    assert names, "nothing was said to be adapted"
    assert {name.split("encoder.")[-1] for name in names} == set(adapted)
    assert other.load_report.counts()["new"] == 0
    assert len(other.load_report.entries) == len(other.state_dict())


@pytest.mark.parametrize("variant", VARIANTS)
def test_adapting_is_what_the_model_does_by_itself_for_such_a_video(variant: str) -> None:
    model = tiny(variant=variant)
    video = video_for(model, frames=10, size=(24, 16))
    torch.testing.assert_close(adapt(model, num_frames=10, image_size=(24, 16))(video), model(video))


def test_the_model_that_is_adapted_stays_as_it_was() -> None:
    model = tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = adapt(model, num_frames=8)
    with torch.no_grad():
        other.embedding.bias.fill_(7)
    assert model.config == tiny().config
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


# --- tubelets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(2, 4), (4, 2), (2, 1), (1, 2), (3, 2), (2, 3), (2, 8), (8, 2), (5, 3)])
def test_the_token_of_a_clip_that_does_not_move_stays_the_same(before: int, after: int) -> None:
    kernel = torch.randn(16, 3, before, 8, 8, dtype=torch.float64)
    resized = resize_tubelets(kernel, (after, 8, 8))
    torch.testing.assert_close(resized.sum(dim=2), kernel.sum(dim=2))


def test_a_longer_tubelet_keeps_the_order_of_its_frames() -> None:
    kernel = torch.tensor([1.0, 3.0]).view(1, 1, 2, 1, 1)
    assert resize_tubelets(kernel, (4, 1, 1)).flatten().tolist() == [0.5, 0.75, 1.25, 1.5]
    longer = torch.tensor([1.0, 2.0, 3.0, 6.0]).view(1, 1, 4, 1, 1)
    assert resize_tubelets(longer, (2, 1, 1)).flatten().tolist() == [3.0, 9.0]


def test_larger_patches_see_the_enlarged_picture_as_before() -> None:
    model = tiny(image_size=(16, 16), num_frames=2)
    larger = adapt(model, tubelet_size=(2, 16, 16), image_size=(32, 32))
    video = video_for(model)
    enlarged = torch.nn.functional.interpolate(video.flatten(0, 1), scale_factor=2, mode="bilinear", antialias=True)
    enlarged = enlarged.unflatten(0, (2, 2))
    inner_before, inner_after = model.embed(video), larger.embed(enlarged)
    assert inner_before.shape == inner_after.shape
    assert torch.nn.functional.cosine_similarity(inner_before, inner_after, dim=-1).min() > 0.8


def test_tubelets_from_single_frames_and_back() -> None:
    model = tiny(embedding="uniform_frames", tubelet_size=(1, 8, 8), num_frames=4)
    tubelets = adapt(model, embedding="tubelet", tubelet_size=(2, 8, 8))
    clip = still_clip(model)
    torch.testing.assert_close(tubelets.embed(clip)[:, 0], model.embed(clip)[:, 0])
    frames = adapt(tubelets, embedding="uniform_frames", sampled_frames=2)
    torch.testing.assert_close(frames.embed(clip)[:, 0], model.embed(clip)[:, 0])


# --- classes ---------------------------------------------------------------------------------------------------------


def test_other_classes_make_a_new_head_and_keep_the_features() -> None:
    model = tiny()
    model.labels = {"label": list("abc")}
    other = adapt(model, num_classes=5)
    video = video_for(model)
    assert torch.equal(other.forward_features(video), model.forward_features(video))
    assert other(video).shape == (2, 5)
    assert other.labels is None
    assert other.load_report.names("new") == ["head.weight", "head.bias"]
    assert other.load_report.names("unused") == ["head.weight", "head.bias"]


def test_the_same_classes_keep_the_head_and_its_labels() -> None:
    model = tiny()
    model.labels = {"label": list("abc")}
    other = adapt(model, num_classes=3, num_frames=8)
    assert other.labels == model.labels
    assert torch.equal(other.head.weight, model.head.weight)


def test_a_head_that_keeps_its_name_and_size_is_kept() -> None:
    model = tiny(num_classes={"noun": 4, "verb": 2})
    other = adapt(model, num_classes={"noun": 4, "adverb": 3})
    assert torch.equal(other.head["noun"].weight, model.head["noun"].weight)
    assert other.load_report.names("new") == ["head.adverb.weight", "head.adverb.bias"]


# --- variants --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", VARIANTS)
@pytest.mark.parametrize("target", VARIANTS)
def test_any_variant_from_any_other(source: str, target: str) -> None:
    model = tiny(variant=source)
    other = adapt(model, variant=target, num_frames=8)
    assert other.config.variant == target
    assert other(video_for(other)).shape == (2, 3)
    report = other.load_report
    assert {entry.name for entry in report.entries if entry.name} == set(other.state_dict())
    carried = {entry.source for entry in report.entries if entry.source}
    assert carried == set(model.state_dict())  # loaded, adapted or unused: every tensor of the source is accounted for


def test_a_factorised_encoder_takes_the_spatial_part_of_model_1() -> None:
    model = tiny(num_frames=2)  # one time: joint attention is attention over space
    other = adapt(model, variant="factorised_encoder", temporal_layers=2)
    video = video_for(model)
    assert other.config.temporal_layers == 2
    torch.testing.assert_close(other.encode_space(other.embed(video))[:, 0], model.forward_features(video)[:, 0])
    report = other.load_report
    assert all(name.startswith("temporal_encoder.") for name in report.names("new"))
    assert any("factorised_encoder; the spatial part was carried over" in note for note in report.notes)


def test_positions_of_model_1_are_averaged_over_time_for_the_spatial_encoder() -> None:
    model = tiny(num_frames=8)
    other = adapt(model, variant="factorised_encoder")
    expected = model.encoder.positions.grid.mean(dim=0, keepdim=True)
    torch.testing.assert_close(other.spatial_encoder.positions.grid, expected)


def test_factorised_self_attention_starts_as_its_spatial_part_and_learns_over_time() -> None:
    model = tiny(variant="factorised_self_attention", num_frames=2)
    plain = tiny(pool="mean", num_frames=2)
    started = adapt(plain, variant="factorised_self_attention").train()
    video = video_for(model)
    torch.testing.assert_close(started(video), plain(video))  # one time, and attention over it adds nothing
    optimiser = torch.optim.SGD(started.parameters(), lr=0.1)
    before = {name: p.clone() for name, p in started.named_parameters() if ".time." in name or "norm_time" in name}
    for _ in range(3):
        optimiser.zero_grad()
        started(video_for(started, frames=8)).square().sum().backward()
        optimiser.step()
    now = dict(started.named_parameters())
    assert before
    assert all(not torch.equal(now[name], tensor) for name, tensor in before.items())


def test_models_1_and_4_have_the_same_tensors() -> None:
    model = tiny(pool="mean")
    other = adapt(model, variant="factorised_dot_product")
    assert other.load_report.counts() == {"loaded": len(model.state_dict()), "adapted": 0, "new": 0, "unused": 0}


def test_the_average_over_time_takes_a_temporal_encoder_away_and_gets_a_new_one() -> None:
    model = tiny(variant="factorised_encoder", temporal_layers=2)
    average = adapt(model, temporal_layers=0)
    assert all(name.startswith("temporal_encoder.") for name in average.load_report.names("unused"))
    again = adapt(average, temporal_layers=3)
    assert all(name.startswith("temporal_encoder.") for name in again.load_report.names("new"))
    assert again.config.temporal_layers == 3


def test_class_tokens_are_dropped_and_made_anew() -> None:
    mean = adapt(tiny(), pool="mean")
    assert mean.load_report.names("unused") == ["encoder.cls", "encoder.positions.cls"]
    cls = adapt(mean, pool="cls")
    assert cls.load_report.names("new") == ["encoder.cls", "encoder.positions.cls"]
    assert not cls.encoder.cls.any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_of_pooling_start_as_a_mean_and_follow_the_size(variant: str) -> None:
    mean = tiny(variant=variant, pool="mean")
    weighted = adapt(mean, pool="weighted")
    assert all("a mean at first" in entry.how for entry in weighted.load_report.entries if entry.status == "new")
    video = video_for(mean)
    torch.testing.assert_close(weighted(video), mean(video))
    with torch.no_grad():
        for name, parameter in weighted.named_parameters():
            if "pool_weights" in name:
                parameter.normal_()
    assert not torch.allclose(weighted(video), mean(video))
    larger = video_for(mean, frames=10, size=(24, 16))
    torch.testing.assert_close(adapt(weighted, num_frames=10, image_size=(24, 16))(larger), weighted(larger))
    torch.testing.assert_close(adapt(weighted, pool="mean")(video), mean(video))


# --- the rest --------------------------------------------------------------------------------------------------------


def test_the_preprocessing_follows() -> None:
    model = tiny(image_size=(16, 16))
    model.preprocessing = PreprocessingConfig(num_frames=4, frame_stride=3, resize=20, crop_size=(16, 16))
    other = adapt(model, num_frames=8, image_size=32).preprocessing
    assert other == PreprocessingConfig(num_frames=8, frame_stride=3, resize=40, crop_size=(32, 32))


def test_mode_and_floating_point_type_stay() -> None:
    model = tiny().double().train()
    other = adapt(model, drop_path=0.2, dropout=0.1)
    assert other.training
    assert other.head.weight.dtype == torch.float64
    assert (other.config.drop_path, other.config.dropout) == (0.2, 0.1)


def test_a_second_step_names_the_tensors_of_the_first_source() -> None:
    once = adapt(tiny(), num_frames=8, num_classes=5)
    twice = adapt(once, image_size=32)
    entries = {entry.name: entry for entry in twice.load_report.entries if entry.name}
    grid = entries["encoder.positions.grid"]
    assert grid.how == "interpolated from 2x2x3 to 4x2x3; interpolated from 4x2x3 to 4x4x4"
    assert entries["head.weight"].status == "new"
    assert twice.load_report.names("unused") == ["head.weight", "head.bias"]


@pytest.mark.parametrize(
    ("model", "fields", "reason"),
    [
        ({}, {"hidden_size": 32}, "a model with hidden_size=16, which cannot be changed"),
        ({}, {"num_layers": 1}, "num_layers=2"),
        ({}, {"activation": "gelu"}, "activation='gelu_tanh'"),
        ({}, {"num_frames": 5}, "use 4 or 6"),
        ({}, {"num_framse": 8}, "did you mean 'num_frames'"),
        ({"num_heads": 1}, {"variant": "factorised_dot_product"}, "use an even number"),
        ({"variant": "factorised_self_attention"}, {"attention_order": "time_space"}, "attention_order='space_time'"),
        ({"variant": "factorised_encoder"}, {"temporal_layers": 2}, "temporal_layers=4"),
    ],
)
def test_what_cannot_be_adapted_is_refused(model: dict[str, Any], fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        adapt(tiny(**model), **fields)


def test_fields_that_the_model_has_already_may_be_given() -> None:
    model = tiny()
    config = model.config
    other = adapt(model, **{name: getattr(config, name) for name in config.__dataclass_fields__})
    assert other.config == config
    assert other.load_report.counts()["loaded"] == len(model.state_dict())
