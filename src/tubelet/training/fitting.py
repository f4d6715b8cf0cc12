"""`batch_size="auto"`: the largest micro-batch that fits into memory, by `accumulate_steps`.

The batch of an optimiser step and its learning rate stay those of the recipe, so that the same is learned, but for
which dropout is drawn for which clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tubelet.data import Batch
from tubelet.device import autocast
from tubelet.errors import ConfigError
from tubelet.training.generators import restored_generators
from tubelet.training.memory import available_memory, peak_memory
from tubelet.training.parts import accumulate, active_norms, require_parts_are_exact
from tubelet.training.supervised import SupervisedTask
from tubelet.training.task import trains_in_fast_form

SHARE = 0.9
"""Of the free memory that a step may take."""


@dataclass(frozen=True)
class Fit:
    """What was chosen.

    Attributes:
        accumulate_steps: parts of a batch.
        note: for the user.
    """

    accumulate_steps: int
    note: str


def fitting(task: SupervisedTask) -> Fit:
    """The number of parts of a batch.

    On a GPU by trying: one clip, two, four, ... until memory runs out. On a CPU, where running out ends the process, by
    measuring the peak of few clips (`largest_within`).

    Raises:
        ConfigError: not even one clip fits, the device is of a kind whose memory cannot be measured, or the batch does
            not fit and the model has a norm that needs all of it (`require_parts_are_exact`).
    """
    batch_size, most = task.config.optimisation.batch_size, task.loader.batch_sampler.largest
    kind = task.device.type
    if kind == "cuda":
        with leaving_no_trace(task):
            largest, reason = _by_trying(task, most), "by trying"
    elif kind == "cpu":
        with leaving_no_trace(task):
            largest, reason = _by_measuring(task, most)
    else:
        raise ConfigError(
            f"batch_size='auto' measures memory on a GPU (cuda) or a CPU, not on {kind}; give accumulate_steps a number"
        )
    if largest < 1:
        raise ConfigError(
            f"not even one clip fits into the memory of {task.device} ({reason}); use "
            "activation_checkpointing=True, fewer "
            "or smaller frames, larger tubelets or a smaller model"
        )
    parts = 1 if largest >= most else max(2, -(-batch_size // largest))
    at_once = -(-batch_size // parts)
    if parts > 1:
        require_parts_are_exact(_learner(task), compiled=task.config.runtime.compile, sharded=False)
    whole = "in one part" if parts == 1 else f"in {parts} parts of at most {at_once}"
    return Fit(parts, f"batch_size=auto: batches stay {batch_size} clips and go through the model {whole} ({reason})")


def _by_trying(task: SupervisedTask, batch_size: int) -> int:
    """The largest number of clips, a power of two or the whole batch, that a GPU can take."""
    largest, clips = 0, 1
    reserved = [torch.empty(_later(task), dtype=torch.uint8, device=task.device)]  # so that it is not given away
    total = SHARE * torch.cuda.get_device_properties(task.device).total_memory
    while True:
        torch.cuda.reset_peak_memory_stats(task.device)
        try:
            _pass(task, clips)()
        except torch.cuda.OutOfMemoryError:
            break
        finally:
            task.module.zero_grad(set_to_none=True)
        if torch.cuda.max_memory_allocated(task.device) > total:
            break
        largest = clips
        if clips == batch_size:
            break
        clips = min(2 * clips, batch_size)
    reserved.clear()
    torch.cuda.empty_cache()
    return largest


def _by_measuring(task: SupervisedTask, batch_size: int) -> tuple[int, str]:
    """The largest number of clips that fit into main memory, and why."""

    def peak(clips: int) -> int:
        taken = peak_memory(_pass(task, clips))
        task.module.zero_grad(set_to_none=True)
        return taken

    budget = SHARE * available_memory() - _later(task)
    largest, a_clip = largest_within(budget, batch_size, peak)
    return largest, f"{a_clip / 1e6:,.1f} MB a clip, {max(budget, 0) / 1e6:,.0f} MB free"


def largest_within(budget: float, most: int, peak: Callable[[int], int]) -> tuple[int, float]:
    """The largest number of clips within `budget`, without trying one that is expected to take more.

    The peak grows linearly once there are enough clips. So numbers are doubled as long as the next is expected to fit;
    the rest is extrapolated from the last two.

    Args:
        budget: bytes.
        most: clips that are of use.
        peak: number of clips to bytes.

    Returns:
        the number, 0 if one clip takes more; and the bytes of another clip.
    """
    clips, taken, a_clip = 1, peak(1), 0.0
    if most == 1 or taken > budget:
        return int(taken <= budget), float(taken)
    a_clip = float(taken)
    while clips < most and taken + (step := min(clips, most - clips)) * a_clip <= budget:
        before, clips = taken, clips + step
        taken = peak(clips)
        a_clip = max((taken - before) / step, 1.0)
    return min(most, clips + int(max(budget - taken, 0) // a_clip)), a_clip


def _later(task: SupervisedTask) -> int:
    """Bytes of the optimiser's state, which its first step allocates."""
    learned = sum(parameter.nbytes for parameter in task.module.parameters() if parameter.requires_grad)
    return learned * (2 if task.config.optimisation.optimiser == "adamw" else 1)


def _learner(task: SupervisedTask) -> nn.Module:
    return task.learner(trains_in_fast_form(task.device, task.config.runtime))


def _pass(task: SupervisedTask, clips: int) -> Callable[[], None]:
    """A forward and a backward pass over so many blank clips, as in the training step."""
    learner = _learner(task)
    targets = {head: torch.zeros(clips, dtype=torch.int64) for head in task.clips.table.classes}

    def loss_of(batch: Batch) -> Tensor:
        with autocast(task.device, task.dtype):
            return task.losses(learner, batch).sum()

    def compute() -> None:
        video = torch.zeros(clips, *task.clips.video_shape)
        batch = Batch(video, None, targets, torch.arange(clips)).to(task.device)
        norms = active_norms(learner)
        if norms and clips < task.loader.batch_sampler.largest:
            accumulate([batch], loss_of, norms)
        else:
            loss_of(batch).backward()

    return compute


@contextmanager
def leaving_no_trace(task: SupervisedTask) -> Iterator[None]:
    """Restore running statistics, gradients and torch's generators afterwards."""
    model = task.module
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with restored_generators():
        try:
            yield
        finally:
            model.zero_grad(set_to_none=True)
            with torch.no_grad():
                for name, buffer in model.named_buffers():
                    buffer.copy_(buffers[name])
