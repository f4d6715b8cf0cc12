"""What one kind of training does differently from another. `Trainer` does what they share.

                SupervisedTask                          MaskedTask (tubelet.pretraining)
trains          the model                               the model and a decoder
loss            cross entropy of the labels             error of the hidden tubelets
validates       on views of the validation videos       not at all
exports         the best or the last weights            the last encoder, and a picture
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tubelet.config import PretrainConfig, RuntimeConfig, TrainConfig
from tubelet.config.training import ValidationConfig
from tubelet.data import Batch, ClipDataset, FrameCache, Table, make_loader
from tubelet.data.loader import ClipLoader
from tubelet.device import resolve_device, usable_cores
from tubelet.distributed.world import ALONE, World
from tubelet.errors import ConfigError
from tubelet.evaluation import Evaluation
from tubelet.model import ViViT
from tubelet.training.adapters import add_adapters


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A model and its data, ready to be trained with settings that are settled.

    Attributes:
        config: all settings.
        module: everything that is trained and stored in checkpoints, on its device and in training mode.
        device: where it is.
        dtype: of matrix products.
        clips: training clips.
        views: validation views; None without validation.
        loader: of the training clips; this process's part of each batch.
    """

    kind: ClassVar[str | None] = None
    """In `run.json`; a supervised training has none."""
    config_type: ClassVar[type[TrainConfig] | type[PretrainConfig]]
    verb: ClassVar[str]
    """The command and the function that do it."""
    videos: ClassVar[str]
    """The videos that it learns from, in messages."""
    digits: ClassVar[int]
    """Of a loss, in messages."""

    config: TrainConfig | PretrainConfig
    module: nn.Module
    device: torch.device
    dtype: torch.dtype
    clips: ClipDataset
    views: ClipDataset | None = None
    loader: ClipLoader

    @classmethod
    @abstractmethod
    def of(cls, model: ViViT, table: Table, config: Any, world: World = ALONE) -> Task:
        """A model, with preprocessing and labels, and the videos of a run, with their splits.

        Raises:
            ConfigError: settings that do not fit the data, the model or the processes.
        """

    @property
    def model(self) -> ViViT:
        """The ViViT that is trained."""
        return self.model_in(self.module)

    @property
    def validation(self) -> ValidationConfig | None:
        """How the model is validated; None if it never is."""
        return None

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return self.loader.batch_sampler.batches

    @abstractmethod
    def model_in(self, module: nn.Module) -> ViViT:
        """The ViViT in `module`, or in a copy of it."""

    @abstractmethod
    def learner(self, fast: bool) -> nn.Module:
        """What `losses` calls: `module` itself, or with `fast` its training form on the same parameters."""

    @abstractmethod
    def prepare(self, batch: Batch, epoch: int, number: int) -> Batch:
        """A batch of the loader, on the device, with all that the loss needs.

        Args:
            batch: of this process.
            epoch: counted from 0.
            number: of the batch in its epoch.
        """

    @abstractmethod
    def losses(self, learner: Callable[..., Any], batch: Batch) -> Tensor:
        """The loss of each clip of a prepared batch [B]."""

    @abstractmethod
    def size(self) -> str:
        """Parameters and tokens, for a note."""

    def fill(self) -> Iterator[tuple[int, int]]:
        """Compute what no epoch changes; (videos done, of all) after each."""
        yield from ()

    def evaluate(
        self, model: ViViT, views: ClipDataset, world: World, progress: Callable[[int, int], None]
    ) -> Evaluation:
        """Validate a model that has all of its weights."""
        raise NotImplementedError(f"{type(self).__name__} has no validation")

    def notes(self) -> list[str]:
        """More for the user."""
        return []

    def data_fields(self) -> dict[str, Any]:
        """More on the data for `run.json`."""
        return {}


def require_unfreezable(config: TrainConfig | PretrainConfig, world: World) -> None:
    """Raise a ConfigError where something holds on to the parameters that learn at first, or keeps what is frozen."""
    if config.optimisation.freeze_epochs is None:
        return
    for asked, name in (
        (world.size > 1, f"{world.size} processes"),
        (config.runtime.compile, "compile=True"),
        (config.runtime.step_in_backward, "step_in_backward=True"),
        (config.data.cache == "features", "cache='features'"),
    ):
        if asked:
            raise ConfigError(
                f"freeze_epochs={config.optimisation.freeze_epochs} cannot go with {name}; leave one of the two out"
            )


