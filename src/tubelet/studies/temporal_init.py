"""The study `temporal-init`: how the attention over time of model 3 starts, beside an image model's over space."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tubelet.config import TrainConfig
from tubelet.studies import images
from tubelet.studies.models import with_model
from tubelet.studies.study import Cell, Hypothesis, Plan, Setting, Study

STARTS = (
    ("zero-output", "zero at the output", "default", "queries, keys, values of the image; output 0"),
    ("copied", "copied", "original", "the image's attention over space, whole"),
    ("random", "random", "random", "as drawn"),
    ("zero", "zero in full", "paper", "0 throughout"),
)


def plan(setting: Setting) -> Plan:
    """One cell for each start."""
    base = with_model(setting.base, variant="factorised_self_attention")
    given = base.init is not None
    cells = [
        Cell(
            name=name,
            label=label,
            config=_starting(base, behaviour),
            needs=None if given else images.NAME,
            facts={"attention over time": what},
        )
        for name, label, behaviour, what in STARTS
    ]
    hypotheses = (
        Hypothesis(
            "Starting at zero at the output is better than starting at zero in full",
            "zero-output",
            "zero",
        ),
        Hypothesis("Starting at zero at the output is better than a copy", "zero-output", "copied"),
        Hypothesis("Starting at zero at the output is better than a random start", "zero-output", "random"),
        Hypothesis("A copy is better than a random start", "copied", "random"),
        Hypothesis("A random start is better than zero in full", "random", "zero"),
    )
    notes = (
        "Weights that are all 0, queries, keys, values and output, get no gradient: they stay 0, whatever the paper's "
        "section 3.4 says of them, and the model only learns a bias for its attention over time. That is what “zero in "
        "full” measures.",
        *([] if given else [images.NOTE]),
    )
    return Plan(tuple(cells), hypotheses, () if given else (images.image_source(base),), notes)


def _starting(base: TrainConfig, behaviour: Any) -> TrainConfig:
    return replace(base, adaptation=replace(base.adaptation, init_behaviour=behaviour))


STUDY = Study(
    name="temporal-init",
    title="How attention over time starts",
    question="Should the attention over time be copied from the image model, drawn at random, or start at zero?",
    paper=(
        "Section 3.4 of the paper starts the attention over time of model 3 at zero, so that the model begins as the "
        "image model on each frame; it has no table that compares starts. The original's code copies by default."
    ),
    plan=plan,
    generated={"model": {"embedding": "tubelet", "variant": "factorised_self_attention", "temporal_layers": None}},
)
