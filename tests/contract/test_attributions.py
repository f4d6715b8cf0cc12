"""captum's methods, which stand on hooks and gradients, work on every model and sum as they should."""

from __future__ import annotations

import warnings

import pytest
import torch

from contract.configurations import VARIANTS, small
from tubelet.model import ViViT

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    attributions = pytest.importorskip("captum.attr")

every = pytest.mark.parametrize("variant", VARIANTS)


def build(variant: str) -> ViViT:
    model = ViViT(small(variant)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@every
def test_integrated_gradients_sum_to_the_difference_of_the_logits(variant: str) -> None:
    """Completeness (Sundararajan et al., 2017): over all pixels, the change of the logit from the baseline."""
    model, video = build(variant), torch.randn(2, 6, 3, 16, 24, dtype=torch.float64)
    baseline, target = torch.zeros_like(video), torch.tensor([1, 3])
    found = attributions.IntegratedGradients(model).attribute(video, baseline, target, n_steps=128)
    with torch.no_grad():
        change = (model(video) - model(baseline)).gather(1, target[:, None])[:, 0]
    assert change.abs().min() > 1e-3
    torch.testing.assert_close(found.flatten(1).sum(dim=1), change, atol=1e-6, rtol=0)


@every
def test_layer_grad_cam_is_the_gradient_weighted_sum_of_what_a_layer_gives(variant: str) -> None:
    """Of [B, N, ..., D] captum weights each n by the mean of its gradient (Selvaraju et al., 2017), and sums over n."""
    model, video = build(variant), torch.randn(2, 6, 3, 16, 24, dtype=torch.float64)
    encoder = model.temporal_encoder if variant == "factorised_encoder" else model.encoder
    layer = encoder.blocks[0]
    kept: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    logit = model(video)[:, 2].sum()
    handle.remove()
    (tokens,) = kept
    (gradient,) = torch.autograd.grad(logit, tokens)
    weights = gradient.flatten(2).mean(dim=2).reshape(*tokens.shape[:2], *[1] * (tokens.ndim - 2))
    found = attributions.LayerGradCam(model, layer).attribute(video, 2)
    expected = (weights * tokens).sum(dim=1, keepdim=True).detach()
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-9)
