"""`tubelet.optimise`: the fast form of a model, in the precision that its sample clips allow."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Literal, overload

import torch

from tubelet import fast
from tubelet.device import Precision, has_bfloat16_units
from tubelet.errors import ConfigError
from tubelet.fast import OptimisedViViT, TrainingViViT
from tubelet.fast.bfloat16 import Bfloat16ViViT
from tubelet.model import ViViT
from tubelet.runs.check import compare_logits
from tubelet.runs.samples import sample_logits
from tubelet.timing import seconds_in_turn
from tubelet.weights.sample_clips import SampleClips

LARGEST_DIFFERENCE = 0.01
"""Of a probability, that `precision="auto"` allows."""

ROUNDS = 5
"""Clips that each precision computes, in turn, to be timed."""


@overload
def optimise(
    model: ViViT, backend: str = ..., training: Literal[False] = ..., *, precision: Precision = ...
) -> OptimisedViViT: ...
@overload
def optimise(model: ViViT, backend: str = ..., *, training: Literal[True]) -> TrainingViViT: ...
def optimise(
    model: ViViT, backend: str = "torch", training: bool = False, *, precision: Precision = "float32"
) -> OptimisedViViT | TrainingViViT:
    """`tubelet.fast.optimise`, and bfloat16 on request.

    Args:
        model: see `tubelet.fast.optimise`, and so for `backend` and `training`.
        backend: `torch` or `openvino`.
        training: the form for a training loop.
        precision: of matrix products. `float32` is exact; `bfloat16` is not, and is fast on processors with units for
            it; `auto` is bfloat16 if that is faster on this machine and gives every sample clip of the model the same
            best class and probabilities within 0.01, and warns that it is; otherwise float32. `precision_report` of
            the result has the figures.

    Raises:
        ConfigError: see `tubelet.fast.optimise`; or the model has no sample clips to decide on, or the precision is not
            one of a form for inference with `backend="torch"`.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise ConfigError(f"precision={precision!r} is unknown; it is one of auto, float32, bfloat16")
    exact = fast.optimise(model, backend, training=True) if training else fast.optimise(model, backend)
    if precision == "float32":
        return exact
    if training or backend != "torch":
        raise ConfigError(f"precision={precision!r} is for inference with backend='torch'; leave the others out")
    less = Bfloat16ViViT(model)
    if precision == "bfloat16":
        return less
    pays, why = _pays(model, exact, less)
    chosen = less if pays else exact
    chosen.precision_report = why
    if pays:
        warnings.warn(f"optimise: bfloat16 instead of float32: {why}", stacklevel=2)
    return chosen


def _pays(model: ViViT, exact: ViViT, less: ViViT) -> tuple[bool, str]:
    """Whether the form that is less exact is to be taken, and why."""
    if model.sample_clips is None or model.preprocessing is None:
        raise ConfigError(
            "precision='auto' is decided on the sample clips of a training, which this model lacks; name float32 or "
            "bfloat16"
        )
    device = next(exact.parameters()).device
    if not has_bfloat16_units(device):
        return False, f"{device} has no units for bfloat16"
    clips = SampleClips.read(model.sample_clips)
    wanted, given = (_logits(form, clips) for form in (exact, less))
    found = compare_logits(replace(clips, logits=wanted), given, torch.bfloat16, model.config.multi_label)
    result = (
        f"{found.same_top1} of {found.clips} sample clips have the same best class, and probabilities differ by at "
        f"most {found.probabilities:.2g}"
    )
    if found.same_top1 < found.clips or found.probabilities > LARGEST_DIFFERENCE:
        return False, f"in bfloat16 {result}; {LARGEST_DIFFERENCE} is allowed"
    first = next(iter(clips))
    slow, quick = seconds_in_turn([partial(sample_logits, form, *first) for form in (exact, less)], ROUNDS)
    speed = f"{quick:.3g} s a clip in bfloat16, {slow:.3g} s in float32"
    return quick < slow, f"{speed}; in bfloat16 {result}"


def _logits(model: ViViT, clips: SampleClips) -> dict[str, torch.Tensor]:
    rows = [sample_logits(model, *clip) for clip in clips]
    return {head: torch.stack([row[head] for row in rows]) for head in rows[0]}
