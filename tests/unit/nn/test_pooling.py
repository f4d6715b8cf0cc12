"""Pooling of tokens."""

from __future__ import annotations

import pytest
import torch

from tubelet.nn.pooling import pool_tokens


@pytest.mark.parametrize("pool", ["mean", "max", "first", "weighted"])
def test_masked_pooling_is_pooling_of_the_real_tokens(pool: str) -> None:
    tokens = torch.randn(2, 5, 3)
    mask = torch.tensor([[False, True, True, False, True], [True] * 5])
    expected = torch.cat([pool_tokens(sample[real][None], pool) for sample, real in zip(tokens, mask, strict=True)])
    torch.testing.assert_close(pool_tokens(tokens, pool, mask), expected)
