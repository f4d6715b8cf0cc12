"""Inference of the four models beside their peers, against the machine's rate of a large matrix product.

    python -m benchmarks                                        B/16x2, 32 frames of 224 x 224, as in the paper
    python -m benchmarks --preset small --frames 16 --json FILE

Everything is timed in turn, A B C A B C ..., so that a machine whose speed drifts treats all alike; medians are shown.
`of matrix rate` is 2 x multiply-adds / time over the rate of a [3136, D] x [D, 4 D] product, measured in the same turn.
The multiply-adds are those of the model as it is written down, also where a part of them is left out because nothing
reads it (the last block of a model that pools a class token).
Peers run on the same weights where the model is the same, and the logits are compared.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from benchmarks.figures import append
from benchmarks.measure import DIMS, Entry, as_json, in_a_process, in_turn, peak_gigabytes, ratio, spread
from benchmarks.ours import ROUNDING, arguments, build, described, difference
from benchmarks.peers import torchvision_swin, transformers_vivit, vit_pytorch_vivit
from torch import Tensor, nn

from tubelet.config import ModelConfig, cost
from tubelet.device import autocast
from tubelet.fast import optimise

SWIN = "torchvision swin3d_b"
BFLOAT16 = "tubelet.optimise(bfloat16)"
TOLERANCE = 1e-4


def main() -> None:
    """Parse, time, print."""
    options = _options()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    video = torch.randn(1, options.frames, 3, options.size, options.size)
    with torch.inference_mode():
        if options.memory_of:
            _run(options, options.memory_of, video)
            print(json.dumps(peak_gigabytes()))
            return
        groups = [_group(options, number, video) for number in options.models]
        if options.torchvision:
            swin, channels_first = torchvision_swin().eval(), video.transpose(1, 2)
            groups[0].append(Entry(SWIN, lambda: swin(channels_first), None, "another model of this size"))
        in_turn([entry for group in groups for entry in group], options.rounds, DIMS[options.preset])
    memory = {}
    if options.memory:
        for entry in (entry for group in groups for entry in group):
            memory[entry.name] = in_a_process("benchmarks.inference", [*arguments(options), "--memory-of", entry.name])
    print(_table(groups, options, memory))
    if options.csv:
        append(Path(options.csv), "benchmarks", (entry for group in groups for entry in group), memory)
    if options.json:
        entries = [entry for group in groups for entry in group]
        Path(options.json).write_text(as_json(options, entries, peak_gigabytes=memory))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--preset", default="base", choices=DIMS, help="size of the models (default: base)")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--layers", type=int, default=0, help="0: as many as the preset has")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--models", default="1234", help="which of our models, e.g. 12")
    parser.add_argument("--openvino", action="store_true", help="our models with that backend, too")
    parser.add_argument("--bfloat16", action="store_true", help="our models with products of that type, too")
    parser.add_argument("--torchvision", action="store_true", help="torchvision's model of the size of B, too")
    parser.add_argument("--memory", action="store_true", help="peak memory too, of a process each")
    parser.add_argument("--json", default="", help="write every figure to this file too")
    parser.add_argument("--csv", default="", help="add a row for each to this file")
    parser.add_argument("--memory-of", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _group(options: argparse.Namespace, number: str, video: Tensor) -> list[Entry]:
    """One of the models: as it is, optimised, and a peer."""
    model = build(options, number).eval()
    fast = optimise(model)
    adds = cost(model.config).multiply_adds
    logits = model(video)
    note = _same(fast(video), logits, ROUNDING)
    entries = [
        Entry(f"tubelet model {number}", lambda: model(video), adds),
        Entry(f"tubelet.optimise model {number}", lambda: fast(video), adds, note),
    ]
    if number == "1" and (peer := transformers_vivit(model)) is not None:
        peer = peer.eval()
        note = _same(peer(video).logits, logits, TOLERANCE)
        entries.append(Entry("transformers model 1", lambda: peer(video).logits, adds, note))
    elif (other := _vit_pytorch(model.config)) is not None:
        channels_first = video.transpose(1, 2)
        entries.append(
            Entry(f"vit-pytorch model {number}", lambda: other(channels_first), None, "same size, own weights")
        )
    if options.openvino:
        compiled = optimise(model, backend="openvino")
        note = _same(compiled(video), logits, TOLERANCE)
        entries.append(Entry(f"tubelet.optimise(openvino) model {number}", lambda: compiled(video), adds, note))
    if options.bfloat16:
        apart = float((_in_bfloat16(fast, video) - logits).norm() / logits.norm())
        note = f"same weights, logits differ by {apart:.1%} of their norm"
        entries.append(Entry(f"{BFLOAT16} model {number}", lambda: _in_bfloat16(fast, video), None, note))
    return entries


def _in_bfloat16(model: nn.Module, video: Tensor) -> Tensor:
    """As `tubelet evaluate --precision bfloat16` computes."""
    with autocast(video.device, torch.bfloat16):
        return model(video).float()


def _vit_pytorch(config: ModelConfig) -> nn.Module | None:
    peer = vit_pytorch_vivit(config)
    return None if peer is None else peer.eval()


def _same(logits: Tensor, expected: Tensor, tolerance: float) -> str:
    return f"same weights, logits differ by {difference(logits, expected, tolerance):.1e}"


def _run(options: argparse.Namespace, name: str, video: Tensor) -> Any:
    """One pass of the entry of that name, and nothing else."""
    if name == SWIN:
        return torchvision_swin().eval()(video.transpose(1, 2))
    package, _, number = name.rsplit(" ", 2)
    model = build(options, number).eval()
    if package == "tubelet":
        return model(video)
    if package == "tubelet.optimise":
        return optimise(model)(video)
    if package == "tubelet.optimise(openvino)":
        return optimise(model, backend="openvino")(video)
    if package == BFLOAT16:
        return _in_bfloat16(optimise(model), video)
    peer: Any = transformers_vivit(model) if package == "transformers" else vit_pytorch_vivit(model.config)
    del model
    return peer.eval()(video if package == "transformers" else video.transpose(1, 2))


def _table(groups: list[list[Entry]], options: argparse.Namespace, memory: dict[str, float]) -> str:
    lines = [
        described(options, "float32, batch 1"),
        "",
        "| | seconds a clip, median (min-max) | CPU seconds | of matrix rate | peak memory, GB | |",
        "|---|---|---|---|---|---|",
    ]
    for entry in (entry for group in groups for entry in group):
        rates = spread(entry.rates) if entry.rates else ""
        peak = f"{memory[entry.name]:.2f}" if entry.name in memory else ""
        seconds, cpu = spread(entry.seconds), spread(entry.cpu_seconds)
        lines.append(f"| {entry.name} | {seconds} | {cpu} | {rates} | {peak} | {entry.note} |")
    pairs = [(other, group[1]) for group in groups for other in group if other is not group[1]]
    ratios = [ratio(*(reversed(pair) if pair[0].name.startswith(BFLOAT16) else pair)) for pair in pairs]
    return "\n".join([*lines, "", *ratios])


if __name__ == "__main__":
    main()
