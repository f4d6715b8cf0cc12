"""Random clips out of shards beside the videos they were made of.

    python -m benchmarks.shards FOLDER [--videos 10] [--rounds 4]

Some videos of a folder are encoded with one key frame in 250, as encoders do by default: the originals. The same are
put into shards as they are, and with more key frames. Training clips at random places are read from all of them in
turn; the processor time of each is counted, opening and preprocessing included.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch

from tubelet.config import AugmentationConfig, PreprocessingConfig, ShardConfig
from tubelet.data import ClipDataset, Draw, Failure, Table, prepare, read_table
from tubelet.video.transcode import transcode

INTERVALS = (6, 12, 24)
CLIPS = ((16, 2), (8, 4))
"""Frames and stride."""


def make(videos: list[Path], folder: Path) -> dict[str, Table]:
    """The originals, and shards of them."""
    (folder / "original" / "class").mkdir(parents=True)
    for number, video in enumerate(videos):
        target = folder / "original" / "class" / f"{number}.mp4"
        transcode(video, target, short_side=256, keyframe_interval=250, crf=20)
    tables = {"original": read_table(folder / "original")}
    settings = {"copied": ShardConfig(copy=True)}
    settings |= {f"one in {interval}": ShardConfig(keyframe_interval=interval) for interval in INTERVALS}
    for name, config in settings.items():
        report = prepare(tables["original"], folder / name, config)
        print(f"{name}: {report.bytes / max(report.bytes_before, 1):.2f} times the bytes of the originals")
        tables[name] = read_table(folder / name)
    return tables


def compare(tables: dict[str, Table], frames: int, stride: int, rounds: int) -> None:
    """Print the processor time of a clip from each."""
    preprocessing = PreprocessingConfig(num_frames=frames, frame_stride=stride, resize=112, crop_size=(96, 96))
    augmentation = AugmentationConfig(colour=0.0, grey=0.0, scale_jitter=(1.0, 1.0))
    sets = {name: ClipDataset(table, preprocessing, augmentation=augmentation) for name, table in tables.items()}
    times: dict[str, list[float]] = {name: [] for name in sets}
    for epoch in range(rounds):
        for index in range(len(tables["original"])):
            for name, clips in sets.items():
                start = time.process_time()
                item = clips[Draw(index, epoch)]
                times[name].append(time.process_time() - start)
                assert not isinstance(item, Failure), item
    base = statistics.median(times["original"])
    print(f"{frames} frames at stride {stride}")
    for name, found in times.items():
        middle = statistics.median(found)
        print(f"  {name:<10} {1e3 * middle:7.2f} ms, {base / middle:.2f} times as fast as the originals")


def main() -> None:
    """Make the videos, read from them, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    videos = sorted(options.folder.rglob("*.mp4"))
    random.Random(0).shuffle(videos)
    with tempfile.TemporaryDirectory() as folder:
        tables = make(videos[: options.videos], Path(folder))
        for frames, stride in CLIPS:
            compare(tables, frames, stride, options.rounds)


if __name__ == "__main__":
    main()
