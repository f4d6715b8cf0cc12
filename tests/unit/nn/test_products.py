"""The products with a backward pass of their own: the plain product in every respect but memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tubelet.nn.products
from tubelet.config import ModelConfig, replace
from tubelet.model import ViViT
from tubelet.nn.activations import ACTIVATIONS
from tubelet.nn.blocks import MLP
from tubelet.nn.products import (
    LONG,
    activated_linear,
    heads_linear,
    heads_to_linear,
    normed_linear,
    split_linear,
)

SMALL = ModelConfig(
    image_size=16, num_frames=4, tubelet_size=(2, 8, 8), hidden_size=16, num_layers=2, num_heads=2, mlp_dim=24
)


def split(linear: nn.Linear, x: Tensor) -> Tensor:
    return torch.cat([(part * number).square() for number, part in enumerate(split_linear(linear, x, 3), 1)], dim=-1)


def plain_split(linear: nn.Linear, x: Tensor) -> Tensor:
    return torch.cat([(part * number).square() for number, part in enumerate(linear(x).chunk(3, dim=-1), 1)], dim=-1)


def heads(linear: nn.Linear, x: Tensor) -> Tensor:
    parts = [part.transpose(1, 2).flatten(2) for part in heads_linear(linear, x, parts=3, heads=2)]
    return torch.cat([(part * number).square() for number, part in enumerate(parts, 1)], dim=-1)


def long_heads(linear: nn.Linear, x: Tensor) -> Tensor:
    with patch.object(tubelet.nn.products, "LONG", 1):
        return heads(linear, x)


def attended(x: Tensor) -> tuple[Tensor, Tensor]:
    """Two parts of two heads each, as attention along two axes would give: [B, heads, N, c], not contiguous."""
    first, second = x.unflatten(-1, (4, -1)).transpose(-3, -2).chunk(2, dim=-3)
    return first, second.square()


def of_heads(linear: nn.Linear, x: Tensor) -> Tensor:
    return heads_to_linear(linear, attended(x))


def plain_of_heads(linear: nn.Linear, x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return linear(torch.cat([first, second.square()], dim=-1))


def residual_of(x: Tensor, outputs: int) -> Tensor:
    return x.sin().repeat(*[1] * (x.ndim - 1), 2)[..., :outputs]


PRODUCTS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "split": (split, plain_split),
    "heads": (heads, plain_split),
    "heads of long sequences": (long_heads, plain_split),
    "of heads": (of_heads, plain_of_heads),
    "of heads, onto a residual": (
        lambda linear, x: heads_to_linear(linear, attended(x), residual_of(x, linear.out_features)),
        lambda linear, x: residual_of(x, linear.out_features) + plain_of_heads(linear, x),
    ),
    "activated, onto a residual": (
        lambda linear, x: activated_linear(linear, x, ACTIVATIONS["gelu"], residual_of(x, linear.out_features)),
        lambda linear, x: residual_of(x, linear.out_features) + linear(ACTIVATIONS["gelu"](x)),
    ),
    **{
        name: (
            lambda linear, x, act=act: activated_linear(linear, x, act),
            lambda linear, x, act=act: linear(act(x)),
        )
        for name, act in ACTIVATIONS.items()
    },
}
products = pytest.mark.parametrize("name", PRODUCTS)


@products
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    ours, _ = PRODUCTS[name]
    linear, x = nn.Linear(4, 6).double(), torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(Wrapped(linear, ours), {"linear.weight": weight, "linear.bias": bias}, (x,))

    assert torch.autograd.gradcheck(function, (x, linear.weight, linear.bias))


class Wrapped(nn.Module):
    def __init__(self, linear: nn.Linear, product: Callable[..., Tensor]) -> None:
        super().__init__()
        self.linear = linear
        self.product = product

    def forward(self, x: Tensor) -> Tensor:
        return self.product(self.linear, x)


def gradients(product: Callable[..., Tensor], linear: nn.Linear, x: Tensor) -> list[Tensor]:
    wanted = [tensor for tensor in (x, linear.weight, linear.bias) if tensor.requires_grad]
    return list(torch.autograd.grad(product(linear, x).square().sum(), wanted))


@products
@pytest.mark.parametrize("frozen", ["input", "weight", "bias", "weight and bias"])
def test_what_is_frozen_gets_no_gradient_and_the_rest_gets_its_own(name: str, frozen: str) -> None:
    linear = nn.Linear(8, 12).double()
    x = torch.randn(2, 5, 8, dtype=torch.float64, requires_grad="input" not in frozen)
    linear.weight.requires_grad_("weight" not in frozen)
    linear.bias.requires_grad_("bias" not in frozen)
    for ours, plain in zip(*(gradients(product, linear, x) for product in PRODUCTS[name]), strict=True):
        torch.testing.assert_close(ours, plain)


@products
def test_autocast_computes_in_its_type_and_gives_gradients_in_that_of_the_weights(name: str) -> None:
    linear, x = nn.Linear(8, 12), torch.randn(2, 5, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = [product(linear, x) for product in PRODUCTS[name]]
    assert outputs[0].dtype == outputs[1].dtype == (torch.float32 if "residual" in name else torch.bfloat16)
    torch.testing.assert_close(*outputs)
    with torch.autocast("cpu", torch.bfloat16):
        ours, plain = (gradients(product, linear, x) for product in PRODUCTS[name])
    assert [gradient.dtype for gradient in ours] == [torch.float32] * 3
    for mine, theirs in zip(ours, plain, strict=True):
        assert (mine - theirs).norm() < 0.02 * theirs.norm()


@products
def test_torch_func_differentiates_too(name: str) -> None:
    linear, x = nn.Linear(8, 12), torch.randn(2, 5, 8)
    ours, plain = (torch.func.grad(lambda x, p=p: p(linear, x).square().sum())(x) for p in PRODUCTS[name])
    torch.testing.assert_close(ours, plain)


class Normed(nn.Module):
    """A norm and a linear layer with scales that are not 1."""

    def __init__(self, parts: int, plain: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.norm, self.linear = nn.LayerNorm(8, eps=1e-3), nn.Linear(8, 12)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)
        self.parts, self.plain = parts, plain

    def forward(self, x: Tensor) -> Tensor:
        if self.plain:
            product = F.linear(self.norm(x), self.linear.weight, self.linear.bias).chunk(self.parts, dim=-1)
        elif self.parts == 1:
            product = (normed_linear(self.linear, x, self.norm),)
        else:
            product = split_linear(self.linear, x, self.parts, self.norm)
        return torch.cat([(part * number).square() for number, part in enumerate(product, 1)], dim=-1)


normed = pytest.mark.parametrize("parts", [1, 3])


@normed
@pytest.mark.parametrize("frozen", ["", "input", "norm.weight", "norm", "linear"])
def test_a_norm_before_the_product_changes_no_value_and_no_gradient(parts: int, frozen: str) -> None:
    found = []
    for plain in (False, True):
        module = Normed(parts, plain).double()
        x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        x.requires_grad_(frozen != "input")
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(not (frozen and name.startswith(frozen)))
        output = module(x)
        output.sum().backward()
        found.append((output, x.grad, *(parameter.grad for parameter in module.parameters())))
    for ours, theirs in zip(*found, strict=True):
        if theirs is None:
            assert ours is None
        else:
            torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-10)


@normed
def test_a_norm_before_the_product_under_autocast(parts: int) -> None:
    x = torch.randn(2, 5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        ours, plain = Normed(parts, plain=False), Normed(parts, plain=True)
        found = [module(x) for module in (ours, plain)]
        assert found[0].dtype == found[1].dtype
        torch.testing.assert_close(*found)
        for output in found:
            output.float().sum().backward()
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        assert mine.grad.dtype == torch.float32
        assert (mine.grad - theirs.grad).norm() < 0.02 * theirs.grad.norm()


@normed
def test_torch_func_differentiates_through_the_norm_too(parts: int) -> None:
    x = torch.randn(2, 5, 8)
    ours, plain = (
        torch.func.grad(lambda x, module=module: module(x).sum())(x)
        for module in (Normed(parts, plain=False), Normed(parts, plain=True))
    )
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)


def test_the_rows_of_a_head_lie_together_in_long_sequences_alone() -> None:
    """Attention and its gradient read them so a tenth faster; short ones would pay for the copy."""
    linear = nn.Linear(8, 24)
    for length, together in ((LONG, True), (LONG - 1, False)):
        parts = heads_linear(linear, torch.randn(2, length, 8), parts=3, heads=4)
        assert [part.is_contiguous() for part in parts] == [together] * 3


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_a_model_can_be_mapped_over_another_axis() -> None:
    model = ViViT(replace(SMALL, image_size=64, num_frames=32)).eval()
    videos = torch.randn(2, 1, 32, 3, 64, 64)
    torch.testing.assert_close(torch.func.vmap(model)(videos), torch.stack([model(video) for video in videos]))


def test_a_model_on_long_sequences_has_the_gradients_of_the_plain_way() -> None:
    """The way that compilers are shown, on 1,025 tokens."""
    config = replace(SMALL, image_size=64, num_frames=32)
    model = ViViT(config).double().train()
    video = torch.randn(1, 32, 3, 64, 64, dtype=torch.float64)
    assert model.config.num_tokens + 1 > 2 * LONG
    found = []
    for way in (nullcontext(), patch.object(torch.compiler, "is_compiling", lambda: True)):
        model.zero_grad()
        with way:
            logits = model(video)
            logits.square().sum().backward()
        found.append([logits.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-12, rtol=1e-8)


def test_a_hook_on_the_norm_is_called() -> None:
    module, seen = Normed(3, plain=False), []
    module.norm.register_forward_hook(lambda _, inputs, output: seen.append(output))
    module(torch.randn(2, 8))
    assert len(seen) == 1


def test_a_forward_of_ones_own_is_called_in_training_too() -> None:
    module = Normed(3, plain=False)
    module.linear.forward = lambda x: x.new_full((*x.shape[:-1], 12), 2.0)
    assert torch.equal(module(torch.randn(2, 8))[:, :4], torch.full((2, 4), 4.0))


def test_a_block_keeps_no_output_of_its_norms() -> None:
    """What it keeps is ten activations of its width: two inputs of norms, q, k, v, attention, and four of the MLP."""
    model = ViViT(replace(SMALL, pool="mean")).train()
    block, kept = model.encoder.blocks[0], []
    x = torch.randn(1, 8, 16, requires_grad=True)
    normed = [block.norm_attention(x), None]
    normed[1] = block.norm_mlp(x + block.attention(normed[0]))
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda t: t):
        block(x)
    same = [any(k.shape == n.shape and torch.equal(k, n) for k in kept) for n in normed]
    assert same == [False, False]
    assert any(torch.equal(k, x) for k in kept)


def test_what_attention_gives_is_kept_once_for_its_own_gradient_and_that_of_the_product_after_it() -> None:
    """In long sequences its layout is not that of the product's rows, and a copy would be kept."""
    model = ViViT(replace(SMALL, image_size=64, num_frames=32, pool="mean")).train()
    block, kept = model.encoder.blocks[0], []
    x = torch.randn(1, 2 * LONG, 16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda t: t):
        block(x)
    attended = block.attention.attend(block.norm_attention(x))[0]
    alike = {k.data_ptr() for k in kept if k.numel() == x.numel() and _same_numbers(k, attended)}
    assert len(alike) == 1


