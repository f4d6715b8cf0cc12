"""A training step of model 1 beside Hugging Face's ViViT with SDPA: steps in turn, of a process each.

    python -m benchmarks.training_step                     B/16x2, 16 frames of 224 x 224, batch 1, float32, SGD, CPU
    python -m benchmarks.training_step --layers 2 --json FILE
    python -m benchmarks.training_step --preset large --frames 128 --memory-of "tubelet, checkpointing" --steps 1

Both start from the same weights; before anything is timed, their logits, losses and gradients of the head are compared.
Time and peak memory are of the same steps. Ours is there plainly, with activation checkpointing, with the step of each
weight in the backward pass, and with both.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmarks.figures import append
from benchmarks.measure import DIMS, Entry, as_json, in_turn, peak_gigabytes, ratio, spread
from benchmarks.ours import arguments, build, described
from benchmarks.peers import transformers_vivit
from benchmarks.sides import Side, serve
from torch import Tensor, nn

from tubelet.config import cost
from tubelet.device import autocast
from tubelet.fast import optimise
from tubelet.fast.model import source_of
from tubelet.model import ViViT
from tubelet.training.optimiser_in_backward import OptimiserInBackward

OURS = PLAIN, LEAN, EARLY, LEANEST = (
    "tubelet",
    "tubelet, checkpointing",
    "tubelet, step in backward",
    "tubelet, checkpointing, step in backward",
)
PEER, BFLOAT16 = "transformers", "tubelet, bfloat16"
SIDES = (*OURS, PEER, BFLOAT16)
TOLERANCE = 1e-4


def main() -> None:
    """Compare, time, print."""
    options = _options()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    if options.serve:
        serve(_step(options, options.serve))
        return
    if options.memory_of:
        print(json.dumps(_memory(options)))
        return
    model = build(options, "1").train()
    peer = transformers_vivit(model)
    if peer is None:
        raise SystemExit("nothing to compare with")
    print(_compare(model, peer.train(), *batch_of_one(options)))
    adds = 3 * cost(model.config).multiply_adds
    del model, peer
    entries, sides = [], []
    with ExitStack() as stack:
        for name in SIDES if options.bfloat16 else (*OURS, PEER):
            side = stack.enter_context(Side("benchmarks.training_step", [*arguments(options), "--serve", name]))
            known = None if name == BFLOAT16 else adds  # the matrix rate is of float32
            entries.append(Entry(name, side.run, known, cpu_clock=partial(getattr, side, "cpu_seconds")))
            sides.append(side)
        in_turn(entries, options.rounds, DIMS[options.preset])
    for entry, side in zip(entries, sides, strict=True):
        entry.note = f"{side.peak_gigabytes:.2f}"
    print(_table(entries, options))
    if options.csv:
        peaks = {entry.name: side.peak_gigabytes for entry, side in zip(entries, sides, strict=True)}
        append(Path(options.csv), "benchmarks.training_step", entries, peaks)
    if options.json:
        Path(options.json).write_text(as_json(options, entries))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step", description="A training step")
    parser.add_argument("--preset", default="base", choices=DIMS)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--layers", type=int, default=0, help="0: as many as the preset has")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--bfloat16", action="store_true", help="ours with products of that type, too")
    parser.add_argument("--json", default="", help="write every figure to this file too")
    parser.add_argument("--csv", default="", help="add a row for each to this file")
    parser.add_argument("--memory-of", default="", choices=("", *SIDES), help="steps of this alone, and their peak")
    parser.add_argument(
        "--steps", type=int, default=2, help="of --memory-of; the second has what the first left behind"
    )
    parser.add_argument("--serve", default="", choices=("", *SIDES), help=argparse.SUPPRESS)
    return parser.parse_args()


def batch_of_one(options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """A made-up clip and its class."""
    return torch.randn(1, options.frames, 3, options.size, options.size), torch.tensor([3])


def _logits(model: nn.Module, video: Tensor) -> Tensor:
    given: Any = model(video)
    return given if isinstance(given, Tensor) else given.logits


def sgd_step(
    model: nn.Module,
    video: Tensor,
    target: Tensor,
    checkpointing: bool = False,
    dtype: torch.dtype = torch.float32,
    early: bool = False,
) -> Callable[[], None]:
    """One step of SGD; the learning rate is so small that the thousandth step costs what the first does."""
    form = optimise(model, training=True) if type(model) is ViViT else model
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-6)
    within = OptimiserInBackward(optimiser) if early else None

    def step() -> None:
        if isinstance(model, ViViT):
            source_of(model).set_checkpointing(checkpointing)
        with autocast(video.device, dtype):
            loss = nn.functional.cross_entropy(_logits(form, video), target)
        loss.backward()
        if within is None:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        else:
            within.gradient_norm()

    return step


def _step(options: argparse.Namespace, name: str) -> Callable[[], None]:
    """A step of one side."""
    model: Any = build(options, "1")
    if name == PEER:
        model = transformers_vivit(model)
    dtype = torch.bfloat16 if name == BFLOAT16 else torch.float32
    checkpointing, early = name in (LEAN, LEANEST), name in (EARLY, LEANEST)
    return sgd_step(model.train(), *batch_of_one(options), checkpointing=checkpointing, dtype=dtype, early=early)


def _memory(options: argparse.Namespace) -> dict[str, float]:
    """Some steps of one side alone."""
    step = _step(options, options.memory_of)
    before = peak_gigabytes()
    for _ in range(options.steps):
        step()
    return {"before": before, "peak_gigabytes": peak_gigabytes()}


def _compare(model: ViViT, peer: nn.Module, video: Tensor, target: Tensor) -> str:
    """Stop unless both compute the same thing."""
    found = []
    for each in (model, peer):
        logits = _logits(each, video)
        loss = nn.functional.cross_entropy(logits, target)
        loss.backward()
        heads = [parameter.grad for name, parameter in each.named_parameters() if name in HEADS]
        found.append(
            (logits.detach(), loss.detach(), torch.cat([grad.flatten() for grad in heads if grad is not None]))
        )
        each.zero_grad(set_to_none=True)
    differences = [float((ours - theirs).abs().max()) for ours, theirs in zip(*found, strict=True)]
    if max(differences) > TOLERANCE:
        raise SystemExit(f"logits, loss and gradient of the head differ by {differences}, more than {TOLERANCE}")
    return "same weights: logits, loss and gradient of the head differ by at most " + f"{max(differences):.1e}"


HEADS = {"head.weight", "head.bias", "classifier.weight", "classifier.bias"}


def _table(entries: list[Entry], options: argparse.Namespace) -> str:
    ours, (peer, *rest) = entries[: len(OURS)], entries[len(OURS) :]
    lines = [
        described(options, "batch 1, float32, SGD"),
        "",
        "| | seconds a step, median (min-max) | CPU seconds | of matrix rate | peak memory, GB |",
        "|---|---|---|---|---|",
    ]
    for entry in entries:
        rates = spread(entry.rates) if entry.rates else ""
        lines.append(
            f"| {entry.name} | {spread(entry.seconds)} | {spread(entry.cpu_seconds)} | {rates} | {entry.note} |"
        )
    ratios = [ratio(peer, entry) for entry in ours] + [ratio(ours[0], entry) for entry in rest]
    shares = [f"{entry.name} {float(entry.note) / float(peer.note):.2f}" for entry in ours]
    return "\n".join([*lines, "", *ratios, f"peak memory, of that of {peer.name}: {'; '.join(shares)}"])


if __name__ == "__main__":
    main()
