"""The study `embeddings`: how a video becomes tokens, and how an image model's patches become tubelets (Table 1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tubelet.config import TrainConfig
from tubelet.errors import ConfigError
from tubelet.studies import images
from tubelet.studies.models import model_of, with_model
from tubelet.studies.study import Cell, Hypothesis, Plan, Setting, Study

HYPOTHESES = (
    ("Central-frame initialisation is better than a random tubelet kernel", "central", "random", "79.2 against 73.2"),
    ("Inflating the kernel is better than a random one", "inflation", "random", "77.6 against 73.2"),
    ("Central-frame initialisation is better than inflation", "central", "inflation", "79.2 against 77.6"),
    ("Tubelets (central frame) are better than sampling frames", "central", "uniform", "79.2 against 78.5"),
    ("Sampling frames is better than tubelets that start at random", "uniform", "random", "78.5 against 73.2"),
)


def plan(setting: Setting) -> Plan:
    """Four ways from the image model, the stem beside them, and the tubelets without any image model."""
    base = setting.base
    model = model_of(base)
    frames = model.tubelet_size[0]
    if frames < 2:
        raise ConfigError(
            f"tubelet_size={model.tubelet_size}: the study needs tubelets of 2 frames or more; one frame is no tubelet"
        )
    sampled = {
        "embedding": "uniform_frames",
        "tubelet_size": (1, *model.tubelet_size[1:]),
        "sampled_frames": model.num_frames // frames,
    }
    tubelets = {"embedding": "tubelet", "tubelet_size": model.tubelet_size}
    paper = {"uniform": 78.5, "random": 73.2, "inflation": 77.6, "central": 79.2}
    given = base.init is not None
    cells = []
    for name, label, fields, kernel in (
        ("uniform", "uniform frame sampling", sampled, "central_frame"),
        ("random", "tubelets, random kernel", tubelets, "random"),
        ("inflation", "tubelets, inflated kernel", tubelets, "inflation"),
        ("central", "tubelets, central frame", tubelets, "central_frame"),
        ("conv-stem", "tubelets of a convolutional stem", {**tubelets, "embedding": "conv_stem"}, "random"),
    ):
        config = _adapted(with_model(base, **fields), kernel)
        cells.append(
            Cell(
                name=name,
                label=label,
                config=config,
                needs=None if given else images.NAME,
                paper={"K400": paper[name]} if name in paper else {},
                facts={"start": "image model"},
            )
        )
    scratch = replace(with_model(base, **tubelets), init=None)
    cells.append(Cell(name="scratch", label="tubelets, everything random", config=scratch, facts={"start": "random"}))
    hypotheses = [
        Hypothesis(text, better, worse, f"{figures} on Kinetics-400") for text, better, worse, figures in HYPOTHESES
    ]
    hypotheses += [
        Hypothesis("Starting from the image model helps", "central", "scratch"),
        Hypothesis("A convolutional stem is better than cutting tubelets from pixels", "conv-stem", "central"),
    ]
    notes = [
        f"Sampling takes {sampled['sampled_frames']} of {model.num_frames} frames, so that all have as many tokens; it "
        "does not see the frames in between.",
        *([] if given else [images.NOTE]),
    ]
    return Plan(tuple(cells), tuple(hypotheses), () if given else (images.image_source(base),), tuple(notes))


def _adapted(config: TrainConfig, kernel: Any) -> TrainConfig:
    return replace(config, adaptation=replace(config.adaptation, tubelet_init=kernel))


STUDY = Study(
    name="embeddings",
    title="From pixels to tokens",
    question="Sample frames or cut tubelets, and how does a tubelet start from an image model's patch?",
    paper=(
        "Table 1 of the paper, ViViT-B model 1 on Kinetics-400 with as many tokens each: a tubelet kernel that starts "
        "at random loses to sampling frames; one that starts from the image model's patch at its central frame wins."
    ),
    plan=plan,
    generated={"model": {"embedding": "tubelet", "variant": "spatio_temporal", "temporal_layers": None}},
)
