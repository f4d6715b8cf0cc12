"""One step: accumulation, clipping, losses, the average of the weights, and numbers that are none."""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import tubelet
from tubelet.data import Batch
from tubelet.model import ViViT
from tubelet.training.ema import WeightAverage
from tubelet.training.losses import batch_losses, classification_loss
from tubelet.training.optimiser_in_backward import OptimiserInBackward
from tubelet.training.step import DivergedError, TrainingStep

LOSS = batch_losses
SIZES = {"num_frames": 4, "image_size": 16, "tubelet_size": (2, 8, 8), "hidden_size": 24, "num_heads": 2, "mlp_dim": 48}


@pytest.fixture
def model() -> ViViT:
    return tubelet.create(
        "vivit_tiny_16x2_fe",
        num_classes=3,
        num_layers=2,
        temporal_layers=1,
        **SIZES,
    )


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(7, 4, dtype=torch.bool)
    mask[2, 2:] = False
    return Batch(
        torch.randn(7, 4, 3, 16, 16, generator=generator),
        mask,
        {"label": torch.tensor([0, 1, 2, 0, 1, 2, 0])},
        torch.arange(7),
    )


def gradients(model: ViViT, batch: Batch, parts: int, losses: Any = LOSS) -> dict[str, Tensor]:
    """What a step sees, read back from an SGD step with rate 1."""
    model = copy.deepcopy(model)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    TrainingStep(model, torch.optim.SGD(model.parameters()), losses, accumulate_steps=parts).run(batch, 1.0)
    return {name: before[name] - parameter.detach() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("parts", [2, 3, 7, 20])
def test_accumulated_parts_however_uneven_give_the_gradient_of_the_whole_batch(
    model: ViViT, batch: Batch, parts: int
) -> None:
    weights = {"label": torch.tensor([0.5, 2.0, 1.0])}
    for losses in (LOSS, partial(batch_losses, class_weights=weights)):
        whole, accumulated = gradients(model, batch, 1, losses), gradients(model, batch, parts, losses)
        for name, gradient in whole.items():
            torch.testing.assert_close(accumulated[name], gradient, rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    "preset", ["vivit_tiny_16x2", "vivit_tiny_16x2_fe", "vivit_tiny_16x2_fsa", "vivit_tiny_16x2_fdp"]
)
def test_activation_checkpointing_gives_the_same_gradients_with_dropout_and_drop_path_on(
    batch: Batch, preset: str
) -> None:
    fields = {"num_layers": 3, "dropout": 0.3, "attention_dropout": 0.2, "drop_path": 0.5}
    model = tubelet.create(preset, num_classes=3, **SIZES, **fields).train()
    found = []
    for checkpointing in (False, True, False):
        model.set_checkpointing(checkpointing)
        torch.manual_seed(7 if len(found) < 2 else 8)
        found.append(gradients(model, batch, 2))
    plain, checkpointed, other_draws = found
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, rtol=0, atol=1e-7, msg=name)
    assert any(not torch.allclose(other_draws[name], gradient) for name, gradient in plain.items())


@pytest.mark.parametrize(
    "preset", ["vivit_tiny_16x2", "vivit_tiny_16x2_fe", "vivit_tiny_16x2_fsa", "vivit_tiny_16x2_fdp"]
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_in_the_backward_pass_is_the_same_step_to_the_bit(
    batch: Batch, preset: str, checkpointing: bool
) -> None:
    """So no gradient is computed with a weight that was changed already, and no gradient is left behind."""
    model = tubelet.create(preset, num_classes=3, **SIZES, num_layers=3).train()
    model.set_checkpointing(checkpointing)
    found = []
    for early in (False, True):
        trained = copy.deepcopy(model)
        optimiser = torch.optim.AdamW(trained.parameters(), weight_decay=0.1)
        within = OptimiserInBackward(optimiser) if early else None
        step = TrainingStep(trained, optimiser, LOSS, in_backward=within)
        results = [step.run(batch, 1e-2) for _ in range(3)]
        assert all(parameter.grad is None for parameter in trained.parameters())
        found.append((trained.state_dict(), results, optimiser.state_dict()["state"]))
    (weights, results, moments), (others, other_results, other_moments) = found
    for name, weight in weights.items():
        assert torch.equal(weight, others[name]), name
    for number, moment in moments.items():
        assert torch.equal(moment["exp_avg_sq"], other_moments[number]["exp_avg_sq"])
    for one, other in zip(results, other_results, strict=True):
        assert other.loss == one.loss
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-5)


