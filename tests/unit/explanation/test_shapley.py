"""Shapley values: exact against enumeration over orders, efficient, and drawn ones within their error."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from tests.contract.configurations import small
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.explanation.shapley import shapley_attribution, shapley_values
from tubelet.explanation.target import Target
from tubelet.model import ViViT

TARGET = Target("label", 1, "1")


def game_of(times: int, seed: int = 0):
    """A game with a random value for every coalition."""
    worth = torch.randn(2**times, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return lambda coalitions: worth[(coalitions.long() * 2 ** torch.arange(times)).sum(dim=1)]


def by_orders(game, times: int) -> Tensor:
    """The definition: the mean over all orders of what a player adds to those before it."""
    values, orders = torch.zeros(times, dtype=torch.float64), list(itertools.permutations(range(times)))
    for order in orders:
        coalition = torch.zeros(1, times, dtype=torch.bool)
        before = game(coalition)
        for player in order:
            coalition[0, player] = True
            after = game(coalition)
            values[player] += (after - before)[0] / len(orders)
            before = after
    return values


def test_values_are_those_of_the_definition() -> None:
    game = game_of(6)
    values, error = shapley_values(game, 6)
    torch.testing.assert_close(values, by_orders(game, 6))
    assert error == 0


def test_players_that_are_not_real_get_nothing_and_the_others_their_own_game() -> None:
    game = game_of(6)
    values, _ = shapley_values(game, 6, torch.tensor([[True, False, True, True, False, True]]))
    assert values[1] == values[4] == 0
    full = torch.tensor([[True, False, True, True, False, True]])
    assert values.sum() == pytest.approx(float((game(full) - game(torch.zeros_like(full)))[0]))


def test_drawn_values_are_within_their_error_of_the_exact_ones() -> None:
    weight = torch.randn(14, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    pairs = torch.randn(14, 14, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    def game(coalitions: Tensor) -> Tensor:
        inside = coalitions.double()
        return inside @ weight + ((inside @ pairs) * inside).sum(dim=1) + (inside.sum(dim=1) > 9).double()

    values, error = shapley_values(game, 14)
    # a pair that joins is shared by its two members; the last term is the same for all by symmetry
    exact = weight + pairs.diagonal() + (pairs + pairs.T).fill_diagonal_(0).sum(dim=1) / 2 + 1 / 14
    assert 0 < error < 0.2
    assert (values - exact).abs().max() < 4 * error
    assert values.sum() == pytest.approx(float(exact.sum()))


@pytest.mark.parametrize("fields", [{"pool": "cls"}, {"pool": "mean"}, {"pool": "max"}, {"temporal_layers": 0}])
def test_of_a_model_they_sum_to_the_change_of_the_logit_and_equal_enumeration_on_eight_times(fields: dict) -> None:
    torch.manual_seed(0)
    model = ViViT(small("factorised_encoder", num_frames=16, **fields)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        video = torch.randn(1, 16, 3, 16, 24)
        logits = model(video)
        found = shapley_attribution(model, video, None, TARGET)
        vectors = model.encode_space(model.embed(video))[0]
    assert found.logit == pytest.approx(float(logits[0, 1]), abs=1e-5)
    assert float(found.map.sum()) + found.unattributed["no time at all"] == pytest.approx(found.logit, abs=1e-5)

    def value(times: tuple[int, ...]) -> float:
        """Only the vectors of these times, at their own positions, by leaving the others out of the mask."""
        if not times and not (model.config.temporal_layers and model.temporal_encoder.cls is not None):
            return float(model.classify(torch.zeros(1, 32))[0, 1].detach())
        mask = torch.zeros(1, 8, dtype=torch.bool)
        mask[0, list(times)] = True
        with torch.no_grad():
            return float(model.forward_times(vectors[None], mask)[0, 1])

    worth = {s: value(s) for size in range(9) for s in itertools.combinations(range(8), size)}
    for time in range(8):
        others = [s for s in worth if time not in s]
        exact = sum((worth[tuple(sorted((*s, time)))] - worth[s]) / (8 * math.comb(7, len(s))) for s in others)
        assert float(found.map[0, time].sum()) == pytest.approx(exact, abs=2e-5)


def test_other_variants_are_refused_with_what_to_use() -> None:
    model = ViViT(small("factorised_self_attention")).eval()
    with pytest.raises(ConfigError, match=r"factorised_encoder.*use method='balanced'"):
        shapley_attribution(model, torch.zeros(1, 6, 3, 16, 24), None, TARGET)
