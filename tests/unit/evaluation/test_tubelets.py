"""Clips that hold the same tubelets: encoded once, and the same logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.config import ModelConfig
from tubelet.evaluation import predict_views
from tubelet.evaluation.tubelets import STEM_AFTER, STEM_BEFORE, forward_sharing, shared_tubelets
from tubelet.model import ViViT

BASE: dict[str, Any] = {
    "variant": "factorised_encoder",
    "image_size": 16,
    "num_frames": 8,
    "tubelet_size": (2, 8, 8),
    "hidden_size": 32,
    "num_layers": 1,
    "num_heads": 2,
    "mlp_dim": 32,
    "temporal_layers": 1,
    "num_classes": 3,
}

KINDS: list[dict[str, Any]] = [
    {},
    {"temporal_layers": 0, "pool": "mean"},
    {"embedding": "conv_stem"},
    {"embedding": "conv_stem", "tubelet_size": (1, 8, 8)},
    {"embedding": "uniform_frames", "tubelet_size": (1, 8, 8), "sampled_frames": 3},
    {"num_classes": {"verb": 2, "noun": 3}},
]


def made(**changes: Any) -> ViViT:
    model = ViViT(ModelConfig(**{**BASE, **changes})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)  # biases too: then padding in time is felt
    return model


def views(frames: list[list[int]], crops: int = 3) -> Tensor:
    """Views whose pixels depend on the crop and the frame."""
    generator = torch.Generator().manual_seed(0)
    video = torch.randn(crops, 1 + max(map(max, frames)), 3, 16, 16, generator=generator)
    return torch.cat([video[:, numbers] for numbers in frames])


def runs(start: int) -> list[int]:
    return list(range(start, start + 16, 2))


OVERLAPPING = [runs(start) for start in (0, 8, 16, 24)]
"""Each clip holds the last two tubelets of the one before."""

UNALIGNED = [runs(start) for start in (0, 6, 12, 18)]
"""Starts are half a tubelet apart, but every second clip fits the first one's grid."""

LOOPED = [[0, 2, 4, 6, 0, 2, 4, 6], [0, 2, 4, 6, 0, 2, 4, 6]]


@pytest.mark.parametrize("changes", KINDS, ids=str)
@pytest.mark.parametrize("frames", [OVERLAPPING, UNALIGNED, LOOPED], ids=["overlapping", "unaligned", "looped"])
def test_the_logits_are_those_of_the_views_one_by_one(changes: dict[str, Any], frames: list[list[int]]) -> None:
    model, video = made(**changes), views(frames)
    with torch.no_grad():
        expected, shared = model(video), forward_sharing(model, video, frames, batch=5)
    for head in expected if isinstance(expected, dict) else [None]:
        one, other = (expected, shared) if head is None else (expected[head], shared[head])
        assert torch.allclose(one, other, atol=1e-5)


def test_masked_frames_stay_without_effect() -> None:
    """Two clips of a video that ends in the second one."""
    frames = [runs(0), [8, 10, 12, 14, 16, 16, 16, 16]]
    mask = torch.tensor([[True] * 8, [True] * 5 + [False] * 3])
    model, video = made(), views(frames, crops=1)
    video[1, 5:] = float("nan")
    with torch.no_grad():
        shared = forward_sharing(model, video, frames, mask, batch=8)
        assert torch.allclose(shared, model(video, mask), atol=1e-5)


def test_predict_views_encodes_what_views_share_once() -> None:
    model, video = made(), views(OVERLAPPING)
    tubelets: list[int] = []
    model.spatial_encoder.register_forward_pre_hook(lambda _, args: tubelets.append(len(args[0])))
    plain = predict_views(model, video)["label"]
    assert sum(tubelets) == 12 * 4
    tubelets.clear()
    sharing = predict_views(model, video, frames=OVERLAPPING)["label"]
    assert sum(tubelets) == 3 * (4 + 3 * 2)
    assert torch.allclose(plain, sharing, atol=1e-5)


def test_where_nothing_is_shared_nothing_changes() -> None:
    apart = [runs(0), runs(18)]
    for model, frames in ((made(), apart), (made(variant="spatio_temporal", temporal_layers=None), OVERLAPPING)):
        video = views(frames)
        assert torch.equal(predict_views(model, video)["label"], predict_views(model, video, frames=frames)["label"])


def test_which_tubelets_are_shared() -> None:
    config = ModelConfig(**BASE)
    assert shared_tubelets(config, OVERLAPPING) == 3 * 2
    assert shared_tubelets(config, [runs(0), runs(6)]) == 0  # one and a half tubelets later: another grid
    assert shared_tubelets(config, UNALIGNED) == 2  # the third clip starts three tubelets after the first
    assert shared_tubelets(ModelConfig(**{**BASE, "variant": "spatio_temporal", "temporal_layers": None}), LOOPED) == 0


def test_a_stem_reaches_as_far_as_is_said() -> None:
    """A token changes with frames `STEM_BEFORE` before it and `STEM_AFTER` after it, and with none farther."""
    model = made(embedding="conv_stem", tubelet_size=(1, 8, 8), num_frames=12)
    video = torch.randn(1, 12, 3, 16, 16)
    other = video.clone()
    other[:, 5] += 1
    with torch.no_grad():
        changed = (model.embed(video) - model.embed(other)).abs().amax(dim=(0, 2, 3, 4)) > 0
    assert changed.tolist() == [5 - STEM_AFTER <= time <= 5 + STEM_BEFORE for time in range(12)]
