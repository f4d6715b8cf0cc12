"""Maps find what decides: models of all four variants, trained on videos in which only one place and time can."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tests.planted import FRAMES, SIZE, TUBELET, planted

from tubelet.config import ModelConfig
from tubelet.explanation import explain
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


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_hottest_tubelet_and_most_of_the_relevance_lie_where_the_truth_is(variant: str) -> None:
    model = trained(variant)
    test = planted(60, seed=2)
    with torch.inference_mode():
        right = model(test.video).argmax(dim=1) == test.label
    assert right.float().mean() > 0.9
    inside, ratios, moments = [], [], []
    for number in right.nonzero()[:, 0].tolist():
        found = explain(model, test.video[number : number + 1], target=int(test.label[number]), method="balanced")
        truth, heat = test.truth[number], found.map.clamp(min=0)
        inside.append(bool(truth.flatten()[found.map.argmax()]))
        ratios.append(float(heat[truth].sum() / heat.sum()) / float(truth.float().mean()))
        times = truth.flatten(1).any(dim=1)
        moments.append(bool(times[found.curve.argmax()]))
    assert sum(inside) / len(inside) >= 0.9
    assert sum(ratios) / len(ratios) >= 3
    assert sum(moments) / len(moments) >= 0.9