def test_never_more_than_one_gradient_is_there_with_steps_in_the_backward_pass(model: ViViT, batch: Batch) -> None:
    optimiser = torch.optim.SGD(model.parameters())
    within, seen = OptimiserInBackward(optimiser), []
    optimiser.register_step_post_hook(
        lambda *_: seen.append(sum(parameter.grad is not None for parameter in model.parameters()))
    )
    TrainingStep(model, optimiser, LOSS, in_backward=within).run(batch, 0.1)
    assert seen == [1] * len(list(model.parameters()))


def test_a_loss_that_is_no_number_changes_nothing_in_the_backward_pass_either(model: ViViT, batch: Batch) -> None:
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.SGD(model.parameters())
    step = TrainingStep(
        model, optimiser, lambda *inputs: LOSS(*inputs) * math.nan, in_backward=OptimiserInBackward(optimiser)
    )
    with pytest.raises(DivergedError, match="loss nan"):
        step.run(batch, 0.1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_loss_reported_is_the_mean_over_the_batch(model: ViViT, batch: Batch) -> None:
    expected = torch.nn.functional.cross_entropy(model(batch.video, batch.frame_mask), batch.targets["label"]).item()
    for parts in (1, 3):
        copied = copy.deepcopy(model)
        step = TrainingStep(copied, torch.optim.SGD(copied.parameters()), LOSS, accumulate_steps=parts)
        result = step.run(batch, 0.1)
        assert result.loss == pytest.approx(expected, abs=1e-6)


def test_clipping_scales_the_whole_gradient_down_to_the_norm(model: ViViT, batch: Batch) -> None:
    free = gradients(model, batch, 1)
    norm = math.sqrt(sum(gradient.square().sum().item() for gradient in free.values()))
    copied = copy.deepcopy(model)
    before = {name: parameter.detach().clone() for name, parameter in copied.named_parameters()}
    step = TrainingStep(copied, torch.optim.SGD(copied.parameters()), LOSS, clip_norm=norm / 4)
    result = step.run(batch, 1.0)
    assert result.gradient_norm == pytest.approx(norm, rel=1e-4)
    for name, parameter in copied.named_parameters():
        torch.testing.assert_close(before[name] - parameter.detach(), free[name] / 4, rtol=1e-3, atol=1e-6)


def test_a_loss_that_is_no_number_changes_nothing(model: ViViT, batch: Batch) -> None:
    before = copy.deepcopy(model.state_dict())
    batch.video[3] = float("inf")
    with pytest.raises(DivergedError, match="loss nan"):
        TrainingStep(model, torch.optim.AdamW(model.parameters()), LOSS, accumulate_steps=2).run(batch, 1.0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("batch_size", "parts"), [(8, 2), (8, 8), (5, 3), (2, 2)])
def test_a_batch_with_a_clip_more_has_no_larger_part(model: ViViT, batch_size: int, parts: int) -> None:
    optimiser = torch.optim.SGD(model.parameters())
    step = TrainingStep(model, optimiser, LOSS, accumulate_steps=parts, batch_size=batch_size)
    assert step.parts_of(batch_size) == parts
    folded = step.parts_of(batch_size + 1)
    assert math.ceil((batch_size + 1) / folded) <= math.ceil(batch_size / parts)
    assert TrainingStep(model, optimiser, LOSS, batch_size=batch_size).parts_of(batch_size + 1) == 1


def test_soft_targets_and_several_heads() -> None:
    logits = {"verb": torch.tensor([[0.0, 0.0]]), "noun": torch.tensor([[math.log(3), 0.0]])}
    soft = {"verb": torch.tensor([[0.5, 0.5]]), "noun": torch.tensor([[0.9, 0.1]])}
    by_hand = (math.log(2) + 0.9 * math.log(4 / 3) + 0.1 * math.log(4)) / 2
    assert classification_loss(logits, soft).item() == pytest.approx(by_hand, abs=1e-6)
    hard = {"verb": torch.tensor([1]), "noun": torch.tensor([0])}
    assert classification_loss(logits, hard).item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2, abs=1e-6)


def test_the_average_follows_the_weights_and_forgets_its_start() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    average = WeightAverage(model, decay=0.9)
    expected = 0.0
    for step in range(1, 6):
        torch.nn.init.constant_(model.weight, float(step))
        average.update(model, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert average.model.weight.item() == pytest.approx(expected, rel=1e-6)
    assert not average.model.weight.requires_grad
