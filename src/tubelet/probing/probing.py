"""From a model and labelled videos to the accuracy of simple classifiers on its features."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tubelet.config import to_dict
from tubelet.data import Failure, Table, assign_splits, hold_out, read_table
from tubelet.data.known import select_unlearned, with_known_splits
from tubelet.data.run_table import run_table
from tubelet.device import Precision, resolve_device, resolve_precision
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation.known_videos import KnownVideos
from tubelet.features import FeatureClips, default_folder
from tubelet.given_model import unwrapped
from tubelet.model import ViViT
from tubelet.paths import require_free
from tubelet.probing.export import write_features
from tubelet.probing.knn import knn_votes
from tubelet.probing.linear import PENALTIES, fit_linear
from tubelet.provenance import Provenance
from tubelet.text import moment
from tubelet.video.views import parse_views
from tubelet.weights import load

HELD_OUT = 0.2
"""Fraction of the training videos by which the penalty of the linear classifier is chosen."""

WITHOUT_CHOICE = 1e-2
"""The penalty where no part of the training videos can be held out."""


@dataclass(frozen=True)
class HeadProbe:
    """Accuracies of one head on the test videos; a video that cannot be read counts as wrong.

    Attributes:
        knn: of nearest neighbours.
        linear: of the linear classifier.
        most_frequent: of always predicting the most frequent class of training.
        penalty: of the linear classifier, chosen by training videos alone.
    """

    knn: float
    linear: float
    most_frequent: float
    penalty: float


@dataclass(frozen=True)
class ProbeResult(KnownVideos):
    """The result of a probe.

    Attributes:
        heads: figures by head of the data.
        train_split: of the training videos.
        test_split: of the test videos.
        num_train: training videos.
        num_test: test videos, unreadable ones included.
        views: (clips, crops): the features of clips x crops views of each video are averaged.
        neighbours: that vote.
        data: where the videos are from.
        date: when, ISO 8601.
        failures: videos that could not be read.
        notes: decisions about splits and penalties, in words.
        seconds: that it took.
    """

    heads: dict[str, HeadProbe]
    train_split: str
    test_split: str
    num_train: int
    num_test: int
    views: tuple[int, int]
    neighbours: int
    data: str | None = None
    date: str | None = None
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        where = f" of {self.data}" if self.data is not None else ""
        lines = [f"classifiers fitted on {self.num_train} {self.train_split} videos{where}"]
        lines[0] += f", tested on {self.num_test} {self.test_split} videos"
        lines += [f"  {line}" for line in self.describe(self.num_test)]
        for name, head in self.heads.items():
            lines.append(
                f"  {name}: linear {head.linear:.2%}   {self.neighbours} nearest neighbours {head.knn:.2%}   "
                f"most frequent class {head.most_frequent:.2%}"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return to_dict(self)


@dataclass(frozen=True)
class _Vectors:
    """Features of the samples that could be read."""

    table: Table
    features: Float[Tensor, "N D"]
    failures: list[Failure]

    def labels(self, head: str) -> Int[Tensor, "N"]:
        numbers = [sample.labels[head] for sample in self.table.samples]
        return torch.tensor(numbers, dtype=torch.int64, device=self.features.device)


def probe(
    model: nn.Module | str | os.PathLike[str],
    data: Table | str | os.PathLike[str] | None = None,
    *,
    train_split: str = "train",
    test_split: str | None = None,
    include_learned: bool = False,
    views: str | tuple[int, int] = (1, 1),
    neighbours: int = 20,
    features: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    feature_folder: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    device: str | torch.device | None = None,
    precision: Precision = "float32",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ProbeResult:
    """Measure features: the vectors before the head (`forward_head(pre_logits=True)`), with the model as it is.

    Two classifiers learn on the training videos and are tested on the others: cosine-weighted nearest neighbours
    (`knn_votes`) and a linear one (`fit_linear`), whose penalty is chosen by a part of the training videos. There is
    no augmentation, and the model's own classes are not used: any model can be probed on any labelled videos.

    Features are stored on disk as in training (`tubelet.features`): a second probe decodes nothing.

    Args:
        model: with `preprocessing`, put in evaluation mode; or what `tubelet.load` reads.
        data: a table, or what `tubelet.data.read_table` reads; None is the videos of the run that `model` names.
            Where it has no splits, videos that the model knows keep those of its training, and a fifth of the others is
            tested on.
        train_split: videos to learn from.
        test_split: videos to test on; None is test, or else val.
        include_learned: test on videos that the model learned from as well; otherwise they are left out and counted.
        views: "4x3", or (clips, crops); the features of all views of a video are averaged.
        neighbours: that vote.
        features: write all features to this safetensors file too (`tubelet.probing.export.write_features`).
        overwrite: replace the file of `features` if it exists.
        feature_folder: where features are stored; None is tubelet/features in the user's cache folder.
        workers: processes that decode.
        device: by default that of the model, or `auto` for one that is loaded here. The model is moved there.
        precision: of matrix products in the model.
        seed: of splits that are made.
        progress: called with (videos done, videos in all) while features are computed.

    Raises:
        ConfigError: the model has no `preprocessing`; invalid options; a file that exists.
        DataError: no labels, an empty split, or not one video of it that can be read.
    """
    started = time.perf_counter()
    clips, crops = parse_views(views)
    if neighbours < 1:
        raise ConfigError(f"neighbours={neighbours} must be at least 1")
    if features is not None:
        require_free(features, overwrite=overwrite)
    model = unwrapped(model)
    table, source = _read(model, data)
    if not isinstance(model, ViViT):
        model, device = load(os.fspath(model)), device or "auto"
    table, notes = _with_splits(table, model.provenance, seed)
    train = table.split(train_split)
    chosen = select_unlearned(
        table, model.provenance, split=test_split or _test_split(table), include_learned=include_learned
    )
    test = chosen.table
    model.eval()
    if device is not None:
        model.to(resolve_device(device))
    vectors = []
    for part in (train, test):
        made = FeatureClips(
            part,
            model,
            "encoder",
            Path(feature_folder) if feature_folder is not None else default_folder(),
            dtype=resolve_precision(precision, next(model.parameters()).device),
            mode="evaluate",
            clips=clips,
            crops=crops,
        )
        vectors.append(_vectors(made, workers, progress))
    if features is not None:
        write_features(Path(features), [(each.table, each.features) for each in vectors])
    heads, more = _heads(*vectors, num_test=len(test), neighbours=neighbours, seed=seed)
    return ProbeResult(
        heads=heads,
        train_split=train.samples[0].split or "",
        test_split=test.samples[0].split or "",
        num_train=len(vectors[0].table),
        num_test=len(test),
        views=(clips, crops),
        neighbours=min(neighbours, len(vectors[0].table)),
        data=source,
        date=moment(),
        failures=tuple(failure for each in vectors for failure in each.failures),
        notes=(*notes, *more),
        seconds=time.perf_counter() - started,
        **vars(KnownVideos.counted(chosen.uses, chosen.left_out, chosen.unknown)),
    )


def _read(model: ViViT | str | os.PathLike[str], data: Table | str | os.PathLike[str] | None) -> tuple[Table, str]:
    """The labelled videos, and where they are from."""
    if data is None and isinstance(model, ViViT):
        raise ConfigError("a model was given and no data; name a run, or labelled videos")
    if isinstance(data, Table):
        table, source = data, data.root
    else:
        table = run_table(str(model)) if data is None else read_table(os.fspath(data))
        source = table.root if data is None else os.path.abspath(data)
    if not table.classes:
        raise DataError("a probe needs labelled videos, and the data has no labels")
    if table.multi_label:
        raise DataError(
            f"a probe needs one class for each video, and {', '.join(table.multi_label)} may show several; name other "
            "columns (labels)"
        )
    return table, source


def _with_splits(table: Table, provenance: Provenance | None, seed: int) -> tuple[Table, list[str]]:
    """The table with a split for every sample: its own, or that of the model's training, or a new one."""
    notes = [*table.notes]
    if provenance is not None and all(sample.split is None for sample in table.samples):
        table = with_known_splits(table, provenance)
        known = sum(sample.split is not None for sample in table.samples)
        if known:
            notes.append(f"{known} of {len(table)} videos are known to the model and keep the splits of its training")
    new = sum(sample.split is None for sample in table.samples)
    if new:
        notes.append(f"{new} videos have no split: a fifth of them is tested on")
        table = assign_splits(table, seed=seed)
    return table, notes


