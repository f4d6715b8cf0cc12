"""A batch in parts where the model has BatchNorms: gradients and running statistics are those of the whole batch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import tubelet
from tubelet.config import AugmentationConfig, train_config
from tubelet.data import Batch, MixupCutmix, batch_generator
from tubelet.errors import ConfigError
from tubelet.model import ViViT
from tubelet.nn.batch_norm import BatchNorm
from tubelet.training.losses import batch_losses
from tubelet.training.memory import peak_memory
from tubelet.training.parts import require_parts_are_exact
from tubelet.training.step import DivergedError, TrainingStep

CLASSES = 3


@pytest.fixture(scope="module")
def model() -> ViViT:
    """The model of the recipe small-data, of smaller frames; what is drawn at random in it is off."""
    config = train_config("small-data")
    small = {"num_frames": 4, "image_size": 32, "hidden_size": 32, "num_layers": 2, "temporal_layers": 1}
    fields = {**config.model, **small, "drop_path": 0.0}
    torch.manual_seed(0)
    assert config.preset is not None
    return tubelet.create(config.preset, **fields, num_classes=CLASSES).train()


def batch_of(clips: int, *, masked: bool = False, mixed: bool = False) -> Batch:
    """Clips as little alike as those of a data set: not of mean 0, and each with a brightness of its own."""
    generator = torch.Generator().manual_seed(1)
    video = (
        0.3
        + torch.randn(clips, 4, 3, 32, 32, generator=generator)
        + torch.randn(clips, 1, 1, 1, 1, generator=generator)
    )
    mask = None
    if masked:
        mask = torch.ones(clips, 4, dtype=torch.bool)
        mask[1, 2:] = mask[-1, 1:] = False
    batch = Batch(video, mask, {"label": torch.arange(clips) % CLASSES}, torch.arange(clips))
    if not mixed:
        return batch
    mix = MixupCutmix(AugmentationConfig(mixup=0.8, label_smoothing=0.1), {"label": CLASSES})
    return mix.batch(batch, batch_generator(0, 0, 0))


def after_step(model: ViViT, batch: Batch, parts: int) -> tuple[dict[str, Tensor], dict[str, Tensor], float]:
    """Gradients, read back from an SGD step with rate 1; buffers; and the loss."""
    model = copy.deepcopy(model)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    step = TrainingStep(model, torch.optim.SGD(model.parameters()), batch_losses, accumulate_steps=parts)
    result = step.run(batch, 1.0)
    gradients = {name: before[name] - parameter.detach() for name, parameter in model.named_parameters()}
    return gradients, dict(model.named_buffers()), result.loss


@pytest.mark.parametrize(("clips", "parts"), [(8, 2), (8, 4), (8, 8), (7, 3)])
@pytest.mark.parametrize("varied", [False, True], ids=["plain", "masked and mixed"])
def test_parts_give_the_gradient_and_the_statistics_of_the_whole_batch(
    model: ViViT, clips: int, parts: int, varied: bool
) -> None:
    batch = batch_of(clips, masked=varied, mixed=varied)
    gradients, buffers, loss = after_step(model, batch, 1)
    in_parts, buffers_of_parts, loss_of_parts = after_step(model, batch, parts)
    assert loss_of_parts == pytest.approx(loss, abs=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(in_parts[name], gradient, rtol=0, atol=1e-5, msg=name)
    for name, buffer in buffers.items():
        torch.testing.assert_close(buffers_of_parts[name], buffer, rtol=1e-5, atol=1e-5, msg=name)


def test_no_more_than_a_part_is_in_memory(model: ViViT) -> None:
    """Otherwise there would be no use in it."""

    def peak(clips: int, parts: int) -> int:
        trained = copy.deepcopy(model)
        optimiser = torch.optim.SGD(trained.parameters())
        batch, step = batch_of(clips), TrainingStep(trained, optimiser, batch_losses, accumulate_steps=parts)
        return peak_memory(lambda: step.run(batch, 0.1))

    assert peak(3, 3) < (peak(1, 1) + peak(3, 1)) / 2


def test_a_part_draws_the_same_in_all_its_passes(model: ViViT) -> None:
    """With other draws the statistics would be those of other vectors than the ones that are normalised."""
    model = copy.deepcopy(model)
    seen: list[Tensor] = []
    model.head.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    step = TrainingStep(model, torch.optim.SGD(model.parameters()), batch_losses, accumulate_steps=4)
    step.run(batch_of(8), 0.1)
    normed = torch.cat(seen)
    assert len(normed) == 8
    torch.testing.assert_close(normed.mean(dim=0), torch.zeros(32), rtol=0, atol=1e-4)
    torch.testing.assert_close(normed.var(dim=0, correction=0), torch.ones(32), rtol=0, atol=1e-2)


def test_a_loss_that_is_no_number_leaves_the_statistics_alone(model: ViViT) -> None:
    model, batch = copy.deepcopy(model), batch_of(4)
    before = copy.deepcopy(model.state_dict())
    batch.video[3] = float("inf")
    optimiser = torch.optim.SGD(model.parameters())
    with pytest.raises(DivergedError, match="loss nan"):
        TrainingStep(model, optimiser, batch_losses, accumulate_steps=2).run(batch, 1.0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_cannot_be_exact_is_refused_by_name(model: ViViT) -> None:
    require_parts_are_exact(model, compiled=False, sharded=False)
    with pytest.raises(ConfigError, match=r"head_norm: a BatchNorm .* compile=True"):
        require_parts_are_exact(model, compiled=True, sharded=False)
    with pytest.raises(ConfigError, match="strategy='fsdp'"):
        require_parts_are_exact(model, compiled=False, sharded=True)
    own_head = copy.deepcopy(model)
    own_head.head = nn.Sequential(nn.BatchNorm1d(32), nn.Linear(32, CLASSES))
    with pytest.raises(ConfigError, match=r"head\.0: torch's BatchNorm"):
        require_parts_are_exact(own_head, compiled=False, sharded=False)


@pytest.mark.parametrize("features", [(), (3, 4, 4)])
def test_a_single_clip_has_no_statistics_of_its_own(features: tuple[int, ...]) -> None:
    norm = BatchNorm(5)
    norm.train()(3 + torch.randn(8, 5, *features))
    before = copy.deepcopy(norm.state_dict())
    clip = torch.randn(1, 5, *features)
    expected = copy.deepcopy(norm).eval()(clip)
    assert torch.equal(norm(clip), expected)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
