"""An epoch of a frozen-spatial training with and without cached features, on real videos.

    python -m benchmarks.cached_features VIDEOS.csv                       small, 32 frames of 112 x 112
    python -m benchmarks.cached_features VIDEOS.csv --clips 16 --frames 16 --size 224

One process trains the same factorised encoder twice with its spatial encoder frozen, from the same weights and without
augmentation: once on decoded frames that are kept in memory, once on features. The first epoch of either fills its
cache and is shown apart. Printed are the seconds of each epoch, with its validation and checkpoint, the ratio of the
medians, and the largest difference between the two loss curves. On a busy machine the seconds of the processor, in
brackets, say more than those of the clock.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from tubelet.config import NO_AUGMENTATION, DataConfig, OptimisationConfig, RuntimeConfig, TrainConfig, ValidationConfig
from tubelet.data import Table, read_table
from tubelet.presets import create
from tubelet.training import SilentReporter, read_events, train


class Clock(SilentReporter):
    """Notes when each epoch is over, by the clock and by the processor."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def begin(self, step: int, total_steps: int) -> None:
        self._note()

    def epoch(self, text: str) -> None:
        self._note()

    def _note(self) -> None:
        self.times.append((time.perf_counter(), time.process_time()))

    def seconds(self) -> list[tuple[float, float]]:
        return [(b[0] - a[0], b[1] - a[1]) for a, b in zip(self.times, self.times[1:], strict=False)]


def main() -> None:
    """Train twice, print."""
    options = _options()
    torch.set_num_threads(options.threads)
    table = _some(read_table(options.table, labels=["label"], split_column=options.split_column), options.clips)
    seconds: dict[str, list[tuple[float, float]]] = {}
    curves: dict[str, list[float]] = {}
    for cache, epochs in (("memory", 1 + options.epochs), ("features", 1 + options.epochs)):
        with tempfile.TemporaryDirectory() as folder:
            clock = Clock()
            train(
                table,
                Path(folder) / "run",
                config=_config(options, cache, epochs, folder),
                model=_model(options, table),
                reporter=clock,
            )
            events = read_events(Path(folder) / "run" / "metrics.jsonl", "train")
        seconds[cache], curves[cache] = clock.seconds(), [event["loss"] for event in events]
        print(f"{cache:<9} first epoch {_listed(seconds[cache][:1])}   then {_listed(seconds[cache][1:])}", flush=True)
    clock, processor = (
        statistics.median(epoch[kind] for epoch in seconds["memory"][1:])
        / statistics.median(epoch[kind] for epoch in seconds["features"][1:])
        for kind in (0, 1)
    )
    apart = max(abs(a - b) for a, b in zip(curves["memory"], curves["features"], strict=True))
    print(
        f"{clock:.1f} ({processor:.1f}) times as fast per epoch; "
        f"{len(curves['memory'])} losses differ by at most {apart:.1e}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cached_features", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("table", help="a table of labelled videos with splits train and test")
    parser.add_argument("--split-column", default=None)
    parser.add_argument("--clips", type=int, default=24, help="training videos; a third as many validate (default: 24)")
    parser.add_argument("--preset", default="vivit_small_16x2_fe")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", type=int, default=112, help="height and width in pixels")
    parser.add_argument("--epochs", type=int, default=1, help="epochs that are compared, after the first")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _some(table: Table, clips: int) -> Table:
    """So many training videos and a third as many to validate, of as many classes as possible."""
    wanted, taken, seen = {"train": clips, "test": max(1, clips // 3)}, Counter[str](), Counter[tuple[str, int]]()
    order = []
    for index, sample in enumerate(table.samples):
        key = sample.split or "", sample.labels["label"]
        order.append((seen[key], index))
        seen[key] += 1
    chosen = []
    for _, index in sorted(order):
        split = table.samples[index].split or ""
        if taken[split] < wanted.get(split, 0):
            taken[split] += 1
            chosen.append(index)
    return table.select(sorted(chosen))


def _model(options: argparse.Namespace, table: Table) -> Any:
    torch.manual_seed(0)
    fields = {"num_frames": options.frames, "image_size": options.size, "drop_path": 0.1, "dropout": 0.1}
    return create(options.preset, num_classes=table.heads["label"], **fields)


def _config(options: argparse.Namespace, cache: Any, epochs: int, folder: str) -> TrainConfig:
    return TrainConfig(
        preprocessing={"sampling": "uniform", "resize": round(options.size * 8 / 7)},
        data=DataConfig(cache=cache, workers=0, feature_folder=str(Path(folder) / "features")),
        augmentation=NO_AUGMENTATION,
        optimisation=OptimisationConfig(
            freeze="spatial", epochs=epochs, batch_size=options.batch_size, warmup_epochs=0, learning_rate=1e-4
        ),
        validation=ValidationConfig(validation_split="test", keep="last"),
        runtime=RuntimeConfig(device="cpu"),
    )


def _listed(seconds: list[tuple[float, float]]) -> str:
    return ", ".join(f"{clock:.2f} ({processor:.2f})" for clock, processor in seconds) + " s"


if __name__ == "__main__":
    main()
