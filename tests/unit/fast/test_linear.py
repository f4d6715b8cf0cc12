"""The products with a backward pass of their own: the plain product in every respect but memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import tubelet.fast.linear
from tubelet.errors import ConfigError
from tubelet.fast.linear import (
    LONG,
    activated_linear,
    heads_to_linear,
    normed_linear,
)
from tubelet.nn.activations import ACTIVATIONS
from tubelet.nn.attention import merge_heads


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
def test_a_second_derivative_is_refused_and_never_wrong(name: str) -> None:
    linear, x = nn.Linear(8, 12), torch.randn(2, 5, 8, requires_grad=True)
    loss = PRODUCTS[name][0](linear, x).square().sum()
    with pytest.raises(ConfigError, match="no second derivatives"):
        torch.autograd.grad(loss, x, create_graph=True)


class Normed(nn.Module):
    """A norm and a linear layer with scales that are not 1."""

    def __init__(self, parts: int, plain: bool, heads: int | None = None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.norm, self.linear = nn.LayerNorm(8, eps=1e-3), nn.Linear(8, 12)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)
        self.parts, self.plain, self.heads = parts, plain, heads

    def forward(self, x: Tensor) -> Tensor:
        if self.plain:
            product = self.linear(self.norm(x)).chunk(self.parts, dim=-1)
        else:
            product = normed_linear(self.linear, x, self.norm, self.parts, self.heads)
            product = product if self.heads is None else [merge_heads(part) for part in product]
        return torch.cat([(part * number).square() for number, part in enumerate(product, 1)], dim=-1)


normed = pytest.mark.parametrize(("parts", "heads"), [(1, None), (3, None), (3, 2)])


@normed
@pytest.mark.parametrize("frozen", ["", "input", "norm.weight", "norm", "linear"])
@pytest.mark.parametrize("long", [512, 1])
def test_a_norm_before_the_product_changes_no_value_and_no_gradient(
    parts: int, heads: int | None, frozen: str, long: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tubelet.fast.linear, "LONG", long)
    found = []
    for plain in (False, True):
        module = Normed(parts, plain, heads).double()
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
def test_a_norm_before_the_product_under_autocast(parts: int, heads: int | None) -> None:
    x = torch.randn(2, 5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        ours, plain = Normed(parts, plain=False, heads=heads), Normed(parts, plain=True)
        found = [module(x) for module in (ours, plain)]
        assert found[0].dtype == found[1].dtype
        torch.testing.assert_close(*found)
        for output in found:
            output.float().sum().backward()
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        assert mine.grad.dtype == torch.float32
        assert (mine.grad - theirs.grad).norm() < 0.02 * theirs.grad.norm()


def test_the_rows_of_a_head_lie_together_in_long_sequences_alone() -> None:
    """Attention and its gradient read them so a tenth faster; short ones would pay for the copy."""
    linear, norm = nn.Linear(8, 24), nn.LayerNorm(8)
    for length, together in ((LONG, True), (LONG - 1, False)):
        parts = normed_linear(linear, torch.randn(2, length, 8), norm, parts=3, heads=4)
        assert [part.is_contiguous() for part in parts] == [together] * 3
