"""One step of training."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.data import Batch
from tubelet.errors import TubeletError
from tubelet.nn.batch_norm import BatchNorm
from tubelet.training.optimiser import set_learning_rate
from tubelet.training.optimiser_in_backward import OptimiserInBackward
from tubelet.training.parallel import Parallel, whole
from tubelet.training.parts import accumulate, active_norms
from tubelet.training.sync import StepInfo


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


@dataclass(frozen=True)
class TrainingStep:
    """Changes the weights by the gradient of the mean loss over a batch; made once for a training.

    The batch goes through the model in `accumulate_steps` parts. The loss of each is its sum divided by the clips of
    the whole batch, of all processes if there are several, so that the gradient is that of the whole batch, however
    uneven the parts; a BatchNorm has the statistics of the whole batch, too (`parts.py`). What is drawn at random in
    the model, such as dropout, is drawn for each part anew. All processes take as many parts; one that has no clips
    left sends a blank one through the model, whose loss counts nothing.

    Attributes:
        model: in training mode; as the engine of several processes or a compiler wraps it.
        optimiser: over the model's parameters, gradients cleared. Each group multiplies the learning rate by its own
            factor.
        losses: model and batch to the loss of each clip [B].
        accumulate_steps: parts of a batch. A larger batch than usual has a part more.
        batch_size: the usual one; None if all are.
        clip_norm: gradients of a larger norm are scaled down to it.
        autocast: makes the context of the forward pass.
        parallel: the processes that take a step together.
        in_backward: changes each parameter during the backward pass, of one part in one process, without clipping.
    """

    model: Callable[..., Any]
    optimiser: torch.optim.Optimizer
    losses: Callable[[Callable[..., Any], Batch], Tensor]
    accumulate_steps: int = 1
    batch_size: int | None = None
    clip_norm: float | None = None
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext
    parallel: Parallel = field(default_factory=Parallel)
    in_backward: OptimiserInBackward | None = None

    def run(self, batch: Batch, learning_rate: float, info: StepInfo | None = None) -> StepResult:
        """Take a step.

        Args:
            batch: of this process, on the model's device; one process has a clip at least.
            learning_rate: of this step.
            info: of the batch of all processes; None for one process alone.

        Raises:
            DivergedError: loss or gradient are not finite; nothing was changed. With `in_backward` a finite loss may
                have had gradients that are not, and weights were changed by them.
        """
        info = info or StepInfo(len(batch), len(batch))
        parts = list(_parts(batch, min(self.parts_of(info.clips), info.largest)))
        set_learning_rate(self.optimiser, learning_rate)

        def loss_of_part(part: Batch) -> Tensor:
            with self.autocast():
                return self.losses(self.model, part if len(part) else _blank(part)).sum() / info.clips

        norms = active_norms(self.model) if len(parts) > 1 else []
        if norms:
            total = self._through_whole_norms(parts, loss_of_part, norms)
        else:
            total = self._one_by_one(parts, loss_of_part)
        self.parallel.sum(total)
        norm = self._gradient_norm()
        result = StepResult(total.item(), norm.item(), learning_rate)
        if not (torch.isfinite(total) and torch.isfinite(norm)):
            self.optimiser.zero_grad(set_to_none=True)
            raise DivergedError(f"loss {result.loss:g}, gradient norm {result.gradient_norm:g}")
        if self.in_backward is None:
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
        return result

    def parts_of(self, clips: int) -> int:
        """In how many parts so many clips, of all processes, go through the model.

        A batch with a clip more than usual (`EpochBatches.even_end`) has a part more, so that no part is larger.
        """
        larger = self.batch_size is not None and clips > self.batch_size
        return self.accumulate_steps + (larger and self.accumulate_steps > 1)

    def _one_by_one(self, parts: Sequence[Batch], loss_of_part: Callable[[Batch], Tensor]) -> Tensor:
        """Forward and backward pass of each part; returns the loss of this process's clips."""
        processes, losses = self.parallel.world.size, []
        for number, part in enumerate(parts, 1):
            with self.parallel.part(counts=len(part) > 0, last=number == len(parts)):
                loss = loss_of_part(part) * (processes if len(part) else 0)  # gradients are averaged over processes
                if self.in_backward is not None:
                    _require_finite(loss)
                loss.backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum() / processes

    def _through_whole_norms(
        self, parts: Sequence[Batch], loss_of_part: Callable[[Batch], Tensor], norms: Sequence[BatchNorm]
    ) -> Tensor:
        """The same where each part has to be normalised with the statistics of the whole batch."""
        filled = [part for part in parts if len(part)] or parts[:1]
        counts = [len(part) > 0 for part in filled]
        with self.parallel.separately():
            total = accumulate(filled, loss_of_part, norms, counts=counts, parallel=self.parallel)
        self.parallel.sum_gradients()
        return total

    def _gradient_norm(self) -> Tensor:
        """Of all parameters; gradients above `clip_norm` are clipped."""
        if self.in_backward is not None:
            return self.in_backward.gradient_norm()
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        most = float("inf") if self.clip_norm is None else self.clip_norm
        return whole(nn.utils.clip_grad_norm_(parameters, most))


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
    return Batch(video, None, targets, batch.indices.new_zeros(1))
