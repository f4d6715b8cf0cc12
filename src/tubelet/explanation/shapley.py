"""Shapley values of the time vectors of the factorised encoder: what each moment adds to the logit, on average.

The spatial encoder runs once. A coalition is a set of times, and the temporal encoder sees these alone, by its mask.
Up to `EXACT` times every coalition is evaluated. Beyond, orders of the times are drawn, each together with its reverse,
until the standard error is small (Castro et al., 2009; Mitchell et al., JMLR 2022). Price and Damen (ACCV 2020) use
Shapley values of frames for models of this shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.explanation.attribution import Attribution, Progress, each_view, no_progress, within
from tubelet.explanation.balanced import balanced_gradients
from tubelet.explanation.leaving_out import pooled_times
from tubelet.explanation.target import Target
from tubelet.model import ViViT

EXACT = 12
"""Times up to which all coalitions are evaluated: 4,096 passes of the temporal encoder."""

PRECISION = 0.01
"""Standard error at which drawing ends, as a share of the largest value's size."""

ORDERS = 2048
"""Orders that are drawn at most."""

CHUNK = 256
"""Coalitions in one forward pass."""

Game = Callable[[Bool[Tensor, "S t"]], Float[Tensor, "S"]]
"""From coalitions, True at the times that take part, to their values."""


def shapley_attribution(
    model: ViViT,
    video: Float[Tensor, "V T C H W"],
    frame_mask: Bool[Tensor, "V T"] | None,
    target: Target,
    progress: Progress = no_progress,
) -> Attribution:
    """Shapley values over time, and inside each time a spatial map that sums to the time's value.

    The spatial map is that of balanced gradients. Its difference from the value of its time is spread over the places
    in proportion to their size.

    Args:
        model: plain and unwrapped, a factorised encoder.
        video: the views of a video, preprocessed.
        frame_mask: as the model takes it.
        target: what is explained.
        progress: called with (done, all) coalitions or orders.

    Raises:
        ConfigError: another variant.
    """
    if model.config.variant != "factorised_encoder":
        raise ConfigError(
            f"method='shapley' needs the time vectors of variant='factorised_encoder', and this model is "
            f"{model.config.variant!r}; use method='balanced'"
        )
    spatial = balanced_gradients(model, video, frame_mask, target)
    maps, empty, errors, logit = [], 0.0, [], 0.0
    for view, clip, mask in each_view(video, frame_mask):
        with torch.no_grad():
            vectors = model.encode_space(model.embed(clip, mask))
            real = None if mask is None else model._time_mask(mask)
            game = _game(model, vectors, real, target)
            values, error = shapley_values(game, vectors.shape[1], real, within(progress, view, len(video)))
            nothing, all_of_them = game(torch.stack([torch.zeros_like(_all(vectors)), _all(vectors)])).tolist()
        maps.append(with_sums(spatial.map[view], values))
        empty += nothing / len(video)
        logit += all_of_them / len(video)
        errors.append(error)
    return Attribution(torch.stack(maps), logit, {"no time at all": empty}, error=max(errors))


def shapley_values(
    game: Game, times: int, real: Bool[Tensor, "1 t"] | None = None, progress: Progress = no_progress
) -> tuple[Float[Tensor, "t"], float]:
    """Shapley values of a game, and the largest of their standard errors (0 where they are exact).

    Args:
        game: gives the values of coalitions.
        times: players, t.
        real: those that take part at all; the others get 0.
        progress: called with (done, all) coalitions or orders.
    """
    players = list(range(times)) if real is None else real[0].nonzero()[:, 0].tolist()
    values = torch.zeros(times, dtype=torch.float64)
    compute = _exact if len(players) <= EXACT else _drawn
    found, error = compute(game, times, players, progress)
    values[players] = found
    return values, error


def _exact(game: Game, times: int, players: list[int], progress: Progress) -> tuple[Tensor, float]:
    count = len(players)
    numbers = torch.arange(2**count)
    inside = (numbers[:, None] >> torch.arange(count)) & 1
    coalitions = torch.zeros(len(numbers), times, dtype=torch.bool)
    coalitions[:, players] = inside.bool()
    worths = []
    for chunk in coalitions.split(CHUNK):
        worths.append(game(chunk).double())
        progress(len(worths) * CHUNK, max(len(numbers), CHUNK))
    worth = torch.cat(worths)
    sizes = inside.sum(dim=1)
    weight = torch.tensor([1 / (count * math.comb(count - 1, size)) for size in range(count)], dtype=torch.float64)
    values = []
    for player in range(count):
        without = numbers[inside[:, player] == 0]
        gain = worth[without + 2**player] - worth[without]
        values.append((weight[sizes[without]] * gain).sum())
    return torch.stack(values), 0.0


def _drawn(game: Game, times: int, players: list[int], progress: Progress) -> tuple[Tensor, float]:
    generator = torch.Generator().manual_seed(0)
    count, pairs = len(players), []
    at_once = max(1, CHUNK // (2 * count))
    while True:
        orders = [torch.randperm(count, generator=generator) for _ in range(at_once)]
        both = torch.stack([one for order in orders for one in (order, order.flip(0))])
        gains = _gains(game, times, players, both)
        pairs.append(gains.unflatten(0, (-1, 2)).mean(dim=1))
        every = torch.cat(pairs)
        progress(2 * len(every), ORDERS)
        mean, number = every.mean(dim=0), len(every)
        error = float((every.std(dim=0) / math.sqrt(number)).max()) if number > 7 else math.inf
        if error <= PRECISION * float(mean.abs().max()) or 2 * number >= ORDERS:
            return mean, error


def _gains(game: Game, times: int, players: list[int], orders: Tensor) -> Tensor:
    """[orders, players]: what each player adds when it joins those before it."""
    count = len(players)
    rank = orders.argsort(dim=1)
    sizes = torch.arange(count + 1)
    inside = rank[:, None, :] < sizes[:, None]  # [orders, size, player]
    coalitions = torch.zeros(*inside.shape[:2], times, dtype=torch.bool)
    coalitions[..., players] = inside
    worth = game(coalitions.flatten(0, 1)).double().unflatten(0, (-1, count + 1))
    return worth.diff(dim=1).take_along_dim(rank, dim=1)


def _game(model: ViViT, vectors: Tensor, real: Tensor | None, target: Target) -> Game:
    """The value of a coalition: the target's logit where the temporal encoder sees its times alone.

    Without a class token nothing is pooled where no time takes part; the pooled vector is 0 then.
    """

    def worth(coalitions: Tensor) -> Tensor:
        coalitions = coalitions.to(vectors.device)
        found = []
        for chunk in coalitions.split(CHUNK):
            pooled = pooled_times(model, vectors.expand(len(chunk), -1, -1), chunk)
            found.append(target.of(model.classify(pooled)))
        return torch.cat(found).cpu()

    return worth


def _all(vectors: Tensor) -> Tensor:
    return torch.ones(vectors.shape[1], dtype=torch.bool)


def with_sums(heat: Float[Tensor, "t h w"], sums: Float[Tensor, "t"]) -> Float[Tensor, "t h w"]:
    """The map with these sums over each time; the difference is spread in proportion to the size of its values."""
    flat = heat.double().flatten(1)
    size = flat.abs()
    total = size.sum(dim=1, keepdim=True)
    share = torch.where(total > 0, size / total, 1 / flat.shape[1])
    missing = sums.to(flat)[:, None] - flat.sum(dim=1, keepdim=True)
    return (flat + missing * share).view_as(heat)
