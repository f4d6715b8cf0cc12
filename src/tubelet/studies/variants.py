"""The study `variants`: models 1 to 4 and the average-pool baseline, on all of the training videos and on parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tubelet.config import TrainConfig
from tubelet.studies.models import VARIANTS, model_of, with_model
from tubelet.studies.rows import CLOSE, Row
from tubelet.studies.study import Cell, Hypothesis, Plan, Setting, Study

AVERAGE = "average-pool"

PAPER = {
    "model-1": {"K400": 80.0, "EPIC action": 43.1, "ms on a TPU": 58.9},
    "model-2": {"K400": 78.8, "EPIC action": 43.7, "ms on a TPU": 17.4},
    "model-3": {"K400": 77.4, "EPIC action": 39.1, "ms on a TPU": 31.7},
    "model-4": {"K400": 76.3, "EPIC action": 39.5, "ms on a TPU": 22.9},
    AVERAGE: {"K400": 75.8, "EPIC action": 38.8, "ms on a TPU": 17.3},
}
"""Table 2, ViViT-B/16x2."""

HYPOTHESES = (
    (
        "With little data the factorised encoder is better than attention over everything",
        "model-2",
        "model-1",
        "43.7 against 43.1 on EPIC; with much data not: 78.8 against 80.0 on Kinetics-400",
    ),
    (
        "A temporal encoder is better than averaging over time",
        "model-2",
        AVERAGE,
        "78.8 against 75.8 on Kinetics-400, 43.7 against 38.8 on EPIC",
    ),
    (
        "Attention over everything is better than averaging over time",
        "model-1",
        AVERAGE,
        "80.0 against 75.8, 43.1 against 38.8",
    ),
    (
        "The factorised encoder is better than factorised self-attention",
        "model-2",
        "model-3",
        "78.8 against 77.4, 43.7 against 39.1",
    ),
    (
        "The factorised encoder is better than factorised dot-product attention",
        "model-2",
        "model-4",
        "78.8 against 76.3, 43.7 against 39.5",
    ),
    (
        "Factorised self-attention is better than averaging over time",
        "model-3",
        AVERAGE,
        "77.4 against 75.8, 39.1 against 38.8",
    ),
)


def plan(setting: Setting) -> Plan:
    """Every model at every share of the training videos, with as many steps."""
    base = setting.base
    fractions = sorted(setting.options.fractions or (1.0,))
    largest = fractions[-1]
    cells = []
    for fraction in fractions:
        for name, label, config in _models(base):
            suffix = "" if fraction == largest else f"-{fraction:g}"
            facts = {"videos": f"{fraction:.0%}"} if len(fractions) > 1 else {}
            cells.append(
                Cell(
                    name=f"{name}{suffix}",
                    label=label,
                    config=_as_many_steps(config, fraction / largest),
                    fraction=fraction,
                    paper=PAPER[name] if fraction == largest else {},
                    facts=facts,
                )
            )
    hypotheses = [Hypothesis(*hypothesis) for hypothesis in HYPOTHESES]
    notes = []
    if len(fractions) > 1:
        hypotheses = [*_with_all_and_with_least(fractions), _about_data(fractions)]
        notes.append(
            "With a part of the training videos the epochs are as many more, so that every cell takes about as many "
            "steps."
        )
    return Plan(tuple(cells), tuple(hypotheses), notes=tuple(notes))


def _models(base: TrainConfig) -> list[tuple[str, str, TrainConfig]]:
    found = []
    for name, (label, variant) in VARIANTS.items():
        fields: dict[str, Any] = {"variant": variant}
        if variant == "factorised_dot_product" and model_of(base).num_heads % 2:
            fields["num_heads"] = model_of(base).num_heads + 1
        found.append((name, label, with_model(base, **fields)))
    average = with_model(base, variant="factorised_encoder", temporal_layers=0)
    return [*found, (AVERAGE, "average over time", average)]


def _as_many_steps(config: TrainConfig, share: float) -> TrainConfig:
    optimisation = config.optimisation
    warmup = optimisation.warmup_epochs
    longer = replace(
        optimisation,
        epochs=round(optimisation.epochs / share),
        warmup_epochs=None if warmup is None else warmup / share,
    )
    return replace(config, optimisation=longer)


def _with_all_and_with_least(fractions: Sequence[float]) -> list[Hypothesis]:
    """Each hypothesis of the paper for the largest and for the smallest share of the videos."""
    least = f"-{fractions[0]:g}"
    return [
        Hypothesis(f"{text} ({share:.0%} of the videos)", better + suffix, worse + suffix, paper)
        for text, better, worse, paper in HYPOTHESES
        for share, suffix in ((fractions[-1], ""), (fractions[0], least))
    ]


def _about_data(fractions: Sequence[float]) -> Hypothesis:
    return Hypothesis(
        f"More videos help the factorised encoder ({fractions[-1]:.0%} against {fractions[0]:.0%})",
        "model-2",
        f"model-2-{fractions[0]:g}",
    )


def remarks(rows: Sequence[Row]) -> list[str]:
    """How the order changes with the amount of data, and which row overfits most."""
    by_share: dict[str, list[Row]] = {}
    for row in rows:
        if row.top1 is not None:
            by_share.setdefault(row.facts.get("videos", "100%"), []).append(row)
    found = []
    if len(by_share) > 1:
        orders = {
            share: sorted(group, key=lambda row: -row.top1.mean if row.top1 else 0.0)
            for share, group in by_share.items()
        }
        found += [
            f"Order with {share} of the videos: "
            + ", ".join(f"{row.label} {100 * row.top1.mean:.1f}" for row in group if row.top1)
            + "."
            for share, group in orders.items()
        ]
    gaps = [_gaps(share if len(by_share) > 1 else "", group) for share, group in by_share.items()]
    return found + [sentence for sentence in gaps if sentence]


def _gaps(share: str, group: Sequence[Row]) -> str:
    """Who overfits most, or that all do alike; nothing where chance could have done either."""
    ranked = sorted((row for row in group if row.gap is not None), key=lambda row: -(row.gap or 0.0))
    if not ranked or (ranked[0].gap or 0.0) <= 0:
        return ""
    gaps = [100 * (row.gap or 0.0) for row in ranked]
    chance = 100 * max(CLOSE, *(row.top1.half or 0.0 for row in ranked if row.top1))
    between = "points between training and test videos."
    if len(ranked) > 1 and gaps[0] - gaps[-1] <= chance:
        of_share = f" with {share} of the videos" if share else ""
        return f"All overfit alike{of_share}: {gaps[-1]:.1f} to {gaps[0]:.1f} {between}"
    if len(ranked) > 1 and gaps[0] - gaps[1] <= chance:
        return ""
    return f"“{ranked[0].title}” overfits most: {gaps[0]:.1f} {between}"


STUDY = Study(
    name="variants",
    title="The four models",
    question="Which of the four models, and does averaging over time do as well?",
    paper=(
        "Table 2 of the paper compares them at ViViT-B/16x2: attention over everything is the most accurate on "
        "Kinetics-400, where there is much data; on the smaller EPIC-Kitchens it overfits and the factorised encoder "
        "is ahead, at a third of the time. Averaging over time is behind on both."
    ),
    plan=plan,
    remarks=remarks,
    options=("fractions",),
)
