"""One run of a study: train, evaluate, measure, write its report. Whatever was done before is not done again."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch

from tubelet.config import cost
from tubelet.data import Sample, Table
from tubelet.errors import DataError
from tubelet.evaluation import Evaluation, evaluate
from tubelet.model import ViViT
from tubelet.runs import finish_run
from tubelet.studies.folder import Outcome, Run, StudyFolder, write_state
from tubelet.studies.image_model import image_weights, train_source
from tubelet.studies.study import Cell, Source
from tubelet.training import Reporter, SilentReporter, TrainingInterrupted, read_events, train
from tubelet.weights import load

TRAIN = "train"
TIMED_PASSES = 20


def run_task(folder: StudyFolder, run: Run, reporter: Reporter | None = None) -> Outcome:
    """Bring a run to its end and write down what came out; an error of its own is an outcome, too.

    Raises:
        TrainingInterrupted: a signal came; the next call goes on.
    """
    started = time.perf_counter()
    write_state(run, Outcome("waiting"))
    try:
        if isinstance(run.task, Source):
            outcome = train_source(run.folder, run.task, folder.read_table(), reporter or SilentReporter())
        else:
            outcome = _train_and_measure(folder, run, run.task, reporter or SilentReporter())
    except TrainingInterrupted:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, the other cells go on and the table says so
        outcome = Outcome("failed", f"{type(error).__name__}: {' '.join(str(error).split())}")
    outcome = dataclasses.replace(outcome, seconds=round(time.perf_counter() - started, 3))
    write_state(run, outcome)
    return outcome


def _train_and_measure(folder: StudyFolder, run: Run, cell: Cell, reporter: Reporter) -> Outcome:
    table = folder.read_table()
    if cell.needs is not None:
        source = folder.cells / cell.needs / run.folder.name
        cell = dataclasses.replace(cell, config=dataclasses.replace(cell.config, init=str(image_weights(source))))
    learned = part_of(table, cell.fraction)
    train_run(run.folder, learned, cell, reporter)
    model = load(run.folder)
    end = finish_run(
        run.folder,
        model=model,
        split=cell.split,
        views=cell.views[0],
        title=f"{cell.label}, seed {run.seed}",
        sample_clips=cell.config.monitoring.sample_clips,
        device=cell.config.runtime.device,
    )
    first = end.evaluation
    if first is None:
        raise DataError("; ".join(end.notes) or f"no video is in {cell.split!r}")
    others = {views: evaluate(model, table, split=cell.split, views=views) for views in cell.views[1:]}
    evaluations = {cell.views[0]: first, **others}
    counted = cost(model.config)
    return Outcome(
        "done",
        top1={views: evaluation.top1 for views, evaluation in evaluations.items()},
        right={views: rightness(evaluation) for views, evaluation in evaluations.items()},
        train_top1=_train_top1(model, some_of(learned.split(TRAIN), first.num_videos), cell.views[0]),
        parameters=counted.parameters,
        multiply_adds=counted.multiply_adds,
        tokens=counted.tokens,
        clip_milliseconds=clip_milliseconds(model),
    )


def _train_top1(model: ViViT, learned: Table, views: str) -> float:
    """Accuracy on videos that were learned from, which says how far the training videos are fitted."""
    return evaluate(model, learned, views=views, include_learned=True).top1


def train_run(folder: Path, table: Table, cell: Cell, reporter: Reporter) -> None:
    """The training, begun, gone on with, or found to be finished."""
    resume = (folder / "run.json").is_file()
    if resume and read_events(folder / "metrics.jsonl", "end"):
        return
    if not resume:
        folder.parent.mkdir(parents=True, exist_ok=True)
    train(None if resume else table, folder, config=cell.config, resume=resume, reporter=reporter)


def rightness(evaluation: Evaluation) -> list[float]:
    """How right each video was: 0 or 1; the share of its heads with several. One that cannot be read is 0."""
    found = []
    for prediction in evaluation.predictions:
        if prediction.logits is None:
            found.append(0.0)
            continue
        hits = [
            max(range(len(logits)), key=logits.__getitem__) == prediction.labels[head]
            for head, logits in prediction.logits.items()
        ]
        found.append(sum(hits) / len(hits))
    return found


def part_of(table: Table, fraction: float) -> Table:
    """The table with a share of its training videos: the same ones each time, of each class, smaller parts in larger
    ones."""
    if fraction == 1:
        return table
    kept = {id(sample) for sample in _first_of_each_class(table, table.split(TRAIN).samples, fraction)}
    samples = tuple(sample for sample in table.samples if sample.split != TRAIN or id(sample) in kept)
    return dataclasses.replace(table, samples=samples)


def some_of(table: Table, count: int) -> Table:
    """At most so many videos, of each class alike."""
    if len(table) <= count:
        return table
    return dataclasses.replace(table, samples=tuple(_first_of_each_class(table, table.samples, count / len(table))))


def _first_of_each_class(table: Table, samples: Sequence[Sample], fraction: float) -> list[Sample]:
    by_class: dict[tuple[int, ...], list[Sample]] = defaultdict(list)
    for sample in samples:
        by_class[tuple(sample.labels.values())].append(sample)
    chosen: list[Sample] = []
    for members in by_class.values():
        members.sort(key=lambda sample: hashlib.blake2b(os.fsencode(table.key(sample)), digest_size=16).digest())
        chosen += members[: math.ceil(fraction * len(members))]
    return chosen


def clip_milliseconds(model: ViViT) -> float:
    """The fastest of some forward passes of a single clip, where the model is."""
    config = model.config
    device = next(model.parameters()).device
    clip = torch.zeros(1, config.num_frames, config.in_channels, *config.image_size, device=device)
    fastest = float("inf")
    with torch.inference_mode():
        for _ in range(TIMED_PASSES):
            started = time.perf_counter()
            model(clip)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            fastest = min(fastest, time.perf_counter() - started)
    return round(1000 * fastest, 4)
