"""`tubelet corpus run` on one machine: memory at two sizes, throughput beside plain processes, and what decoding costs.

    python -m benchmarks.corpus                             500 and 5,000 videos
    python -m benchmarks.corpus --videos 50 100 --rounds 1  small

The videos are hard links of eight generated ones, so that the disk is no limit. Memory is the most that a process had,
of the driver, and of the largest worker and decoder. Throughput of corpus runs and of as many plain processes as there
are cores, each with `tubelet.predict` on its share of the same files, is taken in turn, from the first video on.
Overlap is the seconds of decoding and predicting, over those of the workers: above 1 both went on at once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from benchmarks.measure import spread

import tubelet
from tubelet.corpus import check
from tubelet.device import usable_cores

KINDS = {"worker": b"tubelet.corpus.worker", "decoder": b"guarded_child"}
PLAIN = """
import json, sys, time
import torch, tubelet
torch.set_num_threads(1)
paths = sys.stdin.read().split("\\0")
model = tubelet.load(sys.argv[1])
tubelet.predict(model, paths[:1])
started = time.monotonic()
tubelet.predict(model, paths)
print(json.dumps([started, time.monotonic()]))
"""


def main() -> None:
    """Measure, and print two tables."""
    options = _options()
    cores = usable_cores()
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        place = Path(folder)
        model = _model(place / "model", options.preset, options.size)
        print(f"{cores} cores, {options.preset} of 16 frames of {options.size} x {options.size}, {torch.__version__}\n")
        print("| videos | driver MB | worker MB | decoder MB |\n|---|---|---|---|")
        peaks = []
        for count in options.videos:
            peaks.append(_corpus(model, _lake(place / f"lake-{count}", count), place / f"out-{count}")["peaks"])
            print(f"| {count:,} | {' | '.join(f'{one / 1e6:.0f}' for one in peaks[-1].values())} |", flush=True)
        growth = [after / before for before, after in zip(peaks[0].values(), peaks[-1].values(), strict=True)]
        print(f"| ratio | {' | '.join(f'{one:.3f}' for one in growth)} |\n")
        _throughput(model, place, min(options.videos), options.rounds, cores)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description="A corpus on one machine.")
    parser.add_argument("--videos", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--preset", default="vivit_tiny_16x2_fe")
    parser.add_argument("--size", type=int, default=112, help="of the model's 16 frames")
    return parser.parse_args()


def _throughput(model: Path, place: Path, count: int, rounds: int, cores: int) -> None:
    lake = place / f"lake-{count}"
    found: dict[str, list[float]] = {name: [] for name in ("corpus", "plain", "ratio", "waiting", "overlap")}
    for number in range(rounds):
        plain = _plain(model, sorted(map(str, lake.iterdir())), cores)
        out = place / f"round-{number}"
        end = _corpus(model, lake, out)["end"]
        overlap = check(str(out), page=False).seconds / (end["seconds"] * cores)
        rate, waiting = end["clips_per_second"], 100 * end["waiting_for_decoding"]
        for name, value in zip(found, (rate, plain, rate / plain, waiting, overlap), strict=True):
            found[name].append(value)
    print("| clips/s | plain processes, clips/s | ratio | waiting for decoding, % | overlap |\n|---|---|---|---|---|")
    print(f"| {' | '.join(map(spread, found.values()))} |")
    print(f"\nmedian ratio {statistics.median(found['ratio']):.3f} of {rounds} rounds, {count:,} videos each")


def _model(folder: Path, preset: str, size: int) -> Path:
    model = tubelet.create(preset, num_classes=10, image_size=size, num_frames=16)
    model.preprocessing = tubelet.PreprocessingConfig(
        num_frames=16, frame_stride=1, resize=size, crop_size=(size, size)
    )
    tubelet.save(model, folder)
    return folder


def _lake(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        if number < 8:
            frames = torch.randint(0, 255, (48, 3, 15, 20), generator=torch.Generator().manual_seed(number))
            large = frames.to(torch.uint8).repeat_interleave(16, 2).repeat_interleave(16, 3)
            tubelet.write_video(folder / f"{number}.mp4", large, 25.0)
        else:
            os.link(folder / f"{number % 8}.mp4", folder / f"{number}.mp4")
    return folder


def _corpus(model: Path, lake: Path, out: Path) -> dict[str, Any]:
    """A run of the command: its last event, and the most memory of each kind of process."""
    words = [
        sys.executable,
        "-m",
        "tubelet",
        "corpus",
        "run",
        str(model),
        str(lake),
        "--out",
        str(out),
        "--json",
        "--quiet",
    ]
    log = out.with_suffix(".log")
    with log.open("wb") as file:
        driver = subprocess.Popen(words, stdout=file)
    peaks = dict.fromkeys(("driver", *KINDS), 0)
    while driver.poll() is None:
        for kind, peak in _peaks(driver.pid):
            peaks[kind] = max(peaks[kind], peak)
        time.sleep(0.2)
    if driver.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {driver.returncode}")
    return {"end": json.loads(log.read_text().splitlines()[-1]), "peaks": peaks}


def _peaks(driver: int) -> Iterable[tuple[str, int]]:
    """The kind and the most memory so far of a driver and its descendants, in bytes."""
    parents, commands, peaks = {}, {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, StopIteration):  # it has ended
            number = int(folder.name)
            lines = (folder / "status").read_text().splitlines()
            parents[number] = int(next(line for line in lines if line.startswith("PPid:")).split()[1])
            peaks[number] = int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
            commands[number] = (folder / "cmdline").read_bytes()
    for number in peaks:
        above = number
        while above not in (0, driver):
            above = parents.get(above, 0)
        if above == driver:
            kinds = [kind for kind, words in KINDS.items() if words in commands.get(number, b"")]
            yield (kinds or ["driver"])[0], peaks[number]


def _plain(model: Path, paths: list[str], processes: int) -> float:
    """Videos a second of plain processes, the sum of what each does while all work."""
    words = [sys.executable, "-c", PLAIN, str(model)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(processes)
    ]
    for number, process in enumerate(started):
        assert process.stdin is not None
        process.stdin.write("\0".join(paths[number::processes]))
        process.stdin.close()
    total = 0.0
    for number, process in enumerate(started):
        assert process.stdout is not None
        begun, ended = json.loads(process.stdout.read().splitlines()[-1])
        process.wait()
        total += len(paths[number::processes]) / (ended - begun)
    return total


if __name__ == "__main__":
    main()
