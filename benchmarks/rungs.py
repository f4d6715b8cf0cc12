"""What each change for speed brings: a model beside itself with one of them taken out.

    python -m benchmarks.rungs                      `tubelet.optimise` of models 1 to 4, B/16x2, 32 frames, two layers
    python -m benchmarks.rungs --models 3 --layers 0
    python -m benchmarks.rungs --training           a training step of the models, of as many frames

All are timed in turn. Taking one out must not change the logits, or a gradient, by more than rounding, or the benchmark
stops. A change that a model has no use for is left out of its table.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import torch.nn.functional as F
from benchmarks.measure import DIMS, Entry, in_turn, spread
from benchmarks.ours import ROUNDING, build, described, difference
from benchmarks.training_step import batch_of_one, sgd_step
from torch import Tensor, nn

from tubelet.fast import attention, linear, optimise, optimised, tiles, training
from tubelet.fast.blocks import FastEncoder
from tubelet.nn.activations import Activation
from tubelet.nn.encoder import Encoder


class Patch(NamedTuple):
    """What stands where in a module, or a class, without the change."""

    where: Any
    name: str
    value: Any


@dataclass(frozen=True)
class Rung:
    """A change, and how to do without it.

    Attributes:
        name: for the table.
        models: those that it changes.
        before: what to put in the place of what.
    """

    name: str
    models: str
    before: tuple[Patch, ...]

    def without(self, what: Callable[[], Any]) -> Any:
        """What comes out where models compute as before the change."""
        with ExitStack() as stack:
            for part in self.before:
                stack.enter_context(patch.object(*part))
            return what()


def _library_activation(x: Tensor, bias: Tensor, activation: Activation) -> None:
    x.copy_(activation(x.add_(bias)))


def _product_then_sum(x: Tensor, linear: nn.Linear, parts: Sequence[Tensor]) -> None:
    x.add_(F.linear(torch.cat(tuple(parts), dim=-1), linear.weight, linear.bias).view_as(x))


LAST_BLOCK = Rung(
    "the last block computes the class token alone",
    "12",
    (Patch(FastEncoder, "pooled", Encoder.pooled),),
)

OF_TRAINING = (
    Rung(
        "the activation as a sigmoid, some tokens at a time",
        "1234",
        (Patch(linear, "activated", lambda x, activation: activation(x)),),
    ),
    Rung("in long sequences each head's rows together", "1", (Patch(linear, "LONG", 2**62),)),
    Rung(
        "linear layers with a backward pass of their own, and what they bring",
        "1234",
        (Patch(training.TrainingBlock, "pays", lambda self, x: False),),
    ),
    LAST_BLOCK,
)

OF_INFERENCE = (
    Rung(
        "the activation as a sigmoid, in place, 64 tokens at a time with the bias",
        "1234",
        (Patch(optimised, "activate", _library_activation),),
    ),
    Rung("everything in tiles of at most 1,600 tokens", "1234", (Patch(tiles, "TILE_TOKENS", 2**62),)),
    Rung(
        "in long sequences query, key and value from one product, laid out for attention when the bias is added",
        "1",
        (Patch(attention, "LONG", 2**62),),
    ),
    LAST_BLOCK,
    Rung(
        "output products add to the residual in place",
        "1234",
        (Patch(optimised, "add_product", _product_then_sum), Patch(attention, "add_product", _product_then_sum)),
    ),
)


def main() -> None:
    """Parse, time, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rungs", description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="1234", help="which of our models, e.g. 12")
    parser.add_argument("--preset", default="base", choices=DIMS)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--layers", type=int, default=2, help="0: as many as the preset has")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is timed")
    parser.add_argument("--training", action="store_true", help="a training step, not the optimised model")
    options = parser.parse_args()
    how = "a step of SGD" if options.training else "optimised"
    print(described(options, f"{how}, float32, batch 1"))
    for number in options.models:
        torch.manual_seed(0)
        print(_of_training(options, number) if options.training else _of_inference(options, number), flush=True)


def _of_inference(options: argparse.Namespace, number: str) -> str:
    model = optimise(build(options, number).eval())
    video, _ = batch_of_one(options)
    with torch.inference_mode():
        return _ladder(options, number, OF_INFERENCE, lambda: model(video), lambda: model(video))


def _of_training(options: argparse.Namespace, number: str) -> str:
    model = optimise(build(options, number).train(), training=True)
    video, target = batch_of_one(options)
    parameters = list(model.parameters())

    def gradients() -> Tensor:
        found = torch.autograd.grad(F.cross_entropy(model(video), target), parameters)
        return torch.cat([gradient.flatten() / gradient.norm() for gradient in found])

    return _ladder(options, number, OF_TRAINING, sgd_step(model, video, target), gradients)


def _ladder(
    options: argparse.Namespace,
    number: str,
    rungs: Sequence[Rung],
    run: Callable[[], Any],
    outcome: Callable[[], Tensor],
) -> str:
    rungs = [rung for rung in rungs if number in rung.models]
    expected = outcome()
    for rung in rungs:
        difference(rung.without(outcome), expected, ROUNDING, f"without “{rung.name}” ")
    entries = [Entry("all of them", run)]
    entries += [Entry(rung.name, partial(rung.without, run)) for rung in rungs]
    in_turn(entries, options.rounds, DIMS[options.preset])
    lines = ["", f"| model {number} | seconds | CPU seconds | without / with (CPU) |", "|---|---|---|---|"]
    for entry in entries:
        label = entry.name if entry is entries[0] else f"without: {entry.name}"
        turns = zip(entry.cpu_seconds, entries[0].cpu_seconds, strict=True)
        share = "" if entry is entries[0] else f"{statistics.median(one / other for one, other in turns):.3f}"
        lines.append(f"| {label} | {spread(entry.seconds)} | {spread(entry.cpu_seconds)} | {share} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
