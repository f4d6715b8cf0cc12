"""The videos of a study: the user's, or generated ones; and the configuration that goes with the generated ones."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path

from tubelet.config import NO_AUGMENTATION, DataConfig, OptimisationConfig, TrainConfig, ValidationConfig, override
from tubelet.data import Table, assign_splits, read_configured, read_table, split_name
from tubelet.data.generated import PICTURES, write_clips_once
from tubelet.errors import DataError
from tubelet.studies.study import Study


@dataclass(frozen=True, kw_only=True)
class GeneratedClips:
    """How many videos are generated where none are given.

    Attributes:
        train_clips: of each of the eight classes, to learn from.
        test_clips: of each class, to test on.
        clip_seed: of the videos; the seeds of the runs share them.
    """

    train_clips: int = 30
    test_clips: int = 25
    clip_seed: int = 0


def generated_config(study: Study) -> TrainConfig:
    """A small model and a short training for the generated videos, which a study may change."""
    config = TrainConfig(
        preset="vivit_tiny_16x2_fe",
        model={
            "embedding": "conv_stem",
            "image_size": 32,
            "tubelet_size": (2, 8, 8),
            "num_frames": PICTURES,
            "hidden_size": 48,
            "num_layers": 2,
            "num_heads": 4,
            "mlp_dim": 96,
            "temporal_layers": 2,
            "pool": "mean",
            "head_norm": "batch",
            "residual_init": 0.1,
        },
        preprocessing={"frame_stride": 1, "resize": 36},
        data=DataConfig(cache="memory", workers=0),
        augmentation=replace(NO_AUGMENTATION, temporal="random", crop="random"),
        optimisation=OptimisationConfig(learning_rate=1e-3, betas=(0.9, 0.98), epochs=30, batch_size=16),
        validation=ValidationConfig(keep="last", validate_every=10_000),
    )
    return override(config, **study.generated)


def write_generated(folder: Path, clips: GeneratedClips) -> Path:
    """Make the videos, whole or not at all, unless they are there."""
    scenes = {"train": clips.train_clips, "test": clips.test_clips}
    return write_clips_once(folder, scenes, seed=clips.clip_seed)


def study_table(config: TrainConfig, generated: Path | None, train_split: str, test_split: str | None) -> Table:
    """The videos in the splits `train`, `test` and, where the data has it, `val`; the rest is left out.

    Args:
        config: says which data.
        generated: folder of the generated videos, instead.
        train_split: what is learned from.
        test_split: what is tested on; None is `test`, or `val` where there is none.

    Raises:
        DataError: a split that is not there, or one for both.
    """
    if generated is not None:
        return read_table(generated)
    table = read_configured(config.data)
    if any(sample.split is None for sample in table.samples):
        table = assign_splits(table, config.data.fractions, seed=config.seed)
    learned = split_name(train_split)
    tested = (
        split_name(test_split)
        if test_split is not None
        else next(s for s in ("test", "val") if s in {*table.splits, "val"})
    )
    if learned == tested:
        raise DataError(f"{learned!r} is to be learned from and tested on; name two splits")
    for name in (learned, tested):
        table.split(name)
    watched = split_name(config.validation.validation_split)
    names = {learned: "train", tested: "test"}
    if watched not in names:
        names[watched] = "val"
    kept = tuple(sample for sample in table.samples if sample.split in names)
    table = dataclasses.replace(table, samples=kept).with_splits(lambda sample: names[sample.split or ""])
    if table.multi_label:
        raise DataError(
            f"a study compares top-1, and videos may show several classes of {', '.join(table.multi_label)}; name "
            "other columns (labels)"
        )
    trained = {sample.labels[head] for sample in table.split("train").samples for head in table.classes}
    if not trained:
        raise DataError("the data has no labels, and a study compares how often they are called right")
    return table


def with_watching(config: TrainConfig, table: Table) -> TrainConfig:
    """The test videos never choose: without validation videos the last weights are delivered, unwatched."""
    validation = replace(config.validation, validation_split="val")
    has_some = "val" in table.splits or validation.hold_out is not None or validation.hold_out_groups
    if not has_some:
        validation = replace(validation, keep="last")
    return replace(config, validation=validation)
