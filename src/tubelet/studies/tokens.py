"""The study `tokens`: longer or shorter tubelets, smaller or larger frames, against accuracy and cost."""

from __future__ import annotations

from itertools import pairwise

from tubelet.config import TrainConfig
from tubelet.errors import ConfigError
from tubelet.studies.models import model_of, with_model, with_size
from tubelet.studies.study import Cell, Hypothesis, Plan, Setting, Study

LENGTHS = (2, 4, 8)
SIZES = {224: 80.3, 288: 80.7, 320: 81.0}
"""Side of the frame: top-1 on Kinetics-400, ViViT-L/16x2 model 1 (section 4.3)."""


def plan(setting: Setting) -> Plan:
    """The base, with each tubelet length, and with each frame size; one thing at a time."""
    base, options = setting.base, setting.options
    model = model_of(base)
    side = model.image_size[0]
    if model.image_size[0] != model.image_size[1]:
        raise ConfigError(
            f"image_size={model.image_size}: the study varies the side of a square; set image_size to one number"
        )
    lengths = sorted(
        options.tubelet_lengths or {t for t in LENGTHS if model.num_frames % t == 0} | {model.tubelet_size[0]}
    )
    patch = model.tubelet_size[1]
    sizes = sorted(options.image_sizes or {max(1, round(share * side / patch)) * patch for share in (0.5, 0.75, 1)})
    cells = []
    for length in lengths:
        config = with_model(base, tubelet_size=(length, *model.tubelet_size[1:]))
        cells.append(_cell(f"t{length}", config, length, side))
    base_length = model.tubelet_size[0] if model.tubelet_size[0] in lengths else lengths[0]
    sized = with_model(base, tubelet_size=(base_length, *model.tubelet_size[1:]))
    for size in sizes:
        if size != side:
            cells.append(_cell(f"size{size}", with_size(sized, size), base_length, size))
    hypotheses = [
        Hypothesis(
            f"Tubelets of {short} frames are better than of {long}",
            f"t{short}",
            f"t{long}",
            "shorter tubelets were better for every model on Kinetics-400 (8, 4 and 2 frames, a figure)",
        )
        for short, long in pairwise(lengths)
    ]
    names = {size: f"t{base_length}" if size == side else f"size{size}" for size in {*sizes, side}}
    ordered = sorted(names)
    hypotheses += [
        Hypothesis(
            f"Frames of {large} pixels are better than of {small}",
            names[large],
            names[small],
            "80.3, 80.7, 81.0 % on Kinetics-400 with crops of 224, 288, 320",
        )
        for small, large in pairwise(ordered)
    ]
    return Plan(tuple(cells), tuple(hypotheses))


def _cell(name: str, config: TrainConfig, length: int, size: int) -> Cell:
    facts = {"tokens": str(model_of(config).num_tokens)}
    return Cell(name=name, label=f"tubelets of {length}, {size} pixels", config=config, facts=facts)


STUDY = Study(
    name="tokens",
    title="How many tokens",
    question="What do shorter tubelets and larger frames gain, and what do they cost?",
    paper=(
        "In the paper shorter tubelets (more tokens) are better for every model on Kinetics-400, and larger crops are "
        "better by less and less: 80.3, 80.7, 81.0 % for 224, 288 and 320 pixels at 1, 2 and 2.8 times the cost."
    ),
    plan=plan,
    options=("tubelet_lengths", "image_sizes"),
)
