"""Maps find what decides: models of all four variants, trained on videos in which only one place and time can."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch
import torch.nn.functional as F
from tests.planted import FRAMES, SIZE, TUBELET, Planted, planted
from torch import Tensor

from tubelet.config import ModelConfig
from tubelet.explanation import explain, methods_for
from tubelet.explanation.methods import DEFAULT
from tubelet.model import ViViT

VARIANTS = {
    "spatio_temporal": {},
    "factorised_encoder": {"temporal_layers": 2},
    "factorised_self_attention": {},
    "factorised_dot_product": {},
}


def trained(variant: str, steps: int = 1500) -> ViViT:
    """A small model that tells the two directions apart."""
    torch.manual_seed(0)
    config = ModelConfig(
        variant=variant,
        image_size=SIZE,
        num_frames=FRAMES,
        tubelet_size=TUBELET,
        hidden_size=64,
        num_layers=3,
        num_heads=4,
        mlp_dim=128,
        num_classes=2,
        pool="mean",
        **VARIANTS[variant],
    )
    model = ViViT(config).train()
    data = planted(3000, seed=1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    for _ in range(steps):
        chosen = torch.randint(0, len(data.label), (32,))
        loss = F.cross_entropy(model(data.video[chosen]), data.label[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


@pytest.fixture(scope="module", params=VARIANTS)
def planted_case(request: pytest.FixtureRequest) -> tuple[ViViT, Planted]:
    """A trained model, and test videos that it gets right."""
    model, test = trained(request.param), planted(60, seed=2)
    with torch.inference_mode():
        right = model(test.video).argmax(dim=1) == test.label
    assert right.float().mean() > 0.9
    return model, Planted(test.video[right], test.label[right], test.truth[right])


def maps(model: ViViT, test: Planted, method: str, *, other: bool = False) -> list[Tensor]:
    """The map [t, h, w] of each video, of its class or of the other one."""
    targets = (1 - test.label if other else test.label).tolist()
    return [
        explain(model, test.video[number : number + 1], target=target, method=method).map
        for number, target in enumerate(targets)
    ]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("method", ["balanced_tokens", "balanced", "shapley"])
def test_the_hottest_tubelet_and_most_of_the_relevance_lie_where_the_truth_is(
    planted_case: tuple[ViViT, Planted], method: str
) -> None:
    model, test = planted_case
    if method not in methods_for(model):
        pytest.skip(f"{model.config.variant} has no {method}")
    inside, mass, moments = [], [], []
    for heat, truth in zip(maps(model, test, method), test.truth, strict=True):
        share = float(truth.float().mean())
        inside.append(bool(truth.flatten()[heat.argmax()]))
        mass.append(float(heat.clamp(min=0)[truth].sum() / heat.clamp(min=0).sum()) / share)
        moments.append(bool(truth.flatten(1).any(dim=1)[heat.sum(dim=(1, 2)).argmax()]))
    assert fmean(inside) >= 0.9
    assert fmean(mass) >= 3
    assert fmean(moments) >= 0.9


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_maps_of_two_classes_differ_and_redrawn_weights_give_another_map(planted_case: tuple[ViViT, Planted]) -> None:
    model, test = planted_case
    pairs = zip(maps(model, test, DEFAULT), maps(model, test, DEFAULT, other=True), strict=True)
    assert fmean(float(torch.corrcoef(torch.stack(pair).flatten(1))[0, 1]) for pair in pairs) < 0.5
    found = [
        explain(model, test.video[number : number + 1], method=DEFAULT, sanity=True).sanity.correlation[-1]
        for number in range(10)
    ]
    assert fmean(found) <= 0.3
