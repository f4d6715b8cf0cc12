"""Tokens that are left out: what they hold changes nothing, and a time without tokens is a masked frame."""

from __future__ import annotations

import pytest
import torch
from tests.contract.configurations import small
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.explanation import explain
from tubelet.explanation.grid import TokenGrid
from tubelet.explanation.hiding import logits_of
from tubelet.explanation.target import Target
from tubelet.model import ViViT

TARGET = Target("label", 1, "1")
FIELDS = [
    {"variant": "spatio_temporal", "pool": "cls"},
    {"variant": "spatio_temporal", "pool": "weighted"},
    {"variant": "spatio_temporal", "pool": "max", "embedding": "uniform_frames"},
    {"variant": "factorised_encoder", "pool": "cls"},
    {"variant": "factorised_encoder", "pool": "mean"},
    {"variant": "factorised_encoder", "pool": "mean", "temporal_layers": 0},
]
leaving_out = pytest.mark.parametrize("fields", FIELDS, ids=lambda fields: "-".join(map(str, fields.values())))


def made(fields: dict[str, object]) -> ViViT:
    torch.manual_seed(0)
    model = ViViT(small(**fields)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def clip() -> Tensor:
    return torch.randn(1, 6, 3, 16, 24, generator=torch.Generator().manual_seed(1))


@leaving_out
def test_what_is_left_out_changes_nothing_and_leaving_it_out_changes_the_logit(fields: dict[str, object]) -> None:
    model, video = made(fields), clip()
    shown = torch.ones(2, 3, 2, 3)
    shown[0, 1, 0, 2] = shown[0, 2, 1, 0] = 0
    other = video + 5 * TokenGrid.of(model.config, (6, 16, 24)).over_pixels(1 - shown[:1])
    before, after = (logits_of(model, one, None, "leave_out", shown, TARGET) for one in (video, other))
    assert float(before[0]) == pytest.approx(float(after[0]), abs=1e-5)
    assert abs(float(before[1] - after[1])) > 1e-4
    assert abs(float(before[0] - before[1])) > 1e-4
    with torch.no_grad():
        assert float(before[1]) == pytest.approx(float(model(video)[0, 1]), abs=1e-5)


@leaving_out
def test_leaving_out_all_of_a_time_is_masking_its_frames(fields: dict[str, object]) -> None:
    model, video = made(fields), clip()
    shown = torch.ones(1, 3, 2, 3)
    shown[0, 1] = 0
    mask = torch.ones(1, 6, dtype=torch.bool)
    mask[0, list(TokenGrid.of(model.config, (6, 16, 24)).frames[1])] = False
    found = logits_of(model, video, None, "leave_out", shown, TARGET)
    with torch.no_grad():
        assert float(found) == pytest.approx(float(model(video, mask)[0, 1]), abs=1e-5)
    both = logits_of(model, video, mask, "leave_out", torch.ones(1, 3, 2, 3), TARGET)
    assert float(both) == pytest.approx(float(found), abs=1e-5)


@leaving_out
def test_a_map_is_scored_and_occluded_by_leaving_out(fields: dict[str, object]) -> None:
    """Down to the clip without any token, which has a finite logit."""
    found = explain(made(fields), clip(), method="occlusion", filling="leave_out", score=True)
    assert found.score is not None
    assert found.score.filling == "leave_out"
    assert found.score.gain is not None
    assert found.map.isfinite().all()
    assert not torch.allclose(found.map, explain(made(fields), clip(), method="occlusion", filling="mean").map)


def test_occlusion_takes_each_filling() -> None:
    """A clip that stands still: its mean picture hides nothing, its mean colour does."""
    model, still = made(FIELDS[0]), clip()[:, :1].expand(-1, 6, -1, -1, -1)
    frozen, grey = (explain(model, still, method="occlusion", filling=one).map for one in ("freeze", "mean"))
    assert float(frozen.abs().max()) < 1e-5
    assert float(grey.abs().max()) > 1e-3


@pytest.mark.parametrize("variant", ["factorised_self_attention", "factorised_dot_product"])
def test_models_that_attend_along_axes_say_what_to_use(variant: str) -> None:
    with pytest.raises(ConfigError, match=r"leave_out.*Use filling='mean' or 'freeze'"):
        explain(made({"variant": variant}), clip(), method="occlusion", filling="leave_out")


def test_integrated_gradients_need_a_clip_to_start_from() -> None:
    with pytest.raises(ConfigError, match="a clip to start from"):
        explain(made(FIELDS[0]), clip(), method="integrated_gradients", filling="leave_out")