def _same_numbers(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.flatten().sort().values, other.flatten().sort().values, atol=1e-6)


def attention_is_first(block: nn.Module, part: str) -> bool:
    return block.branches()[0][1] is getattr(block, part)


@pytest.mark.parametrize(
    ("variant", "part"),
    [
        ("spatio_temporal", "attention"),
        ("spatio_temporal", "mlp"),
        ("spatio_temporal", "drop_path"),
        ("factorised_self_attention", "space"),
        ("factorised_self_attention", "time"),
        ("factorised_dot_product", "attention"),
    ],
)
def test_a_hook_on_a_branch_sees_the_branch_without_the_residual(variant: str, part: str) -> None:
    block = ViViT(replace(SMALL, variant=variant, pool="mean")).double().train().encoder.blocks[0]
    tokens = torch.randn(1, 2, 4, 16, dtype=torch.float64)
    x = tokens.flatten(1, 2) if variant == "spatio_temporal" else tokens
    seen: list[Tensor] = []
    plain = block(x)
    handle = getattr(block, part).register_forward_hook(lambda _, inputs, output: seen.append(output))
    hooked = block(x)
    handle.remove()
    torch.testing.assert_close(hooked, plain, atol=1e-12, rtol=1e-10)
    if part == "drop_path":
        torch.testing.assert_close(x + seen[0] + seen[1], plain, atol=1e-12, rtol=1e-10)
    elif part == "mlp":
        torch.testing.assert_close(seen[0], block.mlp(hooked - seen[0], block.norm_mlp), atol=1e-12, rtol=1e-10)
    else:
        (norm,) = (norm for norm, attention in block.branches() if attention is getattr(block, part))
        before = x if attention_is_first(block, part) else x + block.space(block.norm_space(x))
        torch.testing.assert_close(seen[0], getattr(block, part)(norm(before)), atol=1e-12, rtol=1e-10)


