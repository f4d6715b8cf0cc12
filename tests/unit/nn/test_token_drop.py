"""Token dropping: encoding and training on a part of the spatial positions."""

from __future__ import annotations

import pytest
import torch

from contract.configurations import VARIANTS, small
from tubelet.errors import ConfigError
from tubelet.model import ViViT
from tubelet.nn.token_drop import draw_kept_positions


def small_model(variant: str, **fields: object) -> ViViT:
    """A 3x2x3 token grid, every parameter drawn, in evaluation mode."""
    model = ViViT(small(variant, **fields)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def masked_reference(model: ViViT, tokens: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The kept tokens as a grid of one row, with position embeddings added beforehand."""
    encoder = model.spatial_encoder if model.config.variant == "factorised_encoder" else model.encoder
    placed = encoder.positions(tokens).flatten(2, 3)
    row = torch.stack([sample[:, chosen] for sample, chosen in zip(placed, kept, strict=True)])[:, :, None]
    before = encoder.positions.grid.data
    encoder.positions.grid.data = torch.zeros(*row.shape[1:])
    try:
        return model.encode_tokens(row)
    finally:
        encoder.positions.grid.data = before


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_kept_positions_are_encoded_with_their_own_positions(variant: str) -> None:
    model = small_model(variant)
    tokens = torch.randn(2, 3, 2, 3, 32)
    kept = torch.tensor([[0, 2, 5], [1, 3, 4]])
    ours = model.encode_tokens(tokens, None, kept)
    torch.testing.assert_close(ours, masked_reference(model, tokens, kept), atol=2e-6, rtol=1e-5)
    every = torch.arange(6).expand(2, -1)
    torch.testing.assert_close(model.encode_tokens(tokens, None, every), model.encode_tokens(tokens))


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_token_drop_leaves_out_tubes_in_training_alone(variant: str) -> None:
    model, whole = small_model(variant, token_drop=0.5), small_model(variant)
    whole.load_state_dict(model.state_dict())
    video = torch.randn(2, 6, 3, 16, 24)
    mask = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    assert torch.equal(model(video, mask), whole(video, mask))
    model.train()
    whole.train()
    torch.manual_seed(1)
    first = model(video, mask)
    assert not torch.allclose(first, whole(video, mask))
    torch.manual_seed(1)
    assert torch.equal(model(video, mask), first), "the draw is torch's generator's"
    torch.manual_seed(1)
    kept = draw_kept_positions(2, 6, 0.5)
    assert kept.shape == (2, 3)
    time_mask = torch.tensor([[True] * 3, [True, True, False]])
    held = model.embed(video, mask)
    expected = model.forward_head(whole.encode_tokens(held, time_mask, kept), mask)
    torch.testing.assert_close(first, expected)


def test_token_drop_does_not_fit_the_pooling_of_the_first_token() -> None:
    with pytest.raises(ConfigError, match="use pool='cls' or 'mean'"):
        small_model("spatio_temporal", token_drop=0.5, pool="first")
    with pytest.raises(ConfigError, match=r"token_drop=1\.0 is a probability"):
        small_model("spatio_temporal", token_drop=1.0)
