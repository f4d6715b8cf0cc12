"""Everything a training consists of, put together, saved and restored. The loop itself is in `loop.py`."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.config import RuntimeConfig, TrainConfig
from tubelet.config.run_state import FINISHED
from tubelet.data import (
    Batch,
    BatchMix,
    ClipDataset,
    FrameCache,
    Table,
    batch_generator,
    class_weights,
    make_loader,
)
from tubelet.device import autocast, resolve_device, resolve_precision, usable_cores
from tubelet.distributed.world import ALONE, World
from tubelet.errors import ConfigError
from tubelet.evaluation import Evaluation, evaluate_clips
from tubelet.fast import training_form
from tubelet.features import FeatureClips
from tubelet.given_model import replaced_layers
from tubelet.model import ViViT
from tubelet.training.budget import TimeBudget
from tubelet.training.checkpoint import Checkpoint, copy_checkpoint, save_checkpoint
from tubelet.training.early_step import step_in_backward
from tubelet.training.ema import WeightAverage
from tubelet.training.feature_clips import feature_clips, learned_part
from tubelet.training.log import EventLog
from tubelet.training.losses import classification_loss
from tubelet.training.mirrors import require_installed
from tubelet.training.optimiser import load_optimiser, make_optimiser
from tubelet.training.parallel import Parallel, load_whole
from tubelet.training.parts import require_batches_for_norms, require_parts_are_exact
from tubelet.training.position import Position
from tubelet.training.run_folder import FailureLog, RunFolder
from tubelet.training.schedule import cosine_with_warmup
from tubelet.training.sharded import load_sharded, save_sharded
from tubelet.training.watch import StepWatch
from tubelet.video.views import parse_views
from tubelet.weights import load
from tubelet.weights.native import WEIGHTS_FILE, save_trained
from tubelet.weights.tensor_files import load_tensors

STATE_FORMAT = 1

EFFECTIVE_BETA = 0.999
"""Of `class_weights="effective"`."""

FIRST_CHECKPOINT_SECONDS = 20.0
"""The first checkpoint comes no later than this and a step."""


@dataclass
class Best:
    """The best validation so far."""

    step: int
    epoch: int
    top1: float
    loss: float | None

    def beats(self, other: Best | None) -> bool:
        """Higher top-1, or the same with a lower loss."""
        return other is None or self._rank() > other._rank()

    def _rank(self) -> tuple[float, float]:
        return self.top1, float("-inf") if self.loss is None else -self.loss


@dataclass
class TrainPosition(Position):
    """How far a training is.

    Attributes:
        best: the best validation so far.
        since_best: validations since then.
        planned_steps: steps of the whole training where a time budget decides; None for all epochs.
        ended: why nothing is left to do (`tubelet.config.run_state`); None as long as there is.
    """

    best: Best | None = None
    since_best: int = 0
    planned_steps: int | None = None
    ended: str | None = None


class Trainer:
    """The parts of a training and its position in it.

    Args:
        model: with its first weights, preprocessing and labels.
        train: the table to learn from.
        validation: the table to watch by; None for none.
        config: the rest.
        world: processes that train it together, each with an object like this.

    Raises:
        ConfigError: settings that the processes cannot share.
    """

    folder: RunFolder
    log: EventLog
    failures: FailureLog

    def __init__(
        self, model: ViViT, train: Table, validation: Table | None, config: TrainConfig, world: World = ALONE
    ) -> None:
        optimisation, runtime = config.optimisation, config.runtime
        require_installed(config.monitoring)
        _require_shareable(config, world)
        self.config = config
        self.world = world
        self.parallel = Parallel(world, runtime.strategy)
        self.device = resolve_device(runtime.device, world)
        self.dtype = resolve_precision(runtime.precision, self.device)
        self.model = model.to(self.device).train()
        if optimisation.freeze != "none":
            self.model.freeze(optimisation.freeze)
        self.model.set_checkpointing(runtime.activation_checkpointing)
        self.average = WeightAverage(model, optimisation.ema_decay) if optimisation.ema_decay else None
        self.parallel.prepare(self.model, self.average.model if self.average is not None else None)
        self.fast = trains_in_fast_form(self.device, runtime) and not self.parallel.sharded
        self.learner = learned_part(training_form(self.model) if self.fast else self.model, config)
        require_batches_for_norms(self.learner, optimisation.batch_size, len(train))
        if optimisation.accumulate_steps > 1:
            require_parts_are_exact(self.learner, compiled=runtime.compile, sharded=self.parallel.sharded)
        self.forward = self.parallel.forward(self.learner, compiled if runtime.compile else None)
        self.optimiser = make_optimiser(model, optimisation)
        self.early = step_in_backward(self.optimiser, optimisation, runtime, world.size)
        augmentation = config.augmentation
        self.mix = BatchMix(augmentation, train.heads) if augmentation.mixes or augmentation.label_smoothing else None
        self.loss_of = partial(classification_loss, class_weights=self._class_weights(train))
        self.clips, self.views = self._datasets(train, validation)
        balanced = next(iter(train.classes)) if config.data.balanced else None
        self.loader = make_loader(
            self.clips,
            optimisation.batch_size,
            workers=self._workers(),
            balanced=balanced,
            even_end=True,
            rank=world.rank,
            world_size=world.size,
            pairs=augmentation.mixes,
        )
        self.steps_per_epoch = self.loader.batch_sampler.batches
        self.watch = StepWatch(self.optimiser, config.monitoring)
        self.position = TrainPosition()
        self.validation_seconds: float | None = None
        self.failed_in_a_row = 0
        minutes = optimisation.minutes
        self.budget = None if minutes is None else TimeBudget(minutes)
        self._saved_at, self._saves = time.monotonic(), 0
        if config.validation.patience is not None and validation is None:
            raise ConfigError(
                f"patience={config.validation.patience} counts validations, and no sample is in "
                f"{config.validation.validation_split!r}; hold_out=0.1 makes that split"
            )

    @contextmanager
    def writing_to(self, folder: RunFolder) -> Iterator[None]:
        """Inside the `with`, checkpoints and events go to this folder; of several processes the first writes events."""
        self.folder, self.failures = folder, FailureLog(folder.failures, writes=self.world.first)
        with EventLog(folder.metrics if self.world.first else Path(os.devnull)) as self.log:
            yield

    # --- what the loop asks for ------------------------------------------------------------------------------------

    def prepare(self) -> Iterator[tuple[int, int]]:
        """Compute the features that are not kept yet, if it learns from features; (done, all) after each video."""
        for clips in (self.clips, self.views):
            if isinstance(clips, FeatureClips):
                yield from clips.fill(self.config.data.workers)

    def batches(self) -> Iterator[Batch]:
        """The rest of the present epoch: on the device, mixed, targets smoothed."""
        epoch, first = self.position.epoch, self.position.batch
        self.loader.set_epoch(epoch, first)
        for number, batch in enumerate(self.loader, first):
            batch = batch.to(self.device)
            if self.mix is not None and len(batch):
                batch = self.mix.batch(batch, batch_generator(self.config.seed, epoch, number))
            yield batch

    @property
    def total_steps(self) -> int:
        """Of the whole training."""
        planned = self.position.planned_steps
        return self.all_steps if planned is None else planned

    @property
    def all_steps(self) -> int:
        """Of all epochs."""
        return self.steps_per_epoch * self.config.optimisation.epochs

    @property
    def epochs(self) -> int:
        """Of the whole training; the last one is cut short where the time ends in it."""
        return math.ceil(self.total_steps / self.steps_per_epoch)

    def plan(self) -> bool:
        """Fit the number of steps to the time that is left, if it is time to do so; whether that changed it.

        The clock of the first process counts. The new number is on the disk before it is followed.
        """
        if self.budget is None:
            return False
        step = self.position.step
        steps = self.budget.plan(step, self.all_steps, self._reserve()) if self.budget.is_due() else 0
        (steps, *_), *_ = self.world.gather_numbers(steps)
        if not steps or steps == self.total_steps:
            return False
        self.position.planned_steps = max(steps, step)
        self.log.write("plan", step=step, steps=self.total_steps, seconds=round(self.budget.elapsed, 3))
        self.save()
        return True

    @property
    def is_at_start(self) -> bool:
        """Whether no checkpoint was written but the one from before the first step."""
        return self._saves == 1

    def learning_rate(self) -> float:
        """Of the next step."""
        optimisation = self.config.optimisation
        warmup = optimisation.warmup * self.steps_per_epoch
        if self.position.planned_steps is not None:
            warmup *= self.total_steps / self.all_steps
        return cosine_with_warmup(self.position.step, optimisation.learning_rate, warmup, self.total_steps)

    def autocast(self) -> AbstractContextManager[None]:
        """The context of a forward pass."""
        return autocast(self.device, self.dtype)

    @property
    def delivers_last(self) -> bool:
        """Whether the last weights are delivered, and not the best."""
        return self.views is None or self.config.validation.keep == "last"

    @property
    def watched_model(self) -> ViViT:
        """The model that is validated and delivered: the average of the weights if there is one."""
        return self.model if self.average is None else self.average.model

    def validate(self, progress: Callable[[int, int], None]) -> Evaluation | None:
        """Evaluate the watched model; None without validation videos."""
        if self.views is None:
            return None
        evaluation = evaluate_clips(
            learned_part(self.parallel.whole(self.watched_model), self.config),
            self.views,
            workers=self.loader.num_workers,
            precision=self.config.runtime.precision,
            progress=progress,
            world=self.world,
        )
        self.validation_seconds = evaluation.seconds
        return evaluation

    # --- checkpoints -----------------------------------------------------------------------------------------------

    def is_late(self) -> bool:
        """Whether so much time has gone by since the last checkpoint that another is due; the first one is early."""
        seconds = 60 * self.config.runtime.checkpoint_minutes
        if self._saves < 2:  # one before the first step
            seconds = min(seconds, FIRST_CHECKPOINT_SECONDS)
        return time.monotonic() - self._saved_at > seconds

    def checkpoint_is_due(self) -> bool:
        """Whether enough steps have gone by since the last one."""
        every = self.config.runtime.checkpoint_steps
        return every is not None and self.position.step % every == 0

    def save(self) -> None:
        """Write the checkpoint `last`: the first process alone, or all of them if each has a part."""
        state: dict[str, Any] = {
            "format": STATE_FORMAT,
            "position": asdict(self.position),
            "watch": self.watch.state_dict(),
        }
        if self.budget is not None:
            state["budget"] = self.budget.state_dict()
        if self.world.first:
            state["log_position"] = self.log.position()
            state["failures"] = len(self.failures)
        average = None if self.average is None else self.average.model
        if self.parallel.sharded:
            save_sharded(self.folder.last, self.world, self.model, average, self.optimiser, state, self.folder.previous)
        elif self.world.first:
            state["optimiser"] = self.optimiser.state_dict()
            state["average"] = average.state_dict() if average is not None else None
            save_checkpoint(self.folder.last, self.model.state_dict(), state, self.folder.previous)
        self._saved_at, self._saves = time.monotonic(), self._saves + 1

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint, in the log too."""
        state = checkpoint.state
        if checkpoint.sharded:
            average = None if self.average is None else self.average.model
            load_sharded(checkpoint.folder, self.model, average, self.optimiser)
        else:
            load_whole(self.model, checkpoint.weights)
            load_optimiser(self.optimiser, state["optimiser"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
        best = state["position"]["best"]
        self.position = TrainPosition(**{**state["position"], "best": Best(**best) if best else None})
        if self.position.ended is None and not self.position.batch and self.position.step >= self.all_steps:
            self.position.ended = FINISHED  # a run from before this was written down
        if self.budget is None and self.position.ended is None:
            self.position.planned_steps = None  # the limit was taken away
        if self.world.first:
            self.log.rewind(state["log_position"])
            self.failures.rewind(state.get("failures"))
        self.watch.load_state_dict(state.get("watch", {}))  # a run from before there was any has none
        if self.budget is not None and "budget" in state:
            self.budget.load_state_dict(state["budget"])
        self._saves = 1

    def deliver_again(self, checkpoint: Path) -> None:
        """Deliver what was restored if it is the best: the process may have ended between writing `last` and this."""
        best_is_now = self.position.best is not None and self.position.best.step == self.position.step
        if best_is_now and not self.delivers_last:
            self.deliver_best(checkpoint)

    def deliver_best(self, checkpoint: Path | None = None) -> None:
        """Make a checkpoint of the present weights (by default `last`) `best`, and its weights those of the run."""
        if self.world.first:
            copy_checkpoint(checkpoint or self.folder.last, self.folder.best)
        self.deliver()

    def deliver(self) -> None:
        """Make the watched weights those of the run: what `tubelet.load(folder)` gives."""
        model = self.parallel.whole(self.watched_model)
        if self.world.first:
            save_trained(model, self.folder.path)

    def delivered_model(self) -> ViViT:
        """A model with the weights that were delivered, in evaluation mode, on the CPU."""
        self.world.wait()
        if not replaced_layers(self.model):
            return load(self.folder.path)
        model = copy.deepcopy(self.model).cpu()
        model.load_state_dict(load_tensors(self.folder.path / WEIGHTS_FILE)[0])
        return model.eval()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _reserve(self) -> float:
        """Seconds that the last validation will take: those of the one before, or at the pace of the first steps."""
        if self.views is None or self.budget is None:
            return 0.0
        if self.validation_seconds is not None:
            return self.validation_seconds
        clips = self.position.step * self.config.optimisation.batch_size
        return self.budget.elapsed * len(self.views) / max(clips, 1)

    def _workers(self) -> int | None:
        """Where nothing is said and clips come from memory, processes of their own only take the CPU from the model."""
        data = self.config.data
        if data.cache == "features":
            return 0
        if data.workers is None and data.cache == "memory" and self.device.type == "cpu":
            return 0
        if data.workers is None and self.world.size > 1:
            return max(1, min(8, usable_cores() // self.world.local_size))
        return data.workers

    def _class_weights(self, train: Table) -> dict[str, Tensor] | None:
        scheme = self.config.optimisation.class_weights
        if scheme == "none":
            return None
        beta = EFFECTIVE_BETA if scheme == "effective" else None
        return {head: class_weights(train, head, beta=beta).to(self.device) for head in train.classes}

    def _datasets(self, train: Table, validation: Table | None) -> tuple[ClipDataset, ClipDataset | None]:
        config = self.config
        if config.data.cache == "features":
            return feature_clips(self.model, train, validation, config, self.dtype)
        assert self.model.preprocessing is not None
        total = len(train) + (len(validation) if validation is not None else 0)

        def cache(table: Table) -> FrameCache | None:
            share = config.data.cache_gigabytes * len(table) / total / self.world.local_size
            return FrameCache(len(table), share) if config.data.cache == "memory" else None

        clips = ClipDataset(
            train,
            self.model.preprocessing,
            augmentation=config.augmentation,
            seed=config.seed,
            cache=cache(train),
            use_damaged=config.data.use_damaged,
        )
        if validation is None:
            return clips, None
        count, crops = parse_views(config.validation.validation_views)
        views = ClipDataset(
            validation,
            self.model.preprocessing,
            mode="evaluate",
            clips=count,
            crops=crops,
            cache=cache(validation),
        )
        return clips, views


def _require_shareable(config: TrainConfig, world: World) -> None:
    """Raise a ConfigError for what several processes cannot share, or if one would never have a clip (to mix with)."""
    if world.size == 1:
        return
    for name, asked in (
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


def trains_in_fast_form(device: torch.device, runtime: RuntimeConfig) -> bool:
    """Whether `tubelet.fast.training_form` pays: on a CPU, unless a compiler sees the model."""
    return device.type == "cpu" and not runtime.compile


def compiled(model: nn.Module) -> Callable[..., Any]:
    """`torch.compile`, with gradients that share no memory.

    A compiled backward pass hands out one buffer for two parameters whose gradients are equal (a class token and its
    position, which are added). Clipping and accumulating change gradients in place and would do so twice.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_hook(torch.clone)
    return torch.compile(model)
