"""Inference of the four models beside their peers, against the machine's rate of a large matrix product.

    python -m benchmarks                                        B/16x2, 32 frames of 224 x 224, as in the paper
    python -m benchmarks --preset small --frames 16 --json FILE

Everything is timed in turn, A B C A B C ..., so that a machine whose speed drifts treats all alike; medians are shown.
`of matrix rate` is 2 x multiply-adds / time over the rate of a [3136, D] x [D, 4 D] product, measured in the same turn.
Peers run on the same weights where the model is the same, and the logits are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.config import cost
from tubelet.model import ViViT
from tubelet.presets import create

VARIANTS = {"model 1": "", "model 2": "_fe", "model 3": "_fsa", "model 4": "_fdp"}


@dataclass
class Entry:
    """Something to time.

    Attributes:
        name: for the table.
        run: one forward pass.
        multiply_adds: of one pass; None where they are not known.
        note: for the table: how far the logits are from ours.
    """

    name: str
    run: Callable[[], Any]
    multiply_adds: int | None
    note: str = ""
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


def main() -> None:
    """Parse, time, print."""
    options = _options()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    video = torch.randn(1, options.frames, 3, options.size, options.size)
    with torch.inference_mode():
        entries = _entries(options, video)
        for entry in entries:
            entry.run()
        for _ in range(options.rounds):
            for entry in entries:
                rate = _matrix_rate(options.preset)
                started = time.perf_counter()
                entry.run()
                entry.seconds.append(time.perf_counter() - started)
                if entry.multiply_adds:
                    entry.rates.append(2 * entry.multiply_adds / entry.seconds[-1] / rate)
    print(_table(entries, options))
    if options.json:
        rows = [{"name": e.name, "seconds": e.seconds, "of_matrix_rate": e.rates, "note": e.note} for e in entries]
        Path(options.json).write_text(json.dumps({"options": vars(options), "rows": rows}, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--preset", default="base", help="size of the models: tiny, small, base, large (default: base)")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument("--models", default="1234", help="which of our models, e.g. 12")
    parser.add_argument("--json", default="", help="write every figure to this file too")
    return parser.parse_args()


def _entries(options: argparse.Namespace, video: Tensor) -> list[Entry]:
    entries = []
    for name, suffix in VARIANTS.items():
        if name[-1] in options.models:
            model = create(
                f"vivit_{options.preset}_16x2{suffix}", num_frames=options.frames, image_size=options.size
            ).eval()
            entries.append(Entry(f"tubelet {name}", lambda model=model: model(video), cost(model.config).multiply_adds))
            peer = _transformers(model, video) if name == "model 1" else _vit_pytorch(model, video)
            entries += [peer] if peer is not None else []
    return entries


def _transformers(model: ViViT, video: Tensor) -> Entry | None:
    """Hugging Face's ViViT with the same weights, through the folder that we write for it."""
    try:
        from transformers import VivitForVideoClassification
    except ImportError:
        print("transformers is not installed (pip install 'tubelet[bench]'): left out")
        return None
    from tubelet.weights.hf_vivit import save_hf_vivit

    with tempfile.TemporaryDirectory() as folder:
        save_hf_vivit(model, Path(folder) / "vivit")
        peer = VivitForVideoClassification.from_pretrained(Path(folder) / "vivit", attn_implementation="sdpa").eval()
    difference = (peer(video).logits - model(video)).abs().max().item()
    note = f"same weights, logits differ by {difference:.1e}"
    return Entry("transformers model 1, SDPA", lambda: peer(video).logits, cost(model.config).multiply_adds, note)


def _vit_pytorch(model: ViViT, video: Tensor) -> Entry | None:
    """vit-pytorch's ViViT of the same size; its details differ from the paper's, so the logits cannot be compared."""
    kinds = {"factorised_encoder": "factorized_encoder", "factorised_self_attention": "factorized_self_attention"}
    config = model.config
    if config.variant not in kinds:
        return None
    try:
        from vit_pytorch.vivit import ViT
    except ImportError:
        print("vit-pytorch is not installed (pip install 'tubelet[bench]'): left out")
        return None
    peer = ViT(
        image_size=config.image_size[0],
        image_patch_size=config.tubelet_size[1],
        frames=config.num_frames,
        frame_patch_size=config.tubelet_size[0],
        num_classes=400,
        dim=config.hidden_size,
        spatial_depth=config.num_layers,
        temporal_depth=config.temporal_layers or config.num_layers,
        heads=config.num_heads,
        dim_head=config.hidden_size // config.num_heads,
        mlp_dim=config.mlp_dim,
        variant=kinds[config.variant],
    ).eval()
    channels_first = video.transpose(1, 2)
    name = "model 2" if config.variant == "factorised_encoder" else "model 3"
    return Entry(f"vit-pytorch {name}", lambda: peer(channels_first), None, "same size, own weights")


def _matrix_rate(preset: str) -> float:
    """Floating-point operations a second of the model's largest kind of product."""
    dim = {"tiny": 192, "small": 384, "base": 768, "large": 1024}[preset]
    left, right = torch.randn(3136, dim), torch.randn(dim, 4 * dim)
    torch.mm(left, right)
    started = time.perf_counter()
    for _ in range(4):
        torch.mm(left, right)
    return 4 * 2 * left.shape[0] * dim * 4 * dim / (time.perf_counter() - started)


def _table(entries: list[Entry], options: argparse.Namespace) -> str:
    lines = [
        f"{options.preset}/16x2, {options.frames} frames of {options.size} x {options.size}, float32, batch 1, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, {options.rounds} rounds",
        "",
        "| | seconds a clip, median (min-max) | of matrix rate | |",
        "|---|---|---|---|",
    ]
    for entry in entries:
        share = f"{statistics.median(entry.rates):.2f}" if entry.rates else ""
        spread = f"{min(entry.seconds):.2f}-{max(entry.seconds):.2f}"
        lines.append(f"| {entry.name} | {statistics.median(entry.seconds):.2f} ({spread}) | {share} | {entry.note} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