def require_shareable(config: TrainConfig | PretrainConfig, world: World) -> None:
    """Raise a ConfigError for what several processes cannot share, or if one would never have a clip (to mix with)."""
    if world.size == 1:
        return
    for name, asked in (
        ("strategy='fsdp' with lora", config.optimisation.lora is not None and config.runtime.strategy == "fsdp"),
        ("cache='features'", config.data.cache == "features"),
        ("batch_size='auto'", config.optimisation.fit_memory),
    ):
        if asked:
            raise ConfigError(f"{name} is for one process, and these are {world.size}; choose another, or start one")
    size, mixes = config.optimisation.batch_size, config.augmentation.mixes
    least = world.size * (2 if mixes else 1)
    if size < least:
        why = "mixup and cutmix need two clips in each" if mixes else "each needs a clip"
        raise ConfigError(
            f"batch_size={size} is of all {world.size} processes together, and {why}; use at least {least}, or fewer "
            "processes"
        )


def place_model(model: ViViT, config: TrainConfig | PretrainConfig, world: World) -> torch.device:
    """Move a model to the device of this process, in training mode, with checkpointing and frozen parts as configured.

    Raises:
        ConfigError: what several processes cannot share, or a device that is not there.
    """
    require_shareable(config, world)
    require_unfreezable(config, world)
    device = resolve_device(config.runtime.device, world)
    model.to(device).train()
    if config.optimisation.freeze != "none":
        model.freeze(config.optimisation.freeze)
    if config.optimisation.lora is not None:
        add_adapters(model, config.optimisation.lora)
        model.to(device)
    model.set_checkpointing(config.runtime.activation_checkpointing)
    return device


def trains_in_fast_form(device: torch.device, runtime: RuntimeConfig) -> bool:
    """Whether `tubelet.fast.training_form` pays: on a CPU, unless a compiler sees the model."""
    return device.type == "cpu" and not runtime.compile


def training_clips(
    model: ViViT, table: Table, config: TrainConfig | PretrainConfig, cache: FrameCache | None
) -> ClipDataset:
    """The clips of a table, augmented."""
    assert model.preprocessing is not None
    return ClipDataset(
        table,
        model.preprocessing,
        augmentation=config.augmentation,
        seed=config.seed,
        cache=cache,
        use_damaged=config.data.use_damaged,
    )


def frame_cache(
    table: Table, config: TrainConfig | PretrainConfig, world: World, share: float = 1.0
) -> FrameCache | None:
    """A cache for the frames of a table, if the configuration asks for one, with this share of its memory."""
    gigabytes = config.data.cache_gigabytes * share / world.local_size
    return FrameCache(len(table), gigabytes) if config.data.cache == "memory" else None


def training_loader(
    clips: ClipDataset, config: TrainConfig | PretrainConfig, device: torch.device, world: World
) -> ClipLoader:
    """The batches of this process."""
    return make_loader(
        clips,
        config.optimisation.batch_size,
        workers=_workers(config, device, world),
        balanced=_balanced_head(clips.table) if config.data.balanced else None,
        even_end=True,
        rank=world.rank,
        world_size=world.size,
        pairs=config.augmentation.mixes,
    )


def _balanced_head(table: Table) -> str:
    """The head by which clips are balanced: the first that gives one class."""
    return next(iter([*(head for head in table.classes if head not in table.multi_label), *table.classes]))


def _workers(config: TrainConfig | PretrainConfig, device: torch.device, world: World) -> int | None:
    """By default none where clips come from memory: workers would only take the CPU from the model."""
    data = config.data
    if data.cache == "features":
        return 0
    if data.workers is not None:
        return data.workers
    if data.cache == "memory" and device.type == "cpu":
        return 0
    return max(1, min(8, usable_cores() // world.local_size)) if world.size > 1 else None
