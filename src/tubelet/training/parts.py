"""The gradient of a batch that goes through the model in parts, where a BatchNorm needs all clips of it at once.

A plain sum over the parts would be wrong: each part would be normalised by its own mean and variance. So the parts go
through the model several times, and only one of them is in memory at any time. With norms 1, 2, ... in the order in
which a clip meets them:

    for each norm: all parts, as far as the norm, without gradient  ->  mean and variance over the whole batch
    all parts to the loss, and back                                 ->  gradients, also of all means and variances
    for each norm, the last one first: all parts as far as the norm ->  what the weights before it did to its mean and
                                                                        variance, also to those of earlier norms

The method is that of gradient caching (Gao et al., 2021, arXiv 2101.06983). A norm after the encoder makes a step about
three times as long; norms in a stem cost less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tubelet.data import Batch
from tubelet.errors import ConfigError
from tubelet.nn.batch_norm import BatchNorm
from tubelet.training.parallel import Parallel


def active_norms(model: object) -> list[BatchNorm]:
    """The BatchNorms that use, and change, the statistics of a batch. A frozen one does not."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    return [module for module in modules if isinstance(module, BatchNorm) and module.training]


def require_parts_are_exact(model: nn.Module, *, compiled: bool, sharded: bool) -> None:
    """Hold that batches can go through a model in parts and give the gradient of the whole batch.

    Args:
        model: in training mode.
        compiled: whether it is compiled for training.
        sharded: whether each process has a part of it (FSDP).

    Raises:
        ConfigError: they cannot; which modules are in the way, and what to do.
    """
    foreign = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm) and module.training]
    own = [name for name, module in model.named_modules() if isinstance(module, BatchNorm) and module.training]
    remedy = "use accumulate_steps=1 and, to save memory, activation_checkpointing=True or a smaller batch_size"
    if foreign:
        raise ConfigError(
            f"{', '.join(foreign)}: torch's BatchNorm takes its statistics from each part of a batch, so "
            "accumulate_steps above 1 would change what is learned. Replace it by tubelet.nn.BatchNorm, or "
            f"{remedy}"
        )
    for is_in_the_way, setting in ((compiled, "compile=True"), (sharded, "strategy='fsdp'")):
        if own and is_in_the_way:
            raise ConfigError(
                f"{', '.join(own)}: a BatchNorm needs several passes where accumulate_steps is above 1, and "
                f"{setting} cannot do them. Leave {setting} out, or {remedy}"
            )


def require_batches_for_norms(model: nn.Module, batch_size: int, clips: int) -> None:
    """Hold that a BatchNorm gets several clips at once.

    Args:
        model: in training mode.
        batch_size: clips of a step.
        clips: training clips in all.

    Raises:
        ConfigError: it would get a single one.
    """
    kinds = (BatchNorm, _BatchNorm)
    norms = [name for name, module in model.named_modules() if isinstance(module, kinds) and module.training]
    if not norms or min(batch_size, clips) > 1:
        return
    got = f"batch_size={batch_size}" if batch_size == 1 else f"the data has {clips} training video"
    remedy = "use batch_size=2 or more" if batch_size == 1 else "add training videos"
    raise ConfigError(
        f"{', '.join(norms)}: a BatchNorm learns from what tells the clips of a batch apart, and {got}; {remedy}, or a "
        "model without BatchNorm (head_norm='none', embedding='tubelet')"
    )


@dataclass
class _Statistics:
    """Of the whole batch, at one norm: mean and variance [C], with gradients, and how many values a channel has."""

    mean: Tensor
    variance: Tensor
    count: Tensor


class _Reached(Exception):  # noqa: N818  # it is the way out of a pass, no error
    """A pass came to the norm where it was to end."""

    def __init__(self, norm: BatchNorm, inputs: Tensor) -> None:
        super().__init__()
        self.norm, self.inputs = norm, inputs


