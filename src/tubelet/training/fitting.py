"""`batch_size="auto"`: the recipe's batch in as few parts as the memory allows.

What is learned depends on the batch of an optimiser step and on the learning rate that belongs to it, so both stay.
Chosen is how many clips go through the model at once: `accumulate_steps`, which changes memory and time, and which
dropout is drawn for which clip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tubelet.data import Batch
from tubelet.errors import ConfigError
from tubelet.training.generators import restored_generators
from tubelet.training.memory import available_memory, peak_memory
from tubelet.training.parts import accumulate, active_norms, require_parts_are_exact
from tubelet.training.trainer import Trainer

SHARE = 0.9
"""Of the memory that is free; the rest is for what cannot be foreseen."""


@dataclass(frozen=True)
class Fit:
    """What was chosen.

    Attributes:
        accumulate_steps: parts of a batch.
        note: for the user.
    """

    accumulate_steps: int
    note: str


def fitting(trainer: Trainer) -> Fit:
    """In how many parts a batch of this training goes through the model.

    On a GPU by trying: one clip, two, four, ... until memory runs out. On a CPU, where running out ends the process, by
    measuring what few clips take (`largest_within`).

    Raises:
        ConfigError: not even one clip fits, the device is of a kind whose memory cannot be measured, or the batch does
            not fit and the model has a norm that needs all of it (`require_parts_are_exact`).
    """
    batch_size, most = trainer.config.optimisation.batch_size, trainer.loader.batch_sampler.largest
    kind = trainer.device.type
    if kind == "cuda":
        with leaving_no_trace(trainer):
            largest, reason = _by_trying(trainer, most), "by trying"
    elif kind == "cpu":
        with leaving_no_trace(trainer):
            largest, reason = _by_measuring(trainer, most)
    else:
        raise ConfigError(
            f"batch_size='auto' measures memory on a GPU (cuda) or a CPU, not on {kind}; give accumulate_steps a number"
        )
    if largest < 1:
        raise ConfigError(
            f"not even one clip fits into the memory of {trainer.device} ({reason}); use "
            "activation_checkpointing=True, fewer "
            "or smaller frames, larger tubelets or a smaller model"
        )
    parts = 1 if largest >= most else max(2, -(-batch_size // largest))
    at_once = -(-batch_size // parts)
    if parts > 1:
        require_parts_are_exact(trainer.learner, compiled=trainer.config.runtime.compile, sharded=False)
    whole = "in one part" if parts == 1 else f"in {parts} parts of at most {at_once}"
    return Fit(parts, f"batch_size=auto: batches stay {batch_size} clips and go through the model {whole} ({reason})")


def _by_trying(trainer: Trainer, batch_size: int) -> int:
    """The largest number of clips, a power of two or the whole batch, that a GPU can take."""
    largest, clips = 0, 1
    reserved = [torch.empty(_later(trainer), dtype=torch.uint8, device=trainer.device)]  # so that it is not given away
    total = SHARE * torch.cuda.get_device_properties(trainer.device).total_memory
    while True:
        torch.cuda.reset_peak_memory_stats(trainer.device)
        try:
            _pass(trainer, clips)()
        except torch.cuda.OutOfMemoryError:
            break
        finally:
            trainer.model.zero_grad(set_to_none=True)
        if torch.cuda.max_memory_allocated(trainer.device) > total:
            break
        largest = clips
        if clips == batch_size:
            break
        clips = min(2 * clips, batch_size)
    reserved.clear()
    torch.cuda.empty_cache()
    return largest


def _by_measuring(trainer: Trainer, batch_size: int) -> tuple[int, str]:
    """The largest number of clips that fit into main memory, and why."""

    def peak(clips: int) -> int:
        taken = peak_memory(_pass(trainer, clips))
        trainer.model.zero_grad(set_to_none=True)
        return taken

    budget = SHARE * available_memory() - _later(trainer)
    largest, a_clip = largest_within(budget, batch_size, peak)
    return largest, f"{a_clip / 1e6:,.1f} MB a clip, {max(budget, 0) / 1e6:,.0f} MB free"


def largest_within(budget: float, most: int, peak: Callable[[int], int]) -> tuple[int, float]:
    """How many clips take at most `budget` bytes, without ever trying a number that is expected to take more.

    Each clip adds the same, once there are enough of them for the peak to lie where clips count most. So numbers are
    doubled as long as the next is expected to fit, and the rest is a straight line through the last two.

    Args:
        budget: bytes.
        most: clips that are of use.
        peak: bytes that so many clips take.

    Returns:
        the number, 0 if one clip takes more already; and the bytes that another clip adds.
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


def _later(trainer: Trainer) -> int:
    """Bytes that the optimiser takes with its first step and keeps."""
    learned = sum(parameter.nbytes for parameter in trainer.model.parameters() if parameter.requires_grad)
    return learned * (2 if trainer.config.optimisation.optimiser == "adamw" else 1)


def _pass(trainer: Trainer, clips: int) -> Callable[[], None]:
    """A forward and a backward pass over so many made-up clips, as a training takes them."""
    learner: nn.Module = trainer.learner
    targets = {head: torch.zeros(clips, dtype=torch.int64) for head in trainer.clips.table.classes}

    def loss_of(batch: Batch) -> Tensor:
        with trainer.autocast():
            loss: Tensor = trainer.loss_of(learner(batch.video, None), batch.targets).sum()
        return loss

    def compute() -> None:
        video = torch.zeros(clips, *trainer.clips.video_shape)
        batch = Batch(video, None, targets, torch.arange(clips)).to(trainer.device)
        norms = active_norms(learner)
        if norms and clips < trainer.loader.batch_sampler.largest:
            accumulate([batch], loss_of, norms)
        else:
            loss_of(batch).backward()

    return compute


@contextmanager
def leaving_no_trace(trainer: Trainer) -> Iterator[None]:
    """Put running statistics, gradients and torch's generators back afterwards: what is tried is not learned."""
    model = trainer.model
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with restored_generators():
        try:
            yield
        finally:
            model.zero_grad(set_to_none=True)
            with torch.no_grad():
                for name, buffer in model.named_buffers():
                    buffer.copy_(buffers[name])
