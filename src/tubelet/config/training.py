"""The configuration of a training: the same fields in recipes, configuration files and flags."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tubelet.config.data import AugmentationConfig, DataConfig
from tubelet.config.monitoring import MonitoringConfig
from tubelet.config.serialise import check_types
from tubelet.config.split_names import split_name
from tubelet.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class OptimisationConfig:
    """How the weights are changed.

    Attributes:
        optimiser: `adamw`, or `sgd` with momentum (Scenic; no Nesterov).
        learning_rate: the highest rate of the schedule: linear warm-up, then half a cosine down to 0. It belongs to the
            `batch_size` given and is not scaled with it.
        pooling_rate: factor on the learning rate of the weights of pooling (`pool="weighted"`). They are drawn with a
            standard deviation of 1, and a rate that suits kernels of a tenth of that hardly moves them: at 10 to 20 a
            model finds sooner when and where to look.
        weight_decay: of matrices alone; biases, norms, positions, class tokens and weights of pooling have none.
        betas: of AdamW.
        momentum: of SGD.
        epochs: passes over the training videos.
        min_steps: optimiser steps that a training has at least: over few videos it gets more epochs, which the run then
            has as its `epochs`. `epochs` set without this are exact.
        minutes: time for the whole training. The steps that fit are planned from the pace of the first ones, so that
            the learning rate has come down when it ends; `epochs` are never exceeded. None for as long as it takes.
        warmup_epochs: length of the warm-up; may be a fraction. None is a twelfth of the epochs, the paper's share.
        batch_size: clips of one optimiser step, of all processes together. The last step of an epoch has what is left;
            a single clip that is left goes into the step before, and fewer than half a batch share it evenly.
        accumulate_steps: a batch goes through the model in so many parts, one after the other. The gradient is that of
            the whole batch, and a BatchNorm has the statistics of the whole batch, for which the parts go through the
            model more than once. Dropout and drop-path are drawn for each part anew.
        fit_memory: choose `accumulate_steps` when the run begins: as few parts as fit into the memory of the device.
            `batch_size = "auto"` says the same: the batch stays that of the recipe, and with it what is learned.
        clip_norm: gradients of a larger norm are scaled down to it; None lets them be.
        class_weights: `none`; `balanced`: a clip counts the more the rarer its class is, so that all classes weigh the
            same; or `effective`: the same up to about a thousand clips a class, beyond which more clips weigh more (the
            effective number of samples with beta 0.999, Cui et al., CVPR 2019). The clips' mean weight is 1. In a
            multi-label head the weight is for the clips that show a class, against those that do not. `auto` is
            `balanced` for heads with one class per video whose largest class has ten times the videos of the smallest,
            and says so; other heads have none.
        ema_decay: keep a moving average of the weights with this decay, and validate and deliver that; 0 or None for
            none.
        layer_decay: each layer below the head learns at this share of the rate of the one above it; None for the same
            rate everywhere. 0.65 to 0.8 suits fine-tuning.
        freeze: what keeps the weights of `init` and is not trained: `embedding`; `spatial`, the spatial encoder of the
            factorised encoder too; `encoder`, everything but the head (a linear probe). See `tubelet.ViViT.freeze`.
        freeze_epochs: what `freeze` names is trained too after so many epochs: first a head that fits, then everything.
            None never trains it.
        lora: rank of low-rank adapters (LoRA, Hu et al., 2022) beside all linear layers of the blocks. They and the
            head are trained, adapters at ten times `learning_rate`; the weights of `init` stay, and what is delivered
            has the adapters added to them. None for no adapters.
    """

    optimiser: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 3e-4
    pooling_rate: float = 1.0
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    epochs: int = 100
    min_steps: int | None = None
    minutes: float | None = None
    warmup_epochs: float | None = None
    batch_size: int = 16
    accumulate_steps: int = 1
    fit_memory: bool = False
    clip_norm: float | None = 1.0
    class_weights: Literal["auto", "none", "balanced", "effective"] = "none"
    ema_decay: float | None = None
    layer_decay: float | None = None
    freeze: Literal["none", "embedding", "spatial", "encoder"] = "none"
    freeze_epochs: int | None = None
    lora: int | None = None

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("epochs", "batch_size", "accumulate_steps"):
            _at_least(self, name, 1)
        if self.min_steps is not None:
            _at_least(self, "min_steps", 1)
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(f"minutes={self.minutes} must be above 0; leave it out for no limit")
        for name in ("learning_rate", "pooling_rate", "weight_decay"):
            _at_least(self, name, 0)
        if self.warmup_epochs is not None and not 0 <= self.warmup_epochs < self.epochs:
            raise ConfigError(
                f"warmup_epochs={self.warmup_epochs:g} must be from 0 to below epochs={self.epochs}; "
                f"leave it out for {self.epochs / 12:.3g}"
            )
        if self.accumulate_steps > self.batch_size:
            raise ConfigError(
                f"accumulate_steps={self.accumulate_steps} cannot divide a batch of {self.batch_size} clips; "
                f"use at most {self.batch_size}"
            )
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ConfigError(f"clip_norm={self.clip_norm} must be above 0; use None for no clipping")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas={self.betas} must each be from 0 to below 1, as in (0.9, 0.999)")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum={self.momentum} must be from 0 to below 1")
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay={self.ema_decay} must be from 0 (no average) to below 1, 0.999 for example")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ConfigError(
                f"layer_decay={self.layer_decay} must be above 0 and at most 1 (the same rate everywhere)"
            )
        self._check_frozen()

    def _check_frozen(self) -> None:
        if self.freeze_epochs is not None:
            _at_least(self, "freeze_epochs", 1)
            if self.freeze == "none":
                raise ConfigError(
                    f"freeze_epochs={self.freeze_epochs} says how long something stays frozen, and freeze='none' "
                    "freezes nothing; use freeze='encoder', for example"
                )
            if self.freeze_epochs >= self.epochs:
                raise ConfigError(
                    f"freeze_epochs={self.freeze_epochs} must be below epochs={self.epochs}; leave it out to keep "
                    f"{self.freeze!r} frozen to the end"
                )
            if self.fit_memory:
                raise ConfigError(
                    "batch_size='auto' measures a training that stays as it begins, and freeze_epochs changes it; give "
                    "accumulate_steps a number"
                )
        if self.lora is not None:
            _at_least(self, "lora", 1)
            if self.freeze != "none":
                raise ConfigError(
                    f"lora={self.lora} keeps all weights but the head as they are already, so freeze={self.freeze!r} "
                    "must be left out"
                )

    @property
    def warmup(self) -> float:
        """Epochs of warm-up."""
        return self.epochs / 12 if self.warmup_epochs is None else self.warmup_epochs


@dataclass(frozen=True, kw_only=True)
class AdaptationConfig:
    """Adaptation of the weights that a training starts from.

    The first three are for an image model, of which a video model is made (section 3.4; see `tubelet.initialise`).

    Attributes:
        tubelet_init: how patches become tubelets.
        init_positions: how the positions of an image become those of a video.
        init_behaviour: `default`; `original` is exactly the Scenic code; `paper` is the paper; `random` leaves the
            attention over time of model 3 as it was drawn.
        init_branches: factor on the output layers of attention and MLP (the residual branches) of a video model that
            training starts from. None is `residual_init` for a model of `tubelet pretrain` that is not frozen, else 1.
    """

    tubelet_init: Literal["central_frame", "inflation", "rank_pooling", "random"] = "central_frame"
    init_positions: Literal["tile", "resize", "resize_tile"] = "resize_tile"
    init_behaviour: Literal["default", "original", "paper", "random"] = "default"
    init_branches: float | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if self.init_branches is not None and self.init_branches <= 0:
            raise ConfigError(f"init_branches={self.init_branches} must be above 0; 1 leaves the weights as they are")


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """Validation during the training, and the choice of the weights that are exported.

    Attributes:
        validation_split: samples to watch by. If the data has none of them, nothing is watched and the last weights are
            delivered.
        hold_out: share of the training samples to make that split of, where it has none.
        hold_out_groups: groups (persons) of the training samples to make it of instead.
        validation_views: CLIPSxCROPS of each video; Scenic's is one centre clip, one centre crop.
        validate_every: epochs from one validation to the next; there is always one after the last.
        patience: stop after so many validations in a row without a better one (early stopping); None never does.
        keep: `best`, the weights with the highest top-1 (mean average precision of multi-label heads; mean over heads;
            then the lowest loss) are delivered; or `last`. A split that results are reported on must not choose: watch
            it with `last`.
        abstain: share of right answers that a head with one class per video is to have, 0.95 for instance: after the
            training a probability is fitted on the validation videos below which a video is `unknown`. None always
            answers.
        allow_test_validation: let the test videos choose the weights all the same, which makes what is then measured on
            them too good.
    """

    validation_split: str = "val"
    hold_out: float | None = None
    hold_out_groups: tuple[str, ...] = ()
    validation_views: str = "1x1"
    validate_every: int = 1
    patience: int | None = None
    keep: Literal["best", "last"] = "best"
    allow_test_validation: bool = False
    abstain: float | None = None

    def __post_init__(self) -> None:
        check_types(self)
        object.__setattr__(self, "validation_split", split_name(self.validation_split))
        _at_least(self, "validate_every", 1)
        if self.patience is not None:
            _at_least(self, "patience", 1)
        if self.abstain is not None and not 0 < self.abstain <= 1:
            raise ConfigError(f"abstain={self.abstain} is a share of right answers; use a number above 0, at most 1")
        if self.test_chooses and not self.allow_test_validation:
            raise ConfigError(
                "validation_split='test': test videos must not choose the epoch, since what is then measured on them "
                "is too good. Hold out training videos (hold_out=0.1), or watch the test videos without choosing "
                "(keep='last', without patience); allow_test_validation=True does it all the same"
            )
        if self.hold_out is not None and self.hold_out_groups:
            raise ConfigError("hold_out and hold_out_groups say the same thing twice; leave one out")

    @property
    def chooses(self) -> bool:
        """Whether validation chooses the weights that are delivered."""
        return self.keep == "best" or self.patience is not None

    @property
    def test_chooses(self) -> bool:
        """Whether the test videos choose the weights: the best epoch, or where the training stops."""
        return self.validation_split == "test" and self.chooses


@dataclass(frozen=True, kw_only=True)
class RuntimeConfig:
    """Where and how the training runs. A resumed run may change it (device, precision, compile: other last digits).

    Attributes:
        device: `auto` (the first GPU, else the CPU), `cpu`, `cuda`, `cuda:1`, `mps`.
        precision: of matrix products: `float32`, `bfloat16`, or `auto`: bfloat16 on GPUs that are made for it.
        strategy: how several processes (`torchrun`, `--devices`) share the model: `ddp`, a copy each; `fsdp`, a part
            each, for models whose weights, gradients and moments do not fit a GPU; `auto` is ddp. One process has all.
        compile: `torch.compile` the model: slow to start, then faster on a GPU.
        activation_checkpointing: keep less for the backward pass and compute it again: less memory, more time.
        step_in_backward: change each weight as soon as its gradient is there, and let go of the gradient: what is
            learned is the same, less the memory of all gradients. It needs `clip_norm` None, batches in one part and
            one process.
        checkpoint_minutes: minutes from one checkpoint to the next; there is one after each validation too.
        checkpoint_steps: steps from one checkpoint to the next, besides.
    """

    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    compile: bool = False
    activation_checkpointing: bool = False
    step_in_backward: bool = False
    checkpoint_minutes: float = 5.0
    checkpoint_steps: int | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if self.checkpoint_minutes <= 0:
            raise ConfigError(f"checkpoint_minutes={self.checkpoint_minutes} must be above 0")
        if self.checkpoint_steps is not None:
            _at_least(self, "checkpoint_steps", 1)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole training, as in a recipe.

    Attributes:
        preset: name of the model; `tubelet models` lists them. None takes the architecture of `init`, which then must
            be a video model.
        model: fields of `ModelConfig` that differ from it.
        preprocessing: fields of `PreprocessingConfig`; `num_frames` and `crop_size` are the model's.
        init: a run, a model folder, a checkpoint or a Hub id (see `tubelet.load`), or an image ViT (see
            `tubelet.initialise`), to start from. None draws the weights at random.
        adaptation: of what it starts from.
        data: where the videos are, and how they are fetched.
        augmentation: how training clips are varied.
        optimisation: how the weights are changed.
        validation: how the model is watched.
        runtime: where it runs.
        monitoring: what is seen of it.
        seed: of the weights, the order of the videos, every augmentation, dropout and mixing.
        recipe: what this configuration was made from; for the record.
    """

    preset: str | None = None
    model: dict[str, Any] = field(default_factory=dict)
    preprocessing: dict[str, Any] = field(default_factory=dict)
    init: str | None = None
    adaptation: AdaptationConfig = field(default_factory=AdaptationConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    optimisation: OptimisationConfig = field(default_factory=OptimisationConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    monitoring: MonitoringConfig = field(default_factory=MonitoringConfig)
    seed: int = 0
    recipe: str | None = None

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("num_frames", "crop_size"):
            if name in self.preprocessing:
                instead = "model.num_frames" if name == "num_frames" else "model.image_size"
                raise ConfigError(f"preprocessing.{name} follows from the model; set {instead}")


def _at_least(config: Any, name: str, least: float) -> None:
    if getattr(config, name) < least:
        raise ConfigError(f"{name}={getattr(config, name)} must be at least {least}")
