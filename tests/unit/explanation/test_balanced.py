"""Balanced gradients: complete, for every variant, embedding and pooling; constants where they should be."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from tests.contract.configurations import every_configuration, small
from torch.utils._python_dispatch import TorchDispatchMode

from tubelet.explanation.balanced import balanced_gradients
from tubelet.explanation.target import Target
from tubelet.model import ViViT

CONFIGURATIONS = every_configuration()
TARGET = Target("label", 2, "2")


def made(name: str, dtype: torch.dtype) -> ViViT:
    """A model whose every parameter and statistic is drawn at random, so that none is neutral."""
    torch.manual_seed(0)
    model = ViViT(CONFIGURATIONS[name]).eval().to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for key, buffer in model.named_buffers():
            if key.endswith("running_var"):
                buffer.uniform_(0.5, 2)
            elif key.endswith("running_mean"):
                buffer.normal_()
    return model


def clip(dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(2, 6, 3, 16, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize("levels", ["all", "tokens"])
def test_map_and_unattributed_parts_add_up_to_the_logit(
    name: str, dtype: torch.dtype, tolerance: float, levels: Literal["all", "tokens"]
) -> None:
    model, video = made(name, dtype), clip(dtype)
    found = balanced_gradients(model, video, None, TARGET, levels=levels)
    logit = float(model(video)[:, 2].mean().detach())
    total = float(found.map.sum(dim=(1, 2, 3)).mean()) + sum(found.unattributed.values())
    scale = max(abs(logit), float(found.map.abs().sum(dim=(1, 2, 3)).mean()))
    assert found.logit == pytest.approx(logit, abs=tolerance * scale)
    assert total == pytest.approx(logit, abs=tolerance * scale)
    assert found.map.std() > 0


class _Largest(TorchDispatchMode):
    """The number of values of the largest tensor that any operation gives."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else [found]:
            if isinstance(one, torch.Tensor):
                self.size = max(self.size, one.numel())
        return found


@pytest.mark.parametrize("levels", ["all", "tokens"])
def test_no_matrix_over_all_tokens_is_made(levels: Literal["all", "tokens"], monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times the tokens, at most four times the largest tensor; computed in parts, the map is the same."""
    sizes = {"image_size": 32, "num_frames": 8, "tubelet_size": (1, 2, 2), "hidden_size": 8, "mlp_dim": 8}
    model = ViViT(small("spatio_temporal", **sizes)).eval()
    whole = balanced_gradients(model, torch.ones(1, 8, 3, 32, 32), None, TARGET, levels=levels).map
    monkeypatch.setattr("tubelet.explanation.balanced_model.AT_ONCE", 2**15)
    largest_of = []
    for side in (16, 32):
        with _Largest() as largest:
            found = balanced_gradients(model, torch.ones(1, 8, 3, side, side), None, TARGET, levels=levels).map
        largest_of.append(largest.size)
        tokens = found[0].numel()
        assert largest.size < tokens**2 / 4
    assert largest_of[1] <= 4.1 * largest_of[0]
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-6)
