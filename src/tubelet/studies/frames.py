"""The study `frames`: how many frames a clip has, against how many views of a video are averaged, at equal cost."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from tubelet.config import TrainConfig
from tubelet.data import Sample, Table
from tubelet.errors import ConfigError
from tubelet.studies.models import model_of, with_model
from tubelet.studies.study import Cell, Hypothesis, Plan, Setting, Study
from tubelet.video import open_video, window

OPENED = 8
"""Training videos that are looked into to find out how long they are."""

SHARES = (4, 2, 1)
"""The whole video, a half and a quarter of it."""

PAPER = "80.6 % with 128 frames in one view, 80.3 % with 32 in 4x3 views (Kinetics-400, ViViT-L/16x2, model 2)"


def plan(setting: Setting) -> Plan:
    """One cell for each number of frames, evaluated with one view and with as many as the longest clip costs."""
    base, options = setting.base, setting.options
    if base.preprocessing.get("sampling") == "uniform":
        base = replace(base, preprocessing={**base.preprocessing, "sampling": "dense", "frame_stride": 1})
        temporal = "random" if base.augmentation.temporal == "segments" else base.augmentation.temporal
        dense = replace(base.augmentation, temporal=temporal, coverage=(1.0, 1.0), warp=0.0)
        base = replace(base, augmentation=dense)
        note = "Clips are dense here, every frame one after the other; the base spreads them over the video."
    else:
        note = ""
    stride = base.preprocessing.get("frame_stride", 2)
    length = video_length(setting.table)
    counts = sorted(options.frames) if options.frames else _up_to_the_whole(length // stride, base)
    longest = counts[-1]
    cells = []
    for count in counts:
        views = round(longest / count)
        label = f"{count} frames"
        cells.append(
            Cell(
                name=f"f{count}",
                label=label,
                config=with_model(base, num_frames=count),
                views=("1x1",) if views == 1 else ("1x1", f"{views}x1"),
                facts={"of the video": f"{min(1.0, count * stride / length):.0%}"},
            )
        )
    hypotheses = [
        Hypothesis(
            f"In one view {more} frames are better than {fewer}",
            _key(cells, more),
            _key(cells, fewer),
            "accuracy grows with frames until the video is covered (a figure)",
        )
        for fewer, more in pairwise(counts)
    ]
    for cell, count in zip(cells[:-1], counts[:-1], strict=True):
        if len(cell.views) > 1:
            several = cell.views[1]
            hypotheses.append(
                Hypothesis(
                    f"{longest} frames in one view are better than {count} in {several} views, at the same cost",
                    cells[-1].row("1x1"),
                    cell.row(several),
                    PAPER,
                )
            )
            hypotheses.append(
                Hypothesis(
                    f"With {count} frames {several} views are better than one", cell.row(several), cell.row("1x1")
                )
            )
    notes = [
        f"The videos have about {length} frames (the middle one of {OPENED}); every {_ordinal(stride)} is taken. Views "
        "share a training: only the evaluation differs.",
        *([note] if note else []),
    ]
    return Plan(tuple(cells), tuple(hypotheses), notes=tuple(notes))


def video_length(table: Table) -> int:
    """Frames of the middle one of some training videos."""
    samples = table.split("train").samples
    step = max(1, len(samples) // OPENED)
    return round(statistics.median(_frames(sample) for sample in samples[::step][:OPENED]))


def _frames(sample: Sample) -> int:
    with open_video(sample.path) as decoder:
        if sample.start is None and sample.end is None:
            return decoder.metadata.num_frames
        first, last = window(decoder.timestamps, sample.start, sample.end)
        return last - first


def _up_to_the_whole(available: int, base: TrainConfig) -> list[int]:
    step = SHARES[0] * model_of(base).tubelet_size[0]
    longest = available // step * step
    if longest < step:
        raise ConfigError(f"the videos have about {available} frames at this stride, too few to divide; name frames")
    return [longest // share for share in SHARES]


def _key(cells: Sequence[Cell], count: int) -> str:
    return next(cell for cell in cells if cell.name == f"f{count}").row("1x1")


def _ordinal(stride: int) -> str:
    return {1: "frame", 2: "second"}.get(stride, f"{stride}th")


STUDY = Study(
    name="frames",
    title="Frames and views",
    question="A long clip seen once, or short clips seen several times, at the same cost?",
    paper=(
        "The paper's factorised encoder takes 128 frames, nearly a whole video of Kinetics, in one view for what 32 "
        "frames cost in four: 80.6 % in a single view, where 32 frames need 4x3 views for 80.3 %."
    ),
    plan=plan,
    options=("frames",),
)
