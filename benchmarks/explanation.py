"""What a map costs beside a forward pass and a training step: balanced gradients of one clip.

    python -m benchmarks.explanation                        B/16x2, model 1, 32 frames of 224 x 224, batch 1, CPU
    python -m benchmarks.explanation --layers 2 --rounds 5
    python -m benchmarks.explanation --model 3 --methods balanced balanced_tokens rollout

Times are of a forward pass and of each method in turn, in one process. Peak memory is of a process each, over what the
process had when the model was built; that of a training step (plain, SGD, batch 1) is beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

import torch
from benchmarks.measure import DIMS, Entry, in_a_process, in_turn, peak_gigabytes, spread
from benchmarks.ours import VARIANTS, arguments, build, described
from benchmarks.training_step import sgd_step

from tubelet.explanation.methods import METHODS, method_of
from tubelet.explanation.target import Target

FORWARD, STEP = "forward pass", "training step"
TARGET = Target("label", 3, "3")


def main() -> None:
    """Time, measure memory, print."""
    options = _options()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    if options.memory_of:
        run = _run(options, options.memory_of)
        before = peak_gigabytes()
        run()
        print(json.dumps({"before": before, "peak_gigabytes": peak_gigabytes()}))
        return
    entries = [Entry(name, _run(options, name)) for name in (FORWARD, *options.methods)]
    in_turn(entries, options.rounds, DIMS[options.preset])
    print(described(options, f"model {options.model}, batch 1, float32"), "", sep="\n")
    print("| | seconds, median (min-max) | forward passes, wall | forward passes, CPU time | peak memory, GB |")
    print("|---|---|---|---|---|")
    forward, words = entries[0], [*arguments(options), f"--model={options.model}"]
    for entry in entries:
        wall = statistics.median(entry.seconds) / statistics.median(forward.seconds)
        cpu = statistics.median(entry.cpu_seconds) / statistics.median(forward.cpu_seconds)
        print(f"| {entry.name} | {spread(entry.seconds)} | {wall:.2f} | {cpu:.2f} | {_memory(words, entry.name)} |")
    print(f"| {STEP} | | | | {_memory(words, STEP)} |")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explanation", description="What a map costs.")
    parser.add_argument("--preset", default="base", choices=DIMS)
    parser.add_argument("--model", default="1", choices=VARIANTS)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--layers", type=int, default=0, help="0: as many as the preset has")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--methods", nargs="*", default=["balanced_tokens", "balanced"], choices=METHODS)
    parser.add_argument("--memory-of", default="", choices=("", FORWARD, STEP, *METHODS), help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(options: argparse.Namespace, name: str) -> Callable[[], Any]:
    """A forward pass, a training step or a method, on a clip of noise."""
    model, video = build(options, options.model), torch.randn(1, options.frames, 3, options.size, options.size)
    if name == STEP:
        return sgd_step(model.train(), video, torch.tensor([3]))
    model.eval()
    if name == FORWARD:
        return torch.inference_mode()(lambda: model(video))
    method = method_of(name)
    return lambda: method(model, video, None, TARGET, lambda done, total: None)


def _memory(words: list[str], name: str) -> str:
    found = in_a_process("benchmarks.explanation", [*words, "--memory-of", name])
    return f"{found['peak_gigabytes'] - found['before']:.2f}"


if __name__ == "__main__":
    main()
