"""`optimise(model, training=True)`: the function and the gradients of the model, and what is kept for them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import tubelet
from tubelet.config import ModelConfig, replace
from tubelet.fast import linear, training_form
from tubelet.fast.training import TrainingBlock
from tubelet.model import ViViT
from tubelet.nn.activations import ACTIVATIONS

VARIANTS = ("spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product")
SMALL = ModelConfig(
    image_size=16, num_frames=4, tubelet_size=(2, 8, 8), hidden_size=16, num_layers=2, num_heads=2, mlp_dim=24
)


def made(variant: str = "spatio_temporal", **fields: object) -> ViViT:
    model = ViViT(replace(SMALL, variant=variant, **fields)).double().train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def step(model: nn.Module, parameters: list[Tensor], *inputs: Tensor | None) -> list[Tensor]:
    """Logits and gradients; random parts draw the same each time."""
    torch.manual_seed(1)
    logits = model(*inputs)
    return [logits, *torch.autograd.grad(logits.square().sum(), parameters)]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"activation": "gelu"},
        {"pool": "mean", "activation": "gelu_quick"},
        {"pool": "mean", "token_drop": 0.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_logits_and_gradients_are_the_models(variant: str, fields: dict[str, object], checkpointing: bool) -> None:
    model = made(variant, **fields)
    model.set_checkpointing(checkpointing)
    fast, parameters = tubelet.optimise(model, training=True), list(model.parameters())
    assert all(mine is own for mine, own in zip(fast.parameters(), parameters, strict=True))
    video = torch.randn(2, 4, 3, 16, 16, dtype=torch.float64)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    for frame_mask in (None, mask):
        for ours, plain in zip(
            step(fast, parameters, video, frame_mask), step(model, parameters, video, frame_mask), strict=True
        ):
            torch.testing.assert_close(ours, plain, atol=1e-11, rtol=1e-8)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("fields", [{"drop_path": 0.5}, {"dropout": 0.3}, {"attention_dropout": 0.3}], ids=str)
def test_what_is_dropped_is_dropped_as_in_the_model(variant: str, fields: dict[str, object]) -> None:
    model = made(variant, pool="mean", **fields)
    fast, parameters = tubelet.optimise(model, training=True), list(model.parameters())
    video = torch.randn(2, 4, 3, 16, 16, dtype=torch.float64)
    for ours, plain in zip(step(fast, parameters, video), step(model, parameters, video), strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-11, rtol=1e-8)
    model.eval()
    assert not torch.equal(step(model, parameters, video)[0], plain), "nothing was dropped"
    torch.testing.assert_close(step(fast, parameters, video)[0], step(model, parameters, video)[0])


def test_long_sequences_have_the_gradients_of_the_model() -> None:
    model = made(image_size=64, num_frames=32, num_layers=1, pool="mean")
    assert model.config.num_tokens > linear.LONG
    video, parameters = torch.randn(1, 32, 3, 64, 64, dtype=torch.float64), list(model.parameters())
    fast = tubelet.optimise(model, training=True)
    for ours, plain in zip(step(fast, parameters, video), step(model, parameters, video), strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-11, rtol=1e-8)


def kept_by(block: nn.Module, x: Tensor) -> list[Tensor]:
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda t: t):
        block(x)
    return kept


def test_a_block_keeps_ten_activations_of_its_width() -> None:
    """Two inputs of norms, q, k, v, attention, and four of the MLP: no output of a norm or of an activation."""
    block = made(pool="mean").encoder.blocks[0]
    x = torch.randn(1, 64, 16, dtype=torch.float64, requires_grad=True)
    distinct = {tensor.untyped_storage().data_ptr(): tensor for tensor in kept_by(TrainingBlock(block), x)}
    numbers = sum(tensor.numel() for tensor in distinct.values() if tensor.numel() >= x.numel())
    assert numbers == 6 * x.numel() + 64 * 24, "an MLP of 24 channels"
    assert any(torch.equal(tensor, x) for tensor in distinct.values())


class Adapter(nn.Module):
    """LoRA around a linear layer, which hands out weight and bias of the layer as peft does."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base, self.low = base, nn.Linear(base.in_features, base.out_features, bias=False).double()
        self.weight, self.bias = base.weight, base.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.low(x)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_adapter_put_into_the_model_later_learns_in_every_block(variant: str) -> None:
    model = made(variant)
    fast = tubelet.optimise(model, training=True)
    for module in list(model.modules()):
        if hasattr(module, "qkv"):
            module.qkv = Adapter(module.qkv)
    video = torch.randn(1, 4, 3, 16, 16, dtype=torch.float64)
    logits = fast(video)
    torch.testing.assert_close(logits, model(video), atol=1e-12, rtol=1e-10)
    logits.sum().backward()
    assert all(module.low.weight.grad is not None for module in model.modules() if isinstance(module, Adapter))


def test_the_mode_is_the_models() -> None:
    model = made(pool="mean", token_drop=0.9, drop_path=0.9)
    fast = tubelet.optimise(model, training=True)
    video = torch.randn(1, 4, 3, 16, 16, dtype=torch.float64)
    model.eval()
    torch.testing.assert_close(fast(video), model(video))
    fast.train()
    assert model.training
    assert model.encoder.blocks[1].drop_path.training
    model.freeze("encoder")
    fast.train()
    assert not model.encoder.training
    assert not model.encoder.blocks[1].drop_path.training


def test_a_block_or_model_of_a_class_of_its_own_is_left_alone() -> None:
    class Own(ViViT):
        pass

    own = Own(SMALL)
    assert training_form(own) is own
    for training in (True, False):
        with pytest.raises(tubelet.ConfigError, match="Own"):
            tubelet.optimise(own, training=training)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_without_gradients_it_is_the_model_to_the_bit(activation: str) -> None:
    model = made(activation=activation, pool="mean")
    video = torch.randn(1, 4, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(tubelet.optimise(model, training=True)(video), model(video))


@pytest.mark.parametrize("variant", VARIANTS)
def test_short_sequences_attend_in_float32_in_a_bfloat16_training(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backward pass of attention takes 10 to 20 times as long in bfloat16 there. The rest is as exact."""
    dtypes = set()
    attend = torch.nn.functional.scaled_dot_product_attention

    def seen(query: Tensor, *rest: Tensor, **settings: object) -> Tensor:
        dtypes.add(query.dtype)
        return attend(query, *rest, **settings)  # type: ignore[arg-type]

    model = made(variant).float()
    video = torch.randn(2, model.config.num_frames, 3, *model.config.image_size)
    exact = step(model, list(model.parameters()), video)
    with torch.autocast("cpu", torch.bfloat16):
        plain = step(model, list(model.parameters()), video)
        monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", seen)
        fast = step(training_form(model), list(model.parameters()), video)
    assert dtypes == {torch.float32}

    def error(found: list[Tensor]) -> float:
        return sum(
            ((one - other).norm() / (other.norm() + 1e-3)).item() for one, other in zip(found, exact, strict=True)
        )

    assert error(fast) < 1.3 * error(plain)
