"""What each change that `tubelet.optimise` makes brings: the optimised model beside itself with one of them taken out.

    python -m benchmarks.rungs                      models 1 to 4, B/16x2, 32 frames of 224 x 224, two layers of each
    python -m benchmarks.rungs --models 3 --layers 0

All are timed in turn. Taking one out must not change the logits by more than rounding, or the benchmark stops. A change
that a model has no use for is left out of its table.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import torch.nn.functional as F
from benchmarks.measure import DIMS, Entry, in_turn, spread
from benchmarks.ours import ROUNDING, build, described, difference
from torch import Tensor, nn

from tubelet.inference import attention, optimise, optimised, pieces
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

    @contextmanager
    def taken_out(self) -> Iterator[None]:
        """Inside, optimised models compute as before the change."""
        with ExitStack() as stack:
            for part in self.before:
                stack.enter_context(patch.object(*part))
            yield


def _library_activation(x: Tensor, bias: Tensor, activation: Activation) -> None:
    x.copy_(activation(x.add_(bias)))


def _product_then_sum(x: Tensor, linear: nn.Linear, parts: Sequence[Tensor]) -> None:
    x.add_(F.linear(torch.cat(tuple(parts), dim=-1), linear.weight, linear.bias).view_as(x))


RUNGS = (
    Rung(
        "the activation as a sigmoid, in place, 64 tokens at a time with the bias",
        "1234",
        (Patch(optimised, "activate", _library_activation),),
    ),
    Rung("everything in pieces of at most 1,600 tokens", "1234", (Patch(pieces, "ROWS", 2**62),)),
    Rung(
        "in long sequences query, key and value from one product, laid out for attention when the bias is added",
        "1",
        (Patch(attention, "LONG", 2**62),),
    ),
    Rung(
        "the last block computes the class token alone",
        "12",
        (Patch(Encoder, "_reads_the_first_alone", lambda self: False),),
    ),
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
    options = parser.parse_args()
    print(described(options, "float32, batch 1"))
    with torch.inference_mode():
        for number in options.models:
            print(_ladder(options, number), flush=True)


def _ladder(options: argparse.Namespace, number: str) -> str:
    torch.manual_seed(0)
    model = optimise(build(options, number).eval())
    video = torch.randn(1, options.frames, 3, options.size, options.size)
    logits = model(video)

    def without(rung: Rung) -> Tensor:
        with rung.taken_out():
            return model(video)

    rungs = [rung for rung in RUNGS if number in rung.models]
    for rung in rungs:
        difference(without(rung), logits, ROUNDING, f"without “{rung.name}” ")
    entries = [Entry("all of them", lambda: model(video))]
    entries += [Entry(rung.name, lambda rung=rung: without(rung)) for rung in rungs]
    in_turn(entries, options.rounds, DIMS[options.preset])
    lines = ["", f"| model {number} | seconds a clip | CPU seconds | without / with (CPU) |", "|---|---|---|---|"]
    for entry in entries:
        label = entry.name if entry is entries[0] else f"without: {entry.name}"
        turns = zip(entry.cpu_seconds, entries[0].cpu_seconds, strict=True)
        share = "" if entry is entries[0] else f"{statistics.median(one / other for one, other in turns):.3f}"
        lines.append(f"| {label} | {spread(entry.seconds)} | {spread(entry.cpu_seconds)} | {share} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