@dataclass
class _Passes:
    """Passes of the parts of one batch through the model.

    Attributes:
        parts: not empty; one of this process may be a blank clip that counts nothing.
        loss_of_part: forward pass of a part, to its share of the loss of the batch.
        counts: for each part whether it counts.
        parallel: the processes that share the batch.
        seeds: for each part, so that it draws the same dropout in every pass.
        known: statistics by norm, in the order in which clips meet them.
        until: the norm at which a pass ends; None for the first one that is not known.
    """

    parts: Sequence[Batch]
    loss_of_part: Callable[[Batch], Tensor]
    counts: Sequence[bool]
    parallel: Parallel
    seeds: Sequence[int]
    known: dict[BatchNorm, _Statistics] = field(default_factory=dict)
    until: BatchNorm | None = None

    def at_norm(self, norm: BatchNorm, inputs: Tensor) -> Tensor:
        """What the norm does during a pass."""
        statistics = self.known.get(norm)
        if statistics is None or norm is self.until:
            raise _Reached(norm, inputs)
        return norm.normalise(inputs, statistics.mean, statistics.variance)

    def gather(self) -> bool:
        """Compute the statistics of the next norm; False if there is none."""
        norm, found = None, []
        for number in range(len(self.parts)):
            with torch.no_grad():
                reached = self._as_far_as_a_norm(number)
            if reached is None:
                return False
            norm = reached.norm
            variance, mean = torch.var_mean(reached.inputs.float(), dim=_but_channels(reached.inputs), correction=0)
            values = reached.inputs.numel() // reached.inputs.shape[1] * self.counts[number]
            found.append((mean.new_tensor([values]), mean, variance))
        assert norm is not None
        counts, means, variances = (torch.stack(column) for column in zip(*found, strict=True))
        count, mean = self._sums(counts, counts * means)
        mean = mean / count
        (variance,) = self._sums(counts * (variances + (means - mean).square()))
        self.known[norm] = _Statistics(mean.requires_grad_(), (variance / count).requires_grad_(), count)
        return True

    def through_the_model(self) -> Tensor:
        """The loss of the parts of this process, after a backward pass as far as the statistics and the weights."""
        self.until = None
        losses = []
        for number, part in enumerate(self.parts):
            torch.manual_seed(self.seeds[number])
            loss = self.loss_of_part(part) * float(self.counts[number])
            loss.backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def through_statistics(self, norm: BatchNorm) -> None:
        """The backward pass from the statistics of a norm, whose gradients are complete, to what they come from."""
        statistics = self.known[norm]
        if statistics.mean.grad is None or statistics.variance.grad is None:
            return  # the loss does not depend on what the norm gives
        to_mean, to_variance = statistics.mean.grad / statistics.count, statistics.variance.grad / statistics.count
        self.parallel.sum(to_mean)
        self.parallel.sum(to_variance)
        self.until = norm
        for number, counts in enumerate(self.counts):
            reached = self._as_far_as_a_norm(number) if counts else None
            if reached is not None and reached.inputs.requires_grad:
                inputs = reached.inputs
                with torch.no_grad():
                    apart = inputs.float() - norm.per_channel(inputs, statistics.mean)
                    gradient = norm.per_channel(inputs, to_mean) + 2 * norm.per_channel(inputs, to_variance) * apart
                inputs.backward(gradient.to(inputs.dtype))

    def _as_far_as_a_norm(self, number: int) -> _Reached | None:
        torch.manual_seed(self.seeds[number])
        try:
            self.loss_of_part(self.parts[number])
        except _Reached as reached:
            return reached.with_traceback(None)  # its frames hold what the pass made
        return None

    def _sums(self, *columns: Tensor) -> list[Tensor]:
        """Each [parts, n] added up over the parts of all processes."""
        sums = [column.sum(dim=0) for column in columns]
        for one in sums:
            self.parallel.sum(one)
        return sums


def accumulate(
    parts: Sequence[Batch],
    loss_of_part: Callable[[Batch], Tensor],
    norms: Sequence[BatchNorm],
    *,
    counts: Sequence[bool] | None = None,
    parallel: Parallel | None = None,
) -> Tensor:
    """Add the gradient of a batch to that of the parameters, and its statistics to the running ones of the norms.

    Gradients are those of the clips of this process, through the statistics of the batch of all processes.

    Args:
        parts: of the batch, in this process; each holds a clip at least.
        loss_of_part: forward pass of a part, to its share of the loss of the batch.
        norms: of the model (`active_norms`).
        counts: for each part whether its clips count; None if all do.
        parallel: the processes that share the batch, all of which have to call this.

    Returns:
        the loss of the parts of this process, a number without gradient.
    """
    seeds = torch.randint(2**62, (len(parts),)).tolist()
    passes = _Passes(parts, loss_of_part, counts or [True] * len(parts), parallel or Parallel(), seeds)
    with _taken_over(norms, passes.at_norm):
        while len(passes.known) < len(norms) and passes.gather():
            pass
        loss = passes.through_the_model()
        for norm in reversed(passes.known):
            passes.through_statistics(norm)
    finite = bool(torch.isfinite(loss))
    for norm, statistics in passes.known.items() if finite else ():
        norm.update_statistics(statistics.mean.detach(), statistics.variance.detach(), statistics.count)
    return loss


@contextmanager
def _taken_over(norms: Sequence[BatchNorm], at_norm: Callable[[BatchNorm, Tensor], Tensor]) -> Iterator[None]:
    """Inside the `with`, each norm asks `at_norm` for what comes out of it."""
    for norm in norms:
        norm.forward_in_parts = at_norm
    try:
        yield
    finally:
        for norm in norms:
            norm.forward_in_parts = None


def _but_channels(inputs: Tensor) -> list[int]:
    return [axis for axis in range(inputs.ndim) if axis != 1]
