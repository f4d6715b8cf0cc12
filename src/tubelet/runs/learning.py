"""What became of a training: its delivered weights measured on training videos as on others, and the curves read."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from tubelet.config import TrainConfig, from_dict
from tubelet.config.confidence import FEWEST_UNITS
from tubelet.data import Table, independent_unit
from tubelet.data.units import file_of
from tubelet.distributed.world import ALONE, World
from tubelet.errors import TubeletError
from tubelet.evaluation import Evaluation, evaluate
from tubelet.evaluation.predictions import VideoPrediction
from tubelet.evaluation.scores import scores_of
from tubelet.files import write_text
from tubelet.json_files import read_json_object
from tubelet.model import ViViT
from tubelet.report.advice import Settings
from tubelet.report.learning import Accuracy, Measured, Reading, read_curves
from tubelet.report.run_files import LEARNING_FILE, read_run
from tubelet.runs.samples import digest
from tubelet.training.imbalance import loss_weights

SAMPLE = 128
"""Training videos that are evaluated; the standard error of a share of so many is at most 4.4 points."""


def read_learning(
    run: Path,
    model: ViViT,
    table: Table,
    config: TrainConfig,
    validation: Evaluation | None,
    world: World = ALONE,
) -> Reading | None:
    """Measure the delivered weights on training videos, read the curves, and write `learning.json`.

    Args:
        run: its folder, with the events of the training.
        model: with the delivered weights.
        table: the videos of the run.
        config: of the training.
        validation: the evaluation of these weights on the validation videos.
        world: processes that share the videos; the first one writes.

    Returns:
        the reading; None where there is nothing to read: no training videos that can be read, several labels a video.
    """
    learned = table.split("train")
    if learned.multi_label:
        return None
    views = config.validation.validation_views if validation is None else validation.views
    on_training = evaluate(model, _some_of(learned), views=views, include_learned=True, world=world)
    training = accuracy(on_training)
    if training is None:
        return None
    chance, chance_loss = chance_level(learned, config)
    measured = Measured(training, None if validation is None else accuracy(validation), chance, chance_loss)
    files = read_run(run)
    settings = Settings(files.run.get("config", {}), files.run.get("model", {}))
    reading = read_curves(measured, files.events, settings)
    if reading is not None and world.first:
        write_text(run / LEARNING_FILE, json.dumps(asdict(reading), indent=2) + "\n")
    return reading


def stored_reading(run: Path) -> Reading | None:
    """What `read_learning` wrote; None if there is none, or it cannot be read."""
    try:
        return from_dict(Reading, read_json_object(run / LEARNING_FILE), where=LEARNING_FILE)
    except TubeletError:
        return None


def accuracy(evaluation: Evaluation) -> Accuracy | None:
    """The accuracy on the videos that could be read, with its standard error; None without any, or without classes.

    The error is that of a mean over clusters: groups, where there are `FEWEST_UNITS` of them, or else files. It is at
    least the binomial one with two more videos that are right and two that are wrong (Agresti and Coull, 1998), since
    videos that are all right do not show that all others would be.
    """
    read = [one for one in evaluation.predictions if one.logits is not None]
    if not read or not evaluation.metrics:
        return None
    hits = _hits(read, {head: len(evaluation.classes[head]) for head in evaluation.metrics})
    top1 = math.fsum(hits) / len(hits)
    groups = [independent_unit(one) for one in read]
    files = [file_of(one.path) for one in read]
    clusters = groups if len(set(groups)) >= FEWEST_UNITS else files
    off: defaultdict[str, float] = defaultdict(float)
    for cluster, hit in zip(clusters, hits, strict=True):
        off[cluster] += hit - top1
    independent = len(set(files))
    shrunk = (top1 * independent + 2) / (independent + 4)
    binomial = math.sqrt(shrunk * (1 - shrunk) / (independent + 4))
    clustered = math.sqrt(math.fsum(value**2 for value in off.values())) / len(hits)
    return Accuracy(top1, max(binomial, clustered), independent, evaluation.loss)


def chance_level(table: Table, config: TrainConfig) -> tuple[float, float]:
    """Share of the most frequent class, and the training loss of a model that gives every video the same.

    Means over heads. The loss is the entropy of the classes as the training weighs them, with smoothed targets.
    """
    shares, losses = [], []
    smoothing = config.augmentation.label_smoothing
    weighted, _ = loss_weights(config, table)
    for head, names in table.classes.items():
        counted = Counter(sample.labels[head] for sample in table.samples)
        shares.append(max(counted.values()) / len(table))
        even = config.data.balanced or head in (weighted or {})
        seen = [1 / len(counted)] * len(counted) if even else [many / len(table) for many in counted.values()]
        unseen = [0.0] * (len(names) - len(seen))
        smoothed = [(1 - smoothing) * share + smoothing / len(names) for share in (*seen, *unseen)]
        losses.append(-math.fsum(share * math.log(share) for share in smoothed if share))
    return math.fsum(shares) / len(shares), math.fsum(losses) / len(losses)


def _hits(predictions: Sequence[VideoPrediction], heads: Mapping[str, int]) -> list[float]:
    """For each video the share of heads that are right."""
    by_head = [scores_of(predictions, head, size).hits(1).tolist() for head, size in heads.items()]
    return [math.fsum(row) / len(row) for row in zip(*by_head, strict=True)]


def _some_of(table: Table) -> Table:
    """A random sample of at most `SAMPLE` videos, the same one for the same table."""
    ordered = sorted(table.samples, key=lambda sample: digest(table.key(sample)))
    return replace(table, samples=tuple(ordered[:SAMPLE]))
