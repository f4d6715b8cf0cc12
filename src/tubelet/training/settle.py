"""Settings that follow from the data and the machine, settled before a trainer is built."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from tubelet.config import override
from tubelet.distributed.world import World
from tubelet.training.fitting import SHARE, fitting
from tubelet.training.memory import available_memory, expected_memory
from tubelet.training.supervised import SupervisedTask


def settled(task: SupervisedTask, world: World) -> tuple[SupervisedTask, list[str]]:
    """The task with its number of epochs and of parts of a batch, and notes on both."""
    task, epochs = _with_min_steps(task)
    if not task.config.optimisation.fit_memory:
        task, parts = _with_parts_that_fit(task, world)
        return task, [*epochs, *parts]
    fit = fitting(task)
    return _override(task, accumulate_steps=fit.accumulate_steps), [*epochs, fit.note]


def _override(task: SupervisedTask, **fields: int) -> SupervisedTask:
    return replace(task, config=override(task.config, **fields))


def _with_min_steps(task: SupervisedTask) -> tuple[SupervisedTask, list[str]]:
    """As many epochs as make `min_steps` optimiser steps."""
    optimisation, steps = task.config.optimisation, task.steps_per_epoch
    least = optimisation.min_steps
    if least is None or steps * optimisation.epochs >= least:
        return task, []
    epochs = math.ceil(least / steps)
    return _override(task, epochs=epochs, min_steps=least), [
        f"{epochs} epochs instead of {optimisation.epochs}, so that there are {least:,} steps ({steps} per epoch; "
        f"min_steps={least}). For fewer: epochs={optimisation.epochs}"
    ]


def _with_parts_that_fit(task: SupervisedTask, world: World) -> tuple[SupervisedTask, list[str]]:
    """Batches in parts where they would not fit into main memory, of which a system runs out without a word."""
    optimisation, runtime, model = task.config.optimisation, task.config.runtime, task.model
    stays = optimisation.freeze in ("spatial", "encoder") and optimisation.freeze_epochs is None
    frozen = stays or task.config.data.cache == "features"
    if task.device.type != "cpu" or optimisation.accumulate_steps > 1 or frozen:
        return task, []
    clips = -(-optimisation.batch_size // world.local_size)
    each = 2 if task.dtype == torch.bfloat16 else 4
    kept = sum(tensor.nbytes for tensor in model.parameters()) * (3 if optimisation.optimiser == "adamw" else 2)
    wanted = kept + expected_memory(model.config, clips, each, runtime.activation_checkpointing)
    free = available_memory() // world.local_size
    if wanted <= SHARE * free:
        return task, []
    words = f"a batch of {clips} clips takes about {wanted / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free"
    if world.size > 1 or runtime.step_in_backward:
        return task, [
            f"{words}: the training may run out of memory; use a smaller batch_size or activation_checkpointing=True"
        ]
    fit = fitting(task)
    return _override(task, accumulate_steps=fit.accumulate_steps), [f"{words}, so memory was measured. {fit.note}"]
