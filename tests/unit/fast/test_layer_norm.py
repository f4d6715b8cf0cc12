"""LayerNorm in tiles: the library's, to rounding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tubelet.fast.layer_norm import layer_norm, layer_norm_backward
from tubelet.fast.tiles import TILE_ELEMENTS


@pytest.mark.parametrize("tokens", [3, TILE_ELEMENTS // 64 + 1, 3 * TILE_ELEMENTS // 64 + 17])
@pytest.mark.parametrize(
    "wanted", [(True, True, True), (True, False, False), (False, True, True), (False, False, True)]
)
def test_values_and_gradients_are_the_librarys(tokens: int, wanted: tuple[bool, bool, bool]) -> None:
    generator = torch.Generator().manual_seed(0)
    norm = nn.LayerNorm(64, eps=1e-3).double()
    for parameter in norm.parameters():
        nn.init.normal_(parameter, generator=generator)
    x = torch.randn(2, tokens, 64, generator=generator, dtype=torch.float64, requires_grad=True)
    gradient = torch.randn(2, 64, tokens, generator=generator, dtype=torch.float64).transpose(1, 2)
    expected = norm(x)
    given = torch.autograd.grad(expected, (x, norm.weight, norm.bias), gradient)
    with torch.no_grad():
        found, statistics = layer_norm(x, norm.weight, norm.bias, norm.eps)
        gradients = layer_norm_backward(gradient, x, norm.weight, norm.bias, statistics, wanted)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-10)
    for each, theirs, asked in zip(gradients, given, wanted, strict=True):
        if asked:
            torch.testing.assert_close(each, theirs, atol=1e-9, rtol=1e-9)
        else:
            assert each is None
