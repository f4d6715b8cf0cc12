"""Integrated gradients and occlusion against captum's, on the same model and clip."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor

from contract.configurations import VARIANTS, small
from tubelet.explanation.grid import TokenGrid
from tubelet.explanation.hiding import filled
from tubelet.explanation.integrated import integrated_gradients
from tubelet.explanation.perturbation import occlusion
from tubelet.explanation.target import Target
from tubelet.model import ViViT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    attributions = pytest.importorskip("captum.attr")

TARGET = Target("label", 2, "2")
every = pytest.mark.parametrize("variant", VARIANTS)


def made(variant: str) -> tuple[ViViT, Tensor, TokenGrid]:
    torch.manual_seed(0)
    model = ViViT(small(variant)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    video = torch.randn(1, 6, 3, 16, 24, dtype=torch.float64)
    return model, video, TokenGrid.of(model.config, (6, 16, 24))


@every
@pytest.mark.parametrize("filling", ["mean", "freeze"])
def test_integrated_gradients_are_captums_summed_over_each_token(variant: str, filling: str) -> None:
    model, video, grid = made(variant)
    found = integrated_gradients(model, video, None, TARGET, filling=filling, steps=16).map
    theirs = attributions.IntegratedGradients(model).attribute(
        video, filled(video, filling).contiguous(), target=2, n_steps=16, method="riemann_middle"
    )
    assert found.abs().max() > 1e-4
    torch.testing.assert_close(found, grid.over_tokens(theirs), atol=1e-9, rtol=1e-6)


@every
@pytest.mark.parametrize("tube", [(1, 1, 1), (1, 2, 1), (3, 1, 3)])
def test_occlusion_is_captums_shared_by_the_tokens_of_a_tube(variant: str, tube: tuple[int, int, int]) -> None:
    """Captum gives every pixel of a window the fall of the logit; here the tokens of a tube share it."""
    model, video, grid = made(variant)
    found = occlusion(model, video, None, TARGET, filling="mean", tube=tube).map
    window = (tube[0] * 2, 3, tube[1] * 8, tube[2] * 8)
    theirs = attributions.Occlusion(model).attribute(
        video, window, strides=window, baselines=filled(video, "mean").contiguous(), target=2
    )
    pixels = 2 * 3 * 8 * 8
    expected = grid.over_tokens(theirs.double()) / pixels / (tube[0] * tube[1] * tube[2])  # captum gives float32
    assert found.abs().max() > 1e-4
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-4)
