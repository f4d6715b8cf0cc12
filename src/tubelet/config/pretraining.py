"""The configuration of a pretraining without labels."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from tubelet.config.data import AugmentationConfig, DataConfig
from tubelet.config.model import ModelConfig
from tubelet.config.monitoring import MonitoringConfig
from tubelet.config.serialise import check_types
from tubelet.config.split_names import split_name
from tubelet.config.training import AdaptationConfig, OptimisationConfig, RuntimeConfig, TrainConfig
from tubelet.errors import ConfigError

WITHOUT_LABELS: dict[str, dict[str, Any]] = {
    "data": {
        "labels": None,
        "label_separator": None,
        "one_hot": False,
        "background": None,
        "balanced": False,
        "fractions": DataConfig().fractions,
    },
    "augmentation": {
        "flip_labels": {},
        "reverse": 0.0,
        "reverse_labels": {},
        "mixup": 0.0,
        "cutmix": 0.0,
        "label_smoothing": 0.0,
    },
    "optimisation": {
        "class_weights": "none",
        "layer_decay": None,
        "ema_decay": None,
        "freeze": "none",
        "freeze_epochs": None,
        "lora": None,
        "fit_memory": False,
        "min_steps": None,
    },
}
"""Settings of a training, by group, that have no meaning here, and the values that they must keep."""

REGULARISERS: dict[str, float] = {"dropout": 0.0, "attention_dropout": 0.0, "drop_path": 0.0, "token_drop": 0.0}
"""Fields of the model that are off, as in VideoMAE's pretraining: masking regularises."""


