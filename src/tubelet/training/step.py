"""One step of training."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.config import OptimisationConfig
from tubelet.data import Batch
from tubelet.errors import TubeletError
from tubelet.nn.batch_norm import BatchNorm
from tubelet.training.early_step import StepInBackward
from tubelet.training.optimiser import set_learning_rate
from tubelet.training.parallel import Parallel, whole
from tubelet.training.parts import accumulate, active_norms
from tubelet.training.together import Agreement


class DivergedError(TubeletError):
    """The loss or the gradient is not a finite number any more.

    The weights are those before the step, unless it was taken in the backward pass and the loss was finite.
    """

    exit_code = 1


@dataclass(frozen=True)
class StepResult:
    """What a step did.

    Attributes:
        loss: mean over the clips of the batch.
        gradient_norm: of all parameters together, before clipping.
        learning_rate: that was used.
    """

    loss: float
    gradient_norm: float
    learning_rate: float


def training_step(
    model: Callable[..., Any],
    batch: Batch,
    optimiser: torch.optim.Optimizer,
    loss_of: Callable[[Any, dict[str, Tensor]], Tensor],
    *,
    learning_rate: float,
    accumulate_steps: int = 1,
    clip_norm: float | None = None,
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
    parallel: Parallel | None = None,
    agreement: Agreement | None = None,
    early: StepInBackward | None = None,
) -> StepResult:
    """Change the weights by the gradient of the mean loss over the batch.

    The batch goes through the model in `accumulate_steps` parts. The loss of each is its sum divided by the clips of
    the whole batch, of all processes if there are several, so that the gradient is that of the whole batch, however
    uneven the parts; a BatchNorm has the statistics of the whole batch, too (`train/parts.py`). What is drawn at random
    in the model, such as dropout, is drawn for each part anew. All processes take as many parts; one that has no clips
    left sends a blank one through the model, whose loss counts nothing.

    Args:
        model: video and frame mask to logits; in training mode.
        batch: on the model's device, with at least one clip in one of the processes.
        optimiser: over the model's parameters, gradients cleared.
        loss_of: logits and targets to the loss of each clip [B].
        learning_rate: of this step; each group of the optimiser multiplies it by its own factor.
        accumulate_steps: how many parts.
        clip_norm: gradients of a larger norm are scaled down to it.
        autocast: makes the context of the forward pass.
        parallel: the processes that take this step together.
        agreement: what they agreed on; None for one process alone.
        early: takes the step of each parameter during the backward pass, of one part in one process, without clipping.

    Raises:
        DivergedError: loss or gradient are not finite; nothing was changed. With `early` a finite loss may have had
            gradients that are not, and weights were changed by them.
    """
    parallel = parallel or Parallel()
    clips, largest = (agreement.clips, agreement.largest) if agreement is not None else (len(batch), len(batch))
    parts = list(_parts(batch, min(accumulate_steps, largest)))
    set_learning_rate(optimiser, learning_rate)

    def loss_of_part(part: Batch) -> Tensor:
        with autocast():
            counted = part if len(part) else _blank(part)
            return loss_of(model(counted.video, counted.frame_mask), counted.targets).sum() / clips

    norms = active_norms(model) if len(parts) > 1 else []
    if norms:
        total = _through_whole_norms(parts, loss_of_part, norms, parallel)
    else:
        total = _one_by_one(parts, loss_of_part, parallel, early)
    parallel.sum(total)
    if early is not None:
        norm = early.gradient_norm()
    else:
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        norm = whole(nn.utils.clip_grad_norm_(parameters, clip_norm if clip_norm is not None else float("inf")))
    result = StepResult(total.item(), norm.item(), learning_rate)
    if not (torch.isfinite(total) and torch.isfinite(norm)):
        optimiser.zero_grad(set_to_none=True)
        raise DivergedError(f"loss {result.loss:g}, gradient norm {result.gradient_norm:g}")
    if early is None:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return result


def number_of_parts(optimisation: OptimisationConfig, clips: int) -> int:
    """In how many parts a batch goes through the model.

    One with a clip more than usual (`EpochBatches.even_end`) has a part more, so that no part is larger than usual.

    Args:
        optimisation: says how many.
        clips: in the batch, of all processes.
    """
    usual = optimisation.accumulate_steps
    return usual + 1 if usual > 1 and clips > optimisation.batch_size else usual


def _one_by_one(
    parts: Sequence[Batch], loss_of_part: Callable[[Batch], Tensor], parallel: Parallel, early: StepInBackward | None
) -> Tensor:
    """Forward and backward pass of each part; returns the loss of this process's clips."""
    losses = []
    for number, part in enumerate(parts, 1):
        with parallel.part(counts=len(part) > 0, last=number == len(parts)):
            loss = loss_of_part(part) * (
                parallel.world.size if len(part) else 0
            )  # gradients are averaged over processes
            if early is not None:
                _require_finite(loss)
            loss.backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum() / parallel.world.size


def _through_whole_norms(
    parts: Sequence[Batch], loss_of_part: Callable[[Batch], Tensor], norms: Sequence[BatchNorm], parallel: Parallel
) -> Tensor:
    """The same where each part has to be normalised with the statistics of the whole batch."""
    filled = [part for part in parts if len(part)] or parts[:1]
    with parallel.separately():
        total = accumulate(filled, loss_of_part, norms, counts=[len(part) > 0 for part in filled], parallel=parallel)
    parallel.sum_gradients()
    return total


def _require_finite(loss: Tensor) -> None:
    if not torch.isfinite(loss):
        raise DivergedError(f"loss {loss.item():g}")


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Let everything random in the model during a step (dropout, drop-path) depend on the seed and the step alone.

    So a resumed training draws what the undisturbed one would have drawn, and no generator's state need be stored. Each
    process of several draws its own.
    """
    parts = (seed, step, rank) if rank else (seed, step)
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    torch.manual_seed(int.from_bytes(digest, "little") >> 1)


def _parts(batch: Batch, count: int) -> Iterator[Batch]:
    """The batch in `count` parts that differ by at most one clip, the last ones empty if there are not enough."""
    if count == 1:
        yield batch
        return
    size, extra = divmod(len(batch), count)
    first = 0
    for number in range(count):
        part = slice(first, first + size + (number < extra))
        first = part.stop
        yield Batch(
            batch.video[part],
            None if batch.frame_mask is None else batch.frame_mask[part],
            {head: target[part] for head, target in batch.targets.items()},
            batch.indices[part],
        )


def _blank(batch: Batch) -> Batch:
    """One clip of zeros, of the first classes, in the shape of the batch's."""
    video = batch.video.new_zeros(1, *batch.video.shape[1:])
    targets = {head: target.new_zeros(1, *target.shape[1:]) for head, target in batch.targets.items()}
    return Batch(video, None, targets, batch.indices)