def test_an_mlp_keeps_the_input_of_its_activation_and_not_the_output() -> None:
    mlp, kept = MLP(8, 32, "gelu_tanh"), []
    x = torch.randn(3, 8)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.shape) or tensor, lambda t: t):
        mlp(x)
    assert kept.count(torch.Size([3, 32])) == 1


@pytest.mark.parametrize("variant", ["spatio_temporal", "factorised_encoder"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_leaving_out_what_pooling_does_not_read_changes_no_logit_and_no_gradient(
    variant: str, checkpointing: bool
) -> None:
    """`forward` computes only the class token in the last block; the parts called one by one compute all."""
    model = ViViT(replace(SMALL, variant=variant, temporal_layers=2 if variant == "factorised_encoder" else None))
    model.double().set_checkpointing(checkpointing)
    video = torch.randn(2, 4, 3, 16, 16, dtype=torch.float64)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    for frame_mask in (None, mask):
        model.zero_grad()
        whole = model.forward_head(model.forward_features(video, frame_mask), frame_mask)
        whole.square().sum().backward()
        expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        model.zero_grad()
        logits = model(video, frame_mask)
        logits.square().sum().backward()
        torch.testing.assert_close(logits, whole, atol=1e-12, rtol=1e-10)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter.grad, expected[name], atol=1e-12, rtol=1e-9, msg=name)
