"""Training on cached features: what it needs, its data sets, and the part of the model that is trained."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from tubelet.config import NO_AUGMENTATION, AugmentationConfig, TrainConfig
from tubelet.data import Table
from tubelet.errors import ConfigError
from tubelet.features import AfterFeatures, FeatureClips, Stage, default_folder
from tubelet.model import ViViT
from tubelet.video.views import parse_views

VARIES_NOTHING = (
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "rand_augment_magnitude",
    "rand_augment_ops",
    "erase_area",
    "flip_labels",
    "reverse_labels",
    "mix_probability",
    "label_smoothing",
)
"""Settings of the augmentation that vary no clip by themselves; all others do if they are on."""


def learned_part(model: ViViT, config: TrainConfig) -> nn.Module:
    """From the batches of this training to logits: the model, or the layers after its features."""
    return AfterFeatures(model, stage_of(config)) if config.data.cache == "features" else model


def stage_of(config: TrainConfig) -> Stage:
    """Where the model is cut: after what is frozen.

    Raises:
        ConfigError: nothing is frozen, or too little.
    """
    freeze = config.optimisation.freeze
    if freeze in ("spatial", "encoder"):
        return freeze
    raise ConfigError(
        f"cache='features' keeps what frozen weights make of a video, and freeze={freeze!r}; use freeze='spatial' or "
        "freeze='encoder', or cache='memory', which keeps decoded frames"
    )


def feature_clips(
    model: ViViT, train: Table, validation: Table | None, config: TrainConfig, dtype: torch.dtype
) -> tuple[FeatureClips, FeatureClips | None]:
    """The data sets of a training on features.

    Raises:
        ConfigError: clips are varied, so that features computed once would not be those of the training asked for.
    """
    require_nothing_varies(model, config.augmentation)
    data = config.data
    total = len(train) + (len(validation) if validation is not None else 0)

    def clips(table: Table, **fields: Any) -> FeatureClips:
        return FeatureClips(
            table,
            model,
            stage_of(config),
            data.feature_folder or default_folder(),
            gigabytes=data.cache_gigabytes / total * len(table),
            dtype=dtype,
            **fields,
        )

    learned = clips(train, seed=config.seed, use_damaged=data.use_damaged)
    if validation is None:
        return learned, None
    count, crops = parse_views(config.validation.validation_views)
    return learned, clips(validation, mode="evaluate", clips=count, crops=crops)


def require_nothing_varies(model: ViViT, augmentation: AugmentationConfig) -> None:
    """Hold that each clip looks the same in every epoch.

    Raises:
        ConfigError: it does not; what must be off, and to what value.
    """
    names = [field.name for field in dataclasses.fields(augmentation) if field.name not in VARIES_NOTHING]
    if augmentation.mix_probability == 0:
        names = [name for name in names if name not in ("mixup", "cutmix")]
    off = {name: getattr(NO_AUGMENTATION, name) for name in names}
    varied = {name: value for name, value in off.items() if getattr(augmentation, name) != value}
    wanted = [f"{name}={value!r}" for name, value in varied.items()]
    if model.config.token_drop:
        wanted.append("model.token_drop=0")
    if wanted:
        raise ConfigError(
            "cache='features' computes each clip once, so nothing may vary it: set "
            f"{', '.join(wanted)} (the recipe cached-features does), or leave the cache out"
        )
