"""What merging tokens costs in accuracy and gains in speed: a curve over the share that each block merges.

    python -m benchmarks.merging RUN --data DATA
    python -m benchmarks.merging RUN --data DATA --shares 0 0.05 0.1 --videos 100 --plot curve.png
    python -m benchmarks.merging --preset vivit_base_16x2               speed alone, random weights

Accuracy is that of `tubelet.evaluate`, one centre clip; time is that of a forward pass of one clip, in turn, A B C A B
C ..., and its ratio to the model without merging is taken turn by turn.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from tubelet import create, evaluate, load, merge_tokens
from tubelet.data import Table, read_table
from tubelet.model import ViViT

SHARES = (0.0, 0.02, 0.04, 0.08, 0.12, 0.16, 0.2)


def main() -> None:
    """Evaluate and time the model at every share, print the table and draw the curve."""
    options = _options()
    model = (load(options.run) if options.run else create(options.preset)).eval()
    models = [merge_tokens(model, share) for share in options.shares]
    accuracy = [None] * len(models) if options.data is None else _accuracy(models, _table(options))
    seconds = _seconds(models, options.rounds)
    lines = [
        "| merged in each block | top-1 | agrees with unmerged | seconds a clip | speed |",
        "|---|---|---|---|---|",
    ]
    speeds = []
    for share, right, spent in zip(options.shares, accuracy, seconds, strict=True):
        speeds.append(statistics.median(one / other for one, other in zip(seconds[0], spent, strict=True)))
        shown = ("", "") if right is None else (f"{right[0]:.1%}", f"{right[1]:.1%}")
        lines.append(f"| {share:.0%} | {shown[0]} | {shown[1]} | {statistics.median(spent):.4f} | {speeds[-1]:.2f}x |")
    print("\n".join(lines))
    if options.plot and all(right is not None for right in accuracy):
        _draw(options.plot, speeds, [right[0] for right in accuracy if right is not None], options.shares)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.merging", description="Accuracy for speed.")
    parser.add_argument("run", nargs="?", help="a trained model")
    parser.add_argument(
        "--preset", default="vivit_base_16x2", help="a model with random weights, where no run is named"
    )
    parser.add_argument("--data", help="labelled videos")
    parser.add_argument("--split", default="test")
    parser.add_argument("--labels", nargs="*", help="columns that hold labels")
    parser.add_argument("--split-column")
    parser.add_argument("--videos", type=int, default=0, help="evaluate only so many, evenly picked; 0: all")
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES, help="the first is compared with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", help="draw the curve into this file")
    return parser.parse_args()


def _table(options: argparse.Namespace) -> Table:
    table = read_table(options.data, labels=options.labels, split_column=options.split_column)
    if options.split in table.splits:
        table = table.split(options.split)
    step = max(1, len(table) // options.videos) if options.videos else 1
    return table.select(range(0, len(table), step))


def _accuracy(models: list[ViViT], table: Table) -> list[tuple[float, float]]:
    """Top-1 of each, and how often it says what the first one says."""
    said = []
    for model in models:
        predictions = evaluate(model, table).predictions
        best = [
            {head: max(range(len(row)), key=row.__getitem__) for head, row in p.logits.items()} for p in predictions
        ]
        right = [best[at][head] == label for at, p in enumerate(predictions) for head, label in p.labels.items()]
        said.append((best, sum(right) / len(right)))
    first = said[0][0]
    return [(share, sum(a == b for a, b in zip(best, first, strict=True)) / len(best)) for best, share in said]


@torch.inference_mode()
def _seconds(models: list[ViViT], rounds: int) -> list[list[float]]:
    config = models[0].config
    video = torch.randn(1, config.num_frames, config.in_channels, *config.image_size)
    spent: list[list[float]] = [[] for _ in models]
    for turn in range(rounds + 1):
        for model, times in zip(models, spent, strict=True):
            started = time.perf_counter()
            model(video)
            if turn:  # the first warms up
                times.append(time.perf_counter() - started)
    return spent


def _draw(file: str, speeds: list[float], accuracy: list[float], shares: list[float]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(speeds, [100 * value for value in accuracy], "o-")
    for speed, value, share in zip(speeds, accuracy, shares, strict=True):
        axes.annotate(f"{share:.0%}", (speed, 100 * value), textcoords="offset points", xytext=(4, 4))
    axes.set(xlabel="speed, times the unmerged model", ylabel="top-1, %", title="Merged in each block")
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
