"""Maps of redrawn weights: a map that comes from what was learned changes, one that does not stays."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from tests.contract.configurations import small

from tubelet.explanation import explain
from tubelet.explanation.attribution import Attribution
from tubelet.explanation.sanity import compare_redrawn, rank_correlation
from tubelet.explanation.target import Target
from tubelet.model import ViViT

TARGET = Target("label", 1, "1")
VARIANTS = ("spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product")


def made(variant: str) -> ViViT:
    torch.manual_seed(0)
    model = ViViT(small(variant, image_size=64)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def test_rank_correlation_is_spearmans_also_of_ties() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randint(0, 5, (40,), generator=generator).double() for _ in range(2))
    assert rank_correlation(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    assert rank_correlation(one, one**3) == pytest.approx(1)
    assert rank_correlation(one, torch.ones(40)) == 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_map_of_gradients_changes_with_the_weights(variant: str) -> None:
    model = made(variant)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    video = torch.randn(1, 6, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    found = explain(model, video, method="balanced", sanity=True).sanity
    assert found is not None
    assert found.redrawn[0] == "head"
    assert found.redrawn[-1].endswith("blocks.0")
    assert len(found.redrawn) == 1 + sum(name.endswith("norm_mlp.weight") for name in before)
    assert abs(found.correlation[-1]) <= 0.3
    assert "about what the model learned" in str(found)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_map_of_the_pixels_alone_does_not_pass() -> None:
    def brightness(model, video, frame_mask, target, progress) -> Attribution:
        return Attribution(
            video.unflatten(1, (3, 2)).unflatten(4, (8, 8)).unflatten(6, (8, 8)).mean(dim=(2, 3, 5, 7)), 0.0
        )

    model, video = made("spatio_temporal"), torch.rand(1, 6, 3, 64, 64)
    maps = brightness(model, video, None, TARGET, None).map.double()
    found = compare_redrawn(brightness, model, video, None, TARGET, maps)
    assert found.correlation == pytest.approx([1.0] * 3)
    assert not found.passed
    assert "hardly depends on the weights" in str(found)
