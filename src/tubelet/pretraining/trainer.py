"""Everything a pretraining consists of, put together, saved and restored. The loop itself is in `loop.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any

from tubelet.config import PretrainConfig
from tubelet.data import Batch, ClipDataset, FrameCache, Table, make_loader
from tubelet.device import autocast, resolve_device, resolve_precision
from tubelet.fast import training_form
from tubelet.model import ViViT
from tubelet.pretraining.model import MaskedTubelets
from tubelet.training.checkpoint import Checkpoint, save_checkpoint
from tubelet.training.early_step import step_in_backward
from tubelet.training.log import EventLog
from tubelet.training.mirrors import require_installed
from tubelet.training.optimiser import make_optimiser
from tubelet.training.parts import require_parts_are_exact
from tubelet.training.position import Position
from tubelet.training.run_folder import FailureLog, RunFolder
from tubelet.training.schedule import cosine_with_warmup
from tubelet.training.trainer import FIRST_CHECKPOINT_SECONDS, compiled, trains_in_fast_form
from tubelet.training.watch import StepWatch
from tubelet.weights import save

STATE_FORMAT = 1


class Pretrainer:
    """The parts of a pretraining and its position in it.

    Args:
        model: with its first weights and its preprocessing, without head.
        table: the videos to learn from.
        config: the rest.
    """

    folder: RunFolder
    log: EventLog
    failures: FailureLog

    def __init__(self, model: ViViT, table: Table, config: PretrainConfig) -> None:
        assert model.preprocessing is not None
        optimisation, runtime = config.optimisation, config.runtime
        require_installed(config.monitoring)
        self.config = config
        self.device = resolve_device(runtime.device)
        self.dtype = resolve_precision(runtime.precision, self.device)
        self.masked = MaskedTubelets(model, config.masking).to(self.device).train()
        self.model.set_checkpointing(runtime.activation_checkpointing)
        if optimisation.accumulate_steps > 1:
            require_parts_are_exact(self.masked, compiled=runtime.compile, sharded=False)
        self.fast = trains_in_fast_form(self.device, runtime)
        learner = training_form(self.masked) if self.fast else self.masked
        self.forward: Callable[..., Any] = compiled(learner) if runtime.compile else learner
        self.optimiser = make_optimiser(self.masked, optimisation)
        self.early = step_in_backward(self.optimiser, optimisation, runtime)
        data, workers = config.data, config.data.workers
        cache = FrameCache(len(table), data.cache_gigabytes) if data.cache == "memory" else None
        if workers is None and cache is not None and self.device.type == "cpu":
            workers = 0  # clips come from memory, and processes of their own would only take the CPU from the model
        self.clips = ClipDataset(
            table,
            model.preprocessing,
            augmentation=config.augmentation,
            seed=config.seed,
            cache=cache,
            use_damaged=data.use_damaged,
        )
        self.loader = make_loader(self.clips, optimisation.batch_size, workers=workers, even_end=True)
        self.steps_per_epoch = self.loader.batch_sampler.batches
        self.total_steps = self.steps_per_epoch * optimisation.epochs
        self.watch = StepWatch(self.optimiser, config.monitoring)
        self.position = Position()
        self.failed_in_a_row = 0
        self._saved_at, self._saves = time.monotonic(), 0

    @property
    def model(self) -> ViViT:
        """What is pretrained."""
        return self.masked.model

    @contextmanager
    def writing_to(self, folder: RunFolder) -> Iterator[None]:
        """Inside the `with`, checkpoints and events go to this folder."""
        self.folder, self.failures = folder, FailureLog(folder.failures)
        with EventLog(folder.metrics) as self.log:
            yield

    def batches(self) -> Iterator[Batch]:
        """The rest of the present epoch, on the device."""
        self.loader.set_epoch(self.position.epoch, self.position.batch)
        for batch in self.loader:
            yield batch.to(self.device)

    def learning_rate(self) -> float:
        """Of the next step."""
        optimisation = self.config.optimisation
        warmup = optimisation.warmup * self.steps_per_epoch
        return cosine_with_warmup(self.position.step, optimisation.learning_rate, warmup, self.total_steps)

    def autocast(self) -> AbstractContextManager[None]:
        """The context of a forward pass."""
        return autocast(self.device, self.dtype)

    def checkpoint_is_due(self) -> bool:
        """Whether enough time, or steps, have gone by since the last one."""
        runtime, seconds = self.config.runtime, 60 * self.config.runtime.checkpoint_minutes
        if self._saves < 2:  # one before the first step
            seconds = min(seconds, FIRST_CHECKPOINT_SECONDS)
        by_steps = runtime.checkpoint_steps is not None and self.position.step % runtime.checkpoint_steps == 0
        return by_steps or time.monotonic() - self._saved_at > seconds

    def save(self) -> None:
        """Write the checkpoint `last`: encoder and decoder, optimiser, position."""
        state = {
            "format": STATE_FORMAT,
            "position": asdict(self.position),
            "optimiser": self.optimiser.state_dict(),
            "log_position": self.log.position(),
            "failures": len(self.failures),
            "watch": self.watch.state_dict(),
        }
        save_checkpoint(self.folder.last, self.masked.state_dict(), state, self.folder.previous)
        self._saved_at, self._saves = time.monotonic(), self._saves + 1

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint, in the log too."""
        self.masked.load_state_dict(checkpoint.weights)
        self.optimiser.load_state_dict(checkpoint.state["optimiser"])
        self.position = Position(**checkpoint.state["position"])
        self.log.rewind(checkpoint.state["log_position"])
        self.failures.rewind(checkpoint.state.get("failures"))
        self.watch.load_state_dict(checkpoint.state.get("watch", {}))

    def deliver(self) -> None:
        """Make the present weights those of the run: what `tubelet.load(folder)` gives. The decoder stays behind."""
        save(self.model, self.folder.path, overwrite=True)
