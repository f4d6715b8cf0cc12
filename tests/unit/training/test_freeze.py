"""Frozen parts: which parameters learn, what the optimiser holds, and that dropout is off where nothing learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tiny
import tubelet
from reporters import StopsAt, Told
from tubelet.config import TrainConfig, override
from tubelet.errors import ConfigError
from tubelet.training import SilentReporter, TrainingInterrupted, train
from tubelet.training.checkpoint import load_checkpoint

VARIANTS = ("vivit_tiny_16x2", "vivit_tiny_16x2_fe", "vivit_tiny_16x2_fsa", "vivit_tiny_16x2_fdp")


def model_of(preset: str, **fields: object) -> tubelet.ViViT:
    own = {**tiny.MODEL, "temporal_layers": 1 if preset.endswith("fe") else None}
    return tubelet.create(preset, num_classes=3, **{**own, **fields})


@pytest.mark.parametrize("preset", VARIANTS)
@pytest.mark.parametrize("part", ["embedding", "spatial", "encoder"])
def test_a_frozen_part_gets_no_gradient_and_the_rest_does(preset: str, part: str) -> None:
    model = model_of(preset)
    if part == "spatial" and not preset.endswith("fe"):
        with pytest.raises(ConfigError, match="no spatial encoder of its own; use 'encoder'"):
            model.freeze("spatial")
        return
    model.train().freeze(part)
    model(torch.randn(2, 4, 3, 16, 16)).square().sum().backward()
    kept = {"embedding": ("embedding",), "spatial": ("embedding", "spatial_encoder")}.get(part)
    for name, parameter in model.named_parameters():
        frozen = name.split(".")[0] in kept if kept is not None else not name.startswith("head")
        assert (parameter.grad is None) == frozen, name


def test_dropout_and_drop_path_are_off_in_what_is_frozen_and_on_in_the_rest() -> None:
    model = model_of("vivit_tiny_16x2_fe", dropout=0.5, drop_path=0.5)
    model.train().freeze("spatial")
    video = torch.randn(2, 4, 3, 16, 16)
    frames = model.encode_space(model.embed(video))
    assert torch.equal(frames, model.encode_space(model.embed(video)))
    assert not torch.equal(model.encode_times(frames), model.encode_times(frames))
    model.eval().train()  # as a validation in between does
    assert torch.equal(frames, model.encode_space(model.embed(video)))
    model.freeze("none")
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not torch.equal(frames, model.encode_space(model.embed(video)))


def test_a_head_that_is_not_there_cannot_be_all_that_learns() -> None:
    with pytest.raises(ConfigError, match="num_classes=0 has none"):
        tubelet.create("vivit_tiny_16x2", num_classes=0, **{**tiny.MODEL, "temporal_layers": None}).freeze("encoder")


def test_a_training_leaves_frozen_weights_to_the_bit_and_resumes_with_them(
    clips: Path, tmp_path: Path, tiny: TrainConfig
) -> None:
    config = override(tiny, freeze="spatial", ema_decay=0.9, weight_decay=0.5, learning_rate=0.01)
    torch.manual_seed(3)
    start = model_of("vivit_tiny_16x2_fe")
    before = {name: value.clone() for name, value in start.state_dict().items()}
    whole = train(clips, tmp_path / "whole", config=config, model=start, reporter=SilentReporter())
    for name, value in whole.model.state_dict().items():
        frozen = name.startswith(("embedding", "spatial_encoder"))
        assert torch.equal(value, before[name]) == frozen, name
    state = load_checkpoint(tmp_path / "whole" / "checkpoints" / "last").state
    assert len(state["optimiser"]["state"]) == sum(1 for name in before if name.startswith(("temporal", "head")))

    torch.manual_seed(3)
    start = model_of("vivit_tiny_16x2_fe")
    with pytest.raises(TrainingInterrupted):
        train(clips, tmp_path / "cut", config=config, model=start, reporter=StopsAt(4))
    resumed = train(out=tmp_path / "cut", resume=True, reporter=SilentReporter())
    for one, other in zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ConfigError, match=r"optimisation\.freeze was 'spatial'"):
        train(out=tmp_path / "cut", resume=True, freeze="none", reporter=SilentReporter())


def test_random_weights_are_not_frozen(clips: Path, tmp_path: Path, tiny: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="random weights as they are; name what to start from"):
        train(clips, tmp_path / "run", config=tiny, freeze="spatial", reporter=SilentReporter())


def test_a_model_that_comes_frozen_is_trained_and_resumed_so(clips: Path, tmp_path: Path, tiny: TrainConfig) -> None:
    model = model_of("vivit_tiny_16x2_fsa")
    model.freeze("encoder")
    result = train(clips, tmp_path / "run", config=override(tiny, epochs=1), model=model, reporter=SilentReporter())
    assert torch.equal(result.model.embedding.weight, model.embedding.weight)
    again = train(out=tmp_path / "run", resume=True, reporter=SilentReporter())
    assert torch.equal(again.model.head.weight, result.model.head.weight)


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_what_is_frozen_at_first_learns_later_and_resumes_in_both_stages(
    clips: Path, tmp_path: Path, tiny: TrainConfig, stop: int
) -> None:
    """Epochs have three steps: stopped before the change, at it and after it."""
    config = override(tiny, freeze="encoder", freeze_epochs=1, ema_decay=0.9, layer_decay=0.5, learning_rate=0.01)

    def start() -> tubelet.ViViT:
        torch.manual_seed(3)
        return model_of("vivit_tiny_16x2_fe", drop_path=0.1, dropout=0.1)

    told = Told()
    with pytest.raises(TrainingInterrupted):
        train(clips, tmp_path / "cut", config=config, model=start(), reporter=StopsAt(stop))
    between = load_checkpoint(tmp_path / "cut" / "checkpoints" / "last").weights
    kept = {name: value for name, value in start().state_dict().items() if not name.startswith("head")}
    assert all(torch.equal(value, between[name]) == (stop <= 3) for name, value in kept.items() if value.ndim > 1)
    resumed = train(out=tmp_path / "cut", resume=True, reporter=told)
    whole = train(clips, tmp_path / "whole", config=config, model=start(), reporter=SilentReporter())
    for one, other in zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    changes = [message for message in told.messages if "everything learns" in message]
    assert changes == (["from epoch 2 on everything learns: encoder was frozen for 1 epoch"] if stop <= 3 else [])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"freeze": "none"}, "freezes nothing"),
        ({"freeze_epochs": 2}, "must be below epochs=2"),
        ({"cache": "features"}, "cannot go with cache='features'"),
        ({"step_in_backward": True, "clip_norm": None}, "cannot go with step_in_backward=True"),
        ({"batch_size": "auto"}, "freeze_epochs changes it"),
    ],
)
def test_what_holds_on_to_frozen_parts_is_refused(
    clips: Path, tmp_path: Path, tiny: TrainConfig, fields: dict[str, object], words: str
) -> None:
    settings = {"freeze": "encoder", "freeze_epochs": 1, "mixup": 0.0, **fields}
    model = model_of("vivit_tiny_16x2_fe")
    with pytest.raises(ConfigError, match=words):
        train(clips, tmp_path / "run", config=tiny, model=model, reporter=SilentReporter(), **settings)
