"""Everything a training consists of, put together, saved and restored. The loop itself is in `fit.py`."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tubelet.config.run_state import FINISHED
from tubelet.data import Batch
from tubelet.device import autocast
from tubelet.distributed.world import ALONE, World
from tubelet.errors import WeightsError
from tubelet.evaluation import Evaluation
from tubelet.given_model import replaced_layers
from tubelet.model import ViViT
from tubelet.training.adapters import merged
from tubelet.training.budget import TimeBudget
from tubelet.training.checkpoint import STATE_FILE, Checkpoint, copy_checkpoint, save_checkpoint
from tubelet.training.ema import WeightAverage
from tubelet.training.log import EventLog
from tubelet.training.loggers import require_installed
from tubelet.training.monitor import StepMonitor
from tubelet.training.optimiser import add_new_parameters, load_optimiser, make_optimiser
from tubelet.training.optimiser_in_backward import optimiser_in_backward
from tubelet.training.parallel import Parallel, load_whole
from tubelet.training.parts import require_parts_are_exact
from tubelet.training.position import Best, Position
from tubelet.training.run_folder import FailureLog, RunFolder
from tubelet.training.schedule import cosine_with_warmup
from tubelet.training.sharded import load_sharded, save_sharded
from tubelet.training.step import TrainingStep
from tubelet.training.task import Task, trains_in_fast_form
from tubelet.weights import load
from tubelet.weights.native import WEIGHTS_FILE, save_trained, stored_operating_points
from tubelet.weights.tensor_files import load_tensors

STATE_FORMAT = 1

FIRST_CHECKPOINT_SECONDS = 20.0
"""The first checkpoint comes no later than this and a step."""


class Trainer:
    """A training and its position: model, optimiser, run folder, and the processes that share the work.

    Args:
        task: what is trained, on what, and how its loss is computed; its settings do not change any more.
        folder: of the run; need not exist yet.
        run_id: of the run; its checkpoints have it, too. None for a run from before runs had one.
        world: processes that train together, each with an object like this.

    Raises:
        ConfigError: settings that do not go together.
    """

    def __init__(self, task: Task, folder: RunFolder, run_id: str | None, world: World = ALONE) -> None:
        config = task.config
        optimisation, runtime = config.optimisation, config.runtime
        require_installed(config.monitoring)
        self.task, self.config, self.folder, self.run_id, self.world = task, config, folder, run_id, world
        self.log = EventLog(folder.metrics if world.first else Path(os.devnull))
        self.failures = FailureLog(folder.failures, writes=world.first)
        self.parallel = Parallel(world, runtime.strategy)
        self.average = WeightAverage(task.module, optimisation.ema_decay) if optimisation.ema_decay else None
        self.parallel.prepare(task.module, None if self.average is None else self.average.model)
        self.fast = trains_in_fast_form(task.device, runtime) and not self.parallel.sharded
        learner = task.learner(self.fast)
        if optimisation.accumulate_steps > 1:
            require_parts_are_exact(learner, compiled=runtime.compile, sharded=self.parallel.sharded)
        self.unfrozen = False
        """Whether what was frozen at first learns by now (`freeze_epochs`)."""
        self.optimiser = make_optimiser(task.module, optimisation)
        self.step = TrainingStep(
            self.parallel.forward(learner, compiled if runtime.compile else None),
            self.optimiser,
            task.losses,
            accumulate_steps=optimisation.accumulate_steps,
            batch_size=optimisation.batch_size,
            clip_norm=optimisation.clip_norm,
            autocast=self._autocast,
            parallel=self.parallel,
            in_backward=optimiser_in_backward(self.optimiser, optimisation, runtime, world.size),
        )
        self.monitor = StepMonitor(self.optimiser, config.monitoring)
        self.position = Position()
        self.validation_seconds: float | None = None
        self.failed_in_a_row = 0
        self.budget = None if optimisation.minutes is None else TimeBudget(optimisation.minutes)
        self._saved_at, self._saves = time.monotonic(), 0

    # --- what the loop asks for ------------------------------------------------------------------------------------

    def batches(self) -> Iterator[Batch]:
        """The rest of the present epoch, prepared for the loss."""
        epoch, first = self.position.epoch, self.position.batch
        self.task.loader.set_epoch(epoch, first)
        for number, batch in enumerate(self.task.loader, first):
            yield self.task.prepare(batch, epoch, number)

    @property
    def total_steps(self) -> int:
        """Of the whole training."""
        planned = self.position.planned_steps
        return self.all_steps if planned is None else planned

    @property
    def all_steps(self) -> int:
        """Of all epochs."""
        return self.task.steps_per_epoch * self.config.optimisation.epochs

    @property
    def epochs(self) -> int:
        """Of the whole training; the last one is cut short where the time ends in it."""
        return math.ceil(self.total_steps / self.task.steps_per_epoch)

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

    def unfreeze(self) -> bool:
        """Train what was frozen too, if that is due; whether it was."""
        epochs = self.config.optimisation.freeze_epochs
        if epochs is None or self.unfrozen or self.position.epoch < epochs:
            return False
        self.unfrozen = True
        self.task.model.freeze("none")
        add_new_parameters(self.optimiser, self.task.module, self.config.optimisation)
        self.step = replace(self.step, model=self.task.learner(self.fast))
        return True

    @property
    def is_at_start(self) -> bool:
        """Whether no checkpoint was written but the one from before the first step."""
        return self._saves == 1

    def learning_rate(self) -> float:
        """Of the next step."""
        optimisation = self.config.optimisation
        warmup = optimisation.warmup * self.task.steps_per_epoch
        if self.position.planned_steps is not None:
            warmup *= self.total_steps / self.all_steps
        return cosine_with_warmup(self.position.step, optimisation.learning_rate, warmup, self.total_steps)

    @property
    def keeps_last(self) -> bool:
        """Whether the last weights are exported, and not the best."""
        validation = self.task.validation
        return self.task.views is None or validation is None or validation.keep == "last"

    @property
    def eval_model(self) -> ViViT:
        """The model that is validated and exported: the average of the weights if there is one."""
        return self.task.model if self.average is None else self.task.model_in(self.average.model)

    def validate(self, progress: Callable[[int, int], None]) -> Evaluation | None:
        """Evaluate `eval_model`; None without validation videos."""
        if self.task.views is None:
            return None
        model = self.parallel.whole(self.eval_model)
        evaluation = self.task.evaluate(model, self.task.views, self.world, progress)
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

    def save(self, folder: RunFolder | None = None) -> None:
        """Write the checkpoint `last`: the first process alone, or all of them if each has a part.

        Args:
            folder: where the run is prepared; None once it has its place.
        """
        folder = folder or self.folder
        state: dict[str, Any] = {
            "format": STATE_FORMAT,
            "run": self.run_id,
            "position": asdict(self.position),
            "watch": self.monitor.state_dict(),
            "unfrozen": self.unfrozen,
        }
        if self.budget is not None:
            state["budget"] = self.budget.state_dict()
        if self.world.first:
            state["log_position"] = self.log.position()
            state["failures"] = len(self.failures)
        average = None if self.average is None else self.average.model
        if self.parallel.sharded:
            save_sharded(folder.last, self.world, self.task.module, average, self.optimiser, state, folder.previous)
        elif self.world.first:
            state["optimiser"] = self.optimiser.state_dict()
            state["average"] = average.state_dict() if average is not None else None
            save_checkpoint(folder.last, self.task.module.state_dict(), state, folder.previous)
        self._saved_at, self._saves = time.monotonic(), self._saves + 1

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint, in the log too.

        Raises:
            WeightsError: it is another run's.
        """
        state, module = checkpoint.state, self.task.module
        if state.get("run") != self.run_id:
            raise WeightsError(f"{checkpoint.folder} was written by another run: {STATE_FILE} has its id")
        best = state["position"].get("best")
        self.position = Position(**{**state["position"], "best": Best(**best) if best else None})
        if checkpoint.sharded:
            average = None if self.average is None else self.average.model
            load_sharded(checkpoint.folder, module, average, self.optimiser)
        else:
            load_whole(module, checkpoint.weights)
            if state.get("unfrozen"):
                self.unfreeze()
            load_optimiser(self.optimiser, state["optimiser"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
        if self.position.ended is None and not self.position.batch and self.position.step >= self.all_steps:
            self.position.ended = FINISHED  # a run from before this was written down
        if self.budget is None and self.position.ended is None:
            self.position.planned_steps = None  # the limit was taken away
        if self.world.first:
            self.log.rewind(state["log_position"])
            self.failures.rewind(state.get("failures"))
        self.monitor.load_state_dict(state.get("watch", {}))  # a run from before there was any has none
        if self.budget is not None and "budget" in state:
            self.budget.load_state_dict(state["budget"])
        self._saves = 1

    def export_again(self, checkpoint: Path) -> None:
        """Export what was restored if it is the best: the process may have ended between writing `last` and this."""
        if self.position.ended is not None:  # they were fitted to these weights
            self.eval_model.operating_points = stored_operating_points(self.folder.path)
        best_is_now = self.position.best is not None and self.position.best.step == self.position.step
        if best_is_now and not self.keeps_last:
            self.export_best(checkpoint)

    def export_best(self, checkpoint: Path | None = None) -> None:
        """Make a checkpoint of the present weights (by default `last`) `best`, and its weights those of the run."""
        if self.world.first:
            copy_checkpoint(checkpoint or self.folder.last, self.folder.best)
        self.export()

    def export(self) -> None:
        """Make the present weights those of the run: what `tubelet.load(folder)` gives."""
        model = self.parallel.whole(self.eval_model)
        if self.world.first:
            save_trained(model if self.config.optimisation.lora is None else merged(model), self.folder.path)

    def exported_model(self) -> ViViT:
        """A model with the weights that were exported, in evaluation mode, on the CPU."""
        self.world.wait()
        if self.config.optimisation.lora is not None or not replaced_layers(self.task.model):
            return load(self.folder.path)
        model = copy.deepcopy(self.task.model).cpu()
        model.load_state_dict(load_tensors(self.folder.path / WEIGHTS_FILE)[0])
        return model.eval()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _autocast(self) -> AbstractContextManager[None]:
        return autocast(self.task.device, self.task.dtype)

    def _reserve(self) -> float:
        """Seconds that the last validation will take: those of the one before, or at the pace of the first steps."""
        if self.task.views is None or self.budget is None:
            return 0.0
        if self.validation_seconds is not None:
            return self.validation_seconds
        clips = self.position.step * self.config.optimisation.batch_size
        return self.budget.elapsed * len(self.task.views) / max(clips, 1)


def compiled(model: nn.Module) -> Callable[..., Any]:
    """`torch.compile`, with gradients that share no memory.

    A compiled backward pass hands out one buffer for two parameters whose gradients are equal (a class token and its
    position, which are added). Clipping and accumulating change gradients in place and would do so twice.
    """
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_hook(torch.clone)
    return torch.compile(model)