def _test_split(table: Table) -> str:
    return "test" if "test" in table.splits else "val"


def _vectors(clips: FeatureClips, workers: int | None, progress: Callable[[int, int], None] | None) -> _Vectors:
    """The mean over the views of each video that can be read."""
    for done, total in clips.fill(workers):
        if progress is not None:
            progress(done, total)
    rows, kept, failures = [], [], []
    for index in range(len(clips)):
        item = clips[index]
        if isinstance(item, Failure):
            failures.append(item)
        else:
            rows.append(item["video"].flatten(1).float().mean(dim=0))
            kept.append(index)
    if not rows:
        first = failures[0]
        raise DataError(f"not one of {len(clips)} videos can be read; {first.path}: {first.reason}")
    device = next(clips.model.parameters()).device
    return _Vectors(clips.table.select(kept), torch.stack(rows).to(device), failures)


def _heads(
    train: _Vectors, test: _Vectors, *, num_test: int, neighbours: int, seed: int
) -> tuple[dict[str, HeadProbe], list[str]]:
    heads, notes = {}, []
    held_out = _held_out(train.table, seed)
    if held_out is None:
        notes.append(f"too few training videos to choose a penalty by; it is {WITHOUT_CHOICE:g}")
    for head, names in train.table.classes.items():
        labels, expected = train.labels(head), test.labels(head)
        penalties = (WITHOUT_CHOICE,) if held_out is None else PENALTIES
        mask = None if held_out is None else held_out.to(labels.device)
        linear = fit_linear(train.features, labels, len(names), penalties=penalties, held_out=mask)
        votes = knn_votes(train.features, labels, test.features, len(names), neighbours)
        frequent = labels.bincount(minlength=len(names)).argmax()

        def accuracy(predicted: Tensor, expected: Tensor = expected) -> float:
            return (predicted == expected).sum().item() / num_test

        heads[head] = HeadProbe(
            knn=accuracy(votes.argmax(dim=1)),
            linear=accuracy(linear(test.features).argmax(dim=1)),
            most_frequent=accuracy(frequent),
            penalty=linear.penalty,
        )
    return heads, notes


def _held_out(table: Table, seed: int) -> Tensor | None:
    """True at a part of the samples, stratified or by groups; None where the rest would lack a class."""
    try:
        divided = hold_out(table.with_splits(lambda sample: "train"), fraction=HELD_OUT, seed=seed)
    except DataError:
        return None
    chosen = torch.tensor([sample.split != "train" for sample in divided.samples])
    return chosen if bool(chosen.any()) else None
