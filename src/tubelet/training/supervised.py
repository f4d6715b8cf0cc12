"""Training on labelled videos: the task of `tubelet.train`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tubelet.config import TrainConfig
from tubelet.config.training import ValidationConfig
from tubelet.data import Batch, BatchMix, ClipDataset, Table, batch_generator
from tubelet.device import resolve_precision
from tubelet.distributed.world import ALONE, World
from tubelet.errors import ConfigError
from tubelet.evaluation import Evaluation, evaluate_clips, parse_views
from tubelet.fast import training_form
from tubelet.features import FeatureClips
from tubelet.model import ViViT
from tubelet.training.feature_clips import feature_clips, learned_part
from tubelet.training.imbalance import loss_weights
from tubelet.training.losses import batch_losses
from tubelet.training.parts import require_batches_for_norms
from tubelet.training.task import Task, frame_cache, place_model, training_clips, training_loader


@dataclass(frozen=True, kw_only=True)
class SupervisedTask(Task):
    """Cross entropy of the labels, in multi-label heads of each class.

    Attributes:
        mix: mixup, cutmix and label smoothing; None for none of them.
        class_weights: for each head a factor [K] for the loss of its classes (`class_weights`); heads without
            any have all 1, and None are all heads.
        imbalance: why there are some, for the user.
    """

    config_type = TrainConfig
    verb = "train"
    videos = "training videos"
    digits = 3

    config: TrainConfig
    module: ViViT
    mix: BatchMix | None
    class_weights: dict[str, Tensor] | None
    imbalance: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: ViViT, table: Table, config: TrainConfig, world: World = ALONE) -> SupervisedTask:
        split, train = config.validation.validation_split, table.split("train")
        validation = table.split(split) if split in table.splits else None
        if config.validation.patience is not None and validation is None:
            raise ConfigError(
                f"patience={config.validation.patience} counts validations, and no sample is in {split!r}; "
                "hold_out=0.1 makes that split"
            )
        device = place_model(model, config, world)
        dtype = resolve_precision(config.runtime.precision, device)
        clips: ClipDataset
        views: ClipDataset | None
        if config.data.cache == "features":
            clips, views = feature_clips(model, train, validation, config, dtype)
        else:
            clips, views = _clips_and_views(model, train, validation, config, world)
        augmentation = config.augmentation
        mixes = augmentation.mixes or augmentation.label_smoothing
        weights, imbalance = loss_weights(config, train)
        return cls(
            config=config,
            module=model,
            device=device,
            dtype=dtype,
            clips=clips,
            views=views,
            loader=training_loader(clips, config, device, world),
            mix=BatchMix(augmentation, train.heads, train.multi_label) if mixes else None,
            class_weights=weights and {head: weight.to(device) for head, weight in weights.items()},
            imbalance=tuple(imbalance),
        )

    @property
    def validation(self) -> ValidationConfig:
        return self.config.validation

    def model_in(self, module: nn.Module) -> ViViT:
        assert isinstance(module, ViViT)
        return module

    def learner(self, fast: bool) -> nn.Module:
        learner = learned_part(training_form(self.module) if fast else self.module, self.config)
        require_batches_for_norms(learner, self.config.optimisation.batch_size, len(self.clips))
        return learner

    def prepare(self, batch: Batch, epoch: int, number: int) -> Batch:
        """Mixed, targets smoothed."""
        batch = batch.to(self.device)
        if self.mix is None or not len(batch):
            return batch
        return self.mix.batch(batch, batch_generator(self.config.seed, epoch, number))

    def losses(self, learner: Callable[..., Any], batch: Batch) -> Tensor:
        heads = self.model.config.multi_label
        return batch_losses(learner, batch, class_weights=self.class_weights, multi_label=heads)

    def data_fields(self) -> dict[str, Any]:
        heads = self.clips.table.multi_label
        return {"multi_label": list(heads)} if heads else {}

    def size(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        trained = sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)
        frozen = f" ({trained / 1e6:.2f} M are trained, {self._kept()})" if trained < parameters else ""
        return f"{parameters / 1e6:.2f} M parameters{frozen}, {self.model.config.num_tokens} tokens a clip"

    def _kept(self) -> str:
        """The setting that keeps weights as they are."""
        optimisation = self.config.optimisation
        if optimisation.lora is not None:
            return f"lora={optimisation.lora}"
        epochs = "" if optimisation.freeze_epochs is None else f", freeze_epochs={optimisation.freeze_epochs}"
        return f"freeze={self.model.frozen}{epochs}"

    def fill(self) -> Iterator[tuple[int, int]]:
        """Features that are not in the cache yet."""
        for clips in (self.clips, self.views):
            if isinstance(clips, FeatureClips):
                yield from clips.fill(self.config.data.workers)

    def evaluate(
        self, model: ViViT, views: ClipDataset, world: World, progress: Callable[[int, int], None]
    ) -> Evaluation:
        return evaluate_clips(
            learned_part(model, self.config),
            views,
            workers=self.loader.num_workers,
            precision=self.config.runtime.precision,
            progress=progress,
            world=world,
        )

    def notes(self) -> list[str]:
        """What evens out classes of unequal size, and where the cached features are."""
        if not isinstance(self.clips, FeatureClips):
            return [*self.imbalance]
        return [*self.imbalance, f"learns from features of the videos, kept in {self.clips.store.folder.parent}"]


def _clips_and_views(
    model: ViViT, train: Table, validation: Table | None, config: TrainConfig, world: World
) -> tuple[ClipDataset, ClipDataset | None]:
    assert model.preprocessing is not None
    total = len(train) + (len(validation) if validation is not None else 0)
    clips = training_clips(model, train, config, frame_cache(train, config, world, len(train) / total))
    if validation is None:
        return clips, None
    count, crops = parse_views(config.validation.validation_views)
    cache = frame_cache(validation, config, world, len(validation) / total)
    views = ClipDataset(validation, model.preprocessing, mode="evaluate", clips=count, crops=crops, cache=cache)
    return clips, views