@dataclass(frozen=True, kw_only=True)
class MaskingConfig:
    """Masking, and the decoder that predicts the masked tubelets. The decoder is discarded after pretraining.

    Attributes:
        mask_ratio: share of the spatial positions of the token grid that is masked, at every time: whole tubes.
        time_mask_ratio: factorised encoder alone: share of the times that is masked at all positions, so that only the
            temporal encoder can predict them. None is 0.3; 0 without a temporal encoder, and for the other model.
        decoder_layers: blocks of the decoder.
        decoder_size: width of its tokens; None is half of the encoder's.
        decoder_heads: attention heads; divides `decoder_size`.
        targets: what is predicted of a masked tubelet. `motion`: by how much each pixel changes until the next
            frame; for cameras that stand still. `normalised_pixels`: its pixels less their mean, divided by their
            standard deviation, as VideoMAE has it. `pixels`: these themselves.
    """

    mask_ratio: float = 0.75
    time_mask_ratio: float | None = None
    decoder_layers: int = 2
    decoder_size: int | None = None
    decoder_heads: int = 4
    targets: Literal["motion", "normalised_pixels", "pixels"] = "motion"

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 < self.mask_ratio < 1:
            raise ConfigError(f"mask_ratio={self.mask_ratio} must be above 0 and below 1; 0.75 to 0.9 suits videos")
        if self.time_mask_ratio is not None and not 0 <= self.time_mask_ratio < 1:
            raise ConfigError(
                f"time_mask_ratio={self.time_mask_ratio} is a share of the times; use a number from 0 to below 1"
            )
        for name in ("decoder_layers", "decoder_heads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be at least 1")
        size = self.decoder_size
        if size is not None and (size < 1 or size % math.lcm(2, self.decoder_heads)):
            raise ConfigError(
                f"decoder_size={size} must be even and a multiple of decoder_heads={self.decoder_heads}; "
                f"use {math.lcm(2, self.decoder_heads) * max(1, size // math.lcm(2, self.decoder_heads))}"
            )

    def visible_positions(self, model: ModelConfig) -> int:
        """How many positions of the model's grid stay visible.

        Raises:
            ConfigError: none would be hidden, since the grid has a single position.
        """
        _, height, width = model.grid
        if height * width < 2:
            raise ConfigError(
                f"the model has a single token for each time (tubelets of {model.tubelet_size} in frames of "
                f"{model.image_size}), so no part of a frame can be hidden; use smaller tubelets"
            )
        return min(max(1, round((1 - self.mask_ratio) * height * width)), height * width - 1)

    def visible_times(self, model: ModelConfig) -> int:
        """How many times of the model's grid are not hidden altogether.

        Raises:
            ConfigError: times would be hidden from a model that has no way to predict them.
        """
        factorised = model.variant == "factorised_encoder" and bool(model.temporal_layers)
        if self.time_mask_ratio and not factorised:
            raise ConfigError(
                f"time_mask_ratio={self.time_mask_ratio} teaches a temporal encoder, and variant={model.variant!r} "
                f"with temporal_layers={model.temporal_layers} has none; leave it out"
            )
        share = self.time_mask_ratio if self.time_mask_ratio is not None else 0.3 * factorised
        return max(1, model.grid[0] - round(share * model.grid[0]))

    def decoder_width(self, model: ModelConfig) -> int:
        """Width of the decoder's tokens."""
        step = math.lcm(2, self.decoder_heads)
        return self.decoder_size or max(step, model.hidden_size // 2 // step * step)


def _optimisation() -> OptimisationConfig:
    return OptimisationConfig(learning_rate=1e-3, betas=(0.9, 0.95), epochs=200, batch_size=16)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """A whole pretraining. The groups are those of `TrainConfig`; what would need labels is refused.

    Attributes:
        preset: name of the model; `tubelet models` lists them. None takes the architecture of `init`.
        model: fields of `ModelConfig` that differ from it.
        preprocessing: fields of `PreprocessingConfig`; `num_frames` and `crop_size` are the model's.
        init: weights to go on from, as in `TrainConfig`; None draws them at random.
        adaptation: of what it starts from.
        splits: that are learned from; without splits in the table, all videos are. Test videos never are.
        data: where the videos are, and how they are fetched.
        augmentation: how clips are varied.
        optimisation: how the weights are changed.
        masking: what is hidden.
        runtime: where it runs.
        monitoring: what is seen of it.
        seed: of the weights, the order of the videos, every augmentation and what is hidden.
        recipe: the recipe of trainings that the model and its clips were taken from; for the record.
    """

    preset: str | None = None
    model: dict[str, Any] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    init: str | None = None
    adaptation: AdaptationConfig = field(default_factory=AdaptationConfig)
    splits: tuple[str, ...] = ("train",)
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    optimisation: OptimisationConfig = field(default_factory=_optimisation)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    monitoring: MonitoringConfig = field(default_factory=MonitoringConfig)
    seed: int = 0
    recipe: str | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if not self.splits:
            raise ConfigError("splits=() leaves nothing to learn from; use splits=('train',)")
        if any(split_name(split) == "test" for split in self.splits):
            raise ConfigError(
                f"splits={self.splits} names the test videos, and a model must not see them before it is tested, not "
                "even without their labels; leave 'test' out"
            )
        if self.optimisation.fit_memory:
            raise ConfigError("batch_size='auto' (fit_memory) is a training's; give accumulate_steps a number here")
        if self.optimisation.min_steps is not None:
            raise ConfigError("min_steps is a training's; give epochs a number here")
        for group, neutral in WITHOUT_LABELS.items():
            for name, value in neutral.items():
                given = getattr(getattr(self, group), name)
                if given != value:
                    raise ConfigError(
                        f"{name}={given!r} has no meaning in a pretraining, which has no labels and no head"
                    )
        if self.data.cache == "features":
            raise ConfigError("cache='features' needs a frozen encoder, and pretraining teaches it; use cache='memory'")
        for name in REGULARISERS:
            if self.model.get(name):
                raise ConfigError(
                    f"model.{name}={self.model[name]}: nothing is dropped in a pretraining but what mask_ratio hides; "
                    "leave it out, and set it when the model is trained"
                )
        self.as_training()  # holds its fields to what a training's may be

    def as_training(self) -> TrainConfig:
        """A training with the same model, data and settings. It takes what it starts from as it is."""
        shared = [entry.name for entry in dataclasses.fields(TrainConfig) if entry.name != "validation"]
        fields = {name: getattr(self, name) for name in shared}
        if self.adaptation.init_branches is None:
            fields["adaptation"] = dataclasses.replace(self.adaptation, init_branches=1.0)
        return TrainConfig(**fields | {"model": {**self.model, **REGULARISERS}})


def for_pretraining(training: TrainConfig) -> PretrainConfig:
    """The pretraining before a training: the same model, frames and augmentation, without labels.

    Clips are mirrored, since there is no label that this could change. The optimisation is pretraining's own.
    """
    model = {name: value for name, value in training.model.items() if name not in REGULARISERS}
    neutral = WITHOUT_LABELS["augmentation"]
    return PretrainConfig(
        preset=training.preset,
        model=model,
        preprocessing=training.preprocessing,
        init=training.init,
        adaptation=training.adaptation,
        data=dataclasses.replace(training.data, **WITHOUT_LABELS["data"]),
        augmentation=dataclasses.replace(training.augmentation, **neutral, flip=0.5, erase=0.0, rand_augment_layers=0),
        runtime=training.runtime,
        monitoring=training.monitoring,
        seed=training.seed,
        recipe=training.recipe,
    )
