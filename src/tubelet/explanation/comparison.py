"""Which method is the most faithful to a model: the score of each on the same clips."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from tubelet.data import Failure, Table
from tubelet.data.units import independent_unit
from tubelet.errors import DataError
from tubelet.evaluation.evaluator import EvaluationOptions, set_up
from tubelet.evaluation.intervals import Range, Resampling
from tubelet.explanation.attribution import Progress, explained_model, no_progress
from tubelet.explanation.hiding import Filling
from tubelet.explanation.methods import DEFAULT, SLOW, method_of, methods_for
from tubelet.explanation.score import relevance_gain
from tubelet.explanation.target import find_target
from tubelet.model import ViViT

RANDOM = "random"
"""Name of the row of a random order."""


@dataclass(frozen=True)
class MethodScore:
    """One method on all clips.

    Attributes:
        method: its name; `random` for an order without a method.
        gain: mean symmetric relevance gain.
        interval: of it, 95 %; None where the clips do not support one.
        difference: mean gain over that of the reference.
        difference_interval: of it, paired: each draw takes the same clips for both.
    """

    method: str
    gain: float
    interval: Range | None
    difference: float
    difference_interval: Range | None


@dataclass(frozen=True)
class MethodComparison:
    """Methods on the same clips, the best first.

    Attributes:
        scores: one for each method.
        clips: how many were scored; clips whose logit does not change when all is hidden are left out.
        filling: what hidden tokens were replaced by.
        reference: the method that differences are from.
    """

    scores: tuple[MethodScore, ...]
    clips: int
    filling: Filling
    reference: str

    @property
    def best(self) -> str:
        """The method with the largest mean gain."""
        return next(one.method for one in self.scores if one.method != RANDOM)

    def table(self) -> list[tuple[str, ...]]:
        """The rows of a table, its head first: gains, and what each method has over the reference."""
        rows: list[tuple[str, ...]] = [("method", "relevance gain", "95 %", f"over {self.reference}", "95 %, paired")]
        for one in self.scores:
            over = (f"{one.difference:+.3f}", _range_words(one.difference_interval))
            over = ("", "") if one.method == self.reference else over
            rows.append((one.method, f"{one.gain:.3f}", _range_words(one.interval), *over))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "clips": self.clips,
            "filling": self.filling,
            "best": self.best,
            "reference": self.reference,
            "methods": [vars(one) for one in self.scores],
        }


def compare_methods(
    model: ViViT,
    clips: Iterable[tuple[Tensor, Tensor | None] | None],
    methods: Sequence[str],
    *,
    filling: Filling = "mean",
    units: Sequence[str] | None = None,
    progress: Progress | None = None,
    total: int = 0,
) -> MethodComparison:
    """Score methods, for the most probable class of each clip.

    Args:
        model: any form of a ViViT.
        clips: (video [1, T, C, H, W], frame mask or None), preprocessed; None for one that cannot be read.
        methods: names; differences are from the default method, or from the first where that is not among them.
        filling: what hidden tokens are replaced by.
        units: of each clip what it belongs with (a person, a file), for the intervals; by default each is a unit.
        progress: called with (clips done, `total`).
        total: how many clips there are, for `progress`.
    """
    plain, progress = explained_model(model).eval(), progress or no_progress
    attributes = [method_of(name, filling) for name in methods]
    like = next(plain.parameters())
    rows: list[list[float]] = []
    kept: list[int] = []
    generator = torch.Generator().manual_seed(0)
    for number, clip in enumerate(clips):
        if clip is None:
            continue
        video, frame_mask = clip
        given = video.to(like)
        mask = None if frame_mask is None else frame_mask.to(like.device)
        with torch.inference_mode():
            target = find_target(plain, None, None, plain(given, mask))
        maps = [attribute(plain, given, mask, target, no_progress).map[0].double().cpu() for attribute in attributes]
        maps.append(torch.rand(maps[0].shape, generator=generator))
        gains = [relevance_gain(plain, given, mask, target, heat, filling=filling, orders=0).gain for heat in maps]
        if None not in gains:
            rows.append([gain for gain in gains if gain is not None])
            kept.append(number)
        progress(number + 1, total)
    return _summary([*methods, RANDOM], rows, filling, None if units is None else [units[number] for number in kept])


def _summary(
    names: Sequence[str], rows: list[list[float]], filling: Filling, units: Sequence[str] | None
) -> MethodComparison:
    values = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(names))
    names_of_units = [str(unit) for unit in (units if units is not None else range(len(rows)))]
    resampling = Resampling.over_units(names_of_units, grouped=units is not None)
    scores = []
    reference = names.index(DEFAULT) if DEFAULT in names else 0
    for column, name in enumerate(names):
        gains, change = values[:, column], values[:, column] - values[:, reference]
        scores.append(
            MethodScore(name, _mean(gains), _interval(resampling, gains), _mean(change), _interval(resampling, change))
        )
    scores.sort(key=lambda one: -one.gain if math.isfinite(one.gain) else math.inf)
    return MethodComparison(tuple(scores), len(rows), filling, names[reference])


def _mean(values: Float64[Tensor, "N"]) -> float:
    return fmean(values.tolist()) if len(values) else math.nan


def _range_words(interval: Range | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _interval(resampling: Resampling, values: Float64[Tensor, "N"]) -> Range | None:
    if not len(values):
        return None
    found = resampling.mean(values)
    return None if found is None else found.range


def compare_on_data(
    model: nn.Module | str | os.PathLike[str],
    data: Table | str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    methods: Sequence[str] | None = None,
    filling: Filling = "mean",
    most: int | None = None,
    include_learned: bool = False,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> MethodComparison:
    """Score methods on the videos of a data set that the model did not learn from.

    Args:
        model: a model, or what `tubelet.load` reads.
        data: as for `tubelet.evaluate`; None is the videos of the run.
        split: only these samples.
        methods: names; by default those of the model's variant that need no hundred passes.
        filling: what hidden tokens are replaced by.
        most: at most so many videos, evenly over the data.
        include_learned: leave no video out.
        device: where to.
        progress: called with (videos done, all).

    Raises:
        ConfigError, DataError: as `tubelet.evaluate`.
    """
    options = EvaluationOptions(split=split, include_learned=include_learned, workers=0, device=device)
    task = set_up(model, data, options)
    samples = task.clips.table.samples
    count = len(samples) if most is None else min(most, len(samples))
    numbers = [(2 * part + 1) * len(samples) // (2 * count) for part in range(count)]

    def clips() -> Iterator[tuple[Tensor, Tensor | None] | None]:
        for number in numbers:
            item = task.clips[number]
            yield None if isinstance(item, Failure) else (item["video"], item["frame_mask"])

    names = list(methods) if methods is not None else [name for name in methods_for(task.model) if name not in SLOW]
    units = [independent_unit(samples[number]) for number in numbers]
    found = compare_methods(
        task.model, clips(), names, filling=filling, units=units, progress=progress, total=len(numbers)
    )
    if not found.clips:
        raise DataError("no video could be scored: hiding all of a clip changes no logit, or no video can be read")
    return found
