"""Training on features that are computed once: what that needs, and the parts of a `Trainer` that it changes."""

from __future__ import annotations

import dataclasses

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
"""Settings of the augmentation that only say how, or change the targets alone; all others vary clips if they are on."""


def learned_part(model: ViViT, config: TrainConfig) -> nn.Module:
    """What turns the batches of this training into logits: the model, or what comes after its features."""
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
    data, stage = config.data, stage_of(config)
    folder = data.feature_folder or default_folder()
    total = len(train) + (len(validation) if validation is not None else 0)
    share = data.cache_gigabytes / total
    gigabytes = share * len(train)
    clips = FeatureClips(
        train,
        model,
        stage,
        folder,
        gigabytes=gigabytes,
        dtype=dtype,
        seed=config.seed,
        use_damaged=data.use_damaged,
    )
    if validation is None:
        return clips, None
    count, crops = parse_views(config.validation.validation_views)
    views = FeatureClips(
        validation,
        model,
        stage,
        folder,
        gigabytes=share * len(validation),
        dtype=dtype,
        mode="evaluate",
        clips=count,
        crops=crops,
    )
    return clips, views


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
