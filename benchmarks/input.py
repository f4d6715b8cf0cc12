"""From a video file to the tensor that a model sees, beside the peers.

    python -m benchmarks.input VIDEOS                           360p and 720p, 32 frames at stride 2 from random places
    python -m benchmarks.input VIDEOS --rounds 9 --threads 1    as inside a loader's worker

VIDEOS is a folder of real videos. Their frames, side by side, are encoded once as H.264 with one key frame in 250, into
a temporary folder. Then each way of reading reads the same places, in turn, A B C A B C ..., and each is compared with
the first: PyAV decoding from the key frame before the first wanted frame to the last and throwing all away.

    tubelet        open, list the frames, decode what is sampled, resize, crop, normalise
    transformers   its documentation's loop over PyAV's frames from the start of the file, and VivitImageProcessor
    torchcodec     its VideoDecoder and torchvision's transforms, where FFmpeg's libraries are there

Wall-clock time and processor time (all threads) are both given: on a busy machine the second is the steadier one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy
import torch
from torch import Tensor

from tubelet.config import PreprocessingConfig
from tubelet.prediction import find_videos
from tubelet.video import Preprocessing, open_video, read_video, write_video

HEIGHTS = {360: 640, 720: 1280}
FRAMES, STRIDE, LENGTH, GOP = 32, 2, 300, 250
Way = Callable[[Path, list[int]], Tensor | None]


def main() -> None:
    """Make the videos, read them in turn, print a table for each size."""
    options = _options()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    ways = _ways(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        for height in options.heights:
            file = Path(folder) / f"{height}.mp4"
            _mosaic(file, find_videos(options.videos) or [options.videos], height, HEIGHTS[height])
            times = _timed(ways, file, options.rounds)
            print(f"\n{height}p, {FRAMES} frames at stride {STRIDE}, {options.rounds} places, {_threads(options)}\n")
            print(_table(times))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.input", description="From a file to a tensor.")
    parser.add_argument("videos", help="folder of real videos")
    parser.add_argument("--rounds", type=int, default=7, help="random places; each way reads each")
    parser.add_argument("--threads", type=int, default=0, help="of decoders and torch; 0: as many as they take")
    parser.add_argument("--heights", type=int, nargs="+", default=list(HEIGHTS), choices=list(HEIGHTS))
    return parser.parse_args()


def _threads(options: argparse.Namespace) -> str:
    return f"{options.threads} thread(s)" if options.threads else "threads as each takes them"


def _timed(ways: dict[str, Way], file: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """(wall, processor) seconds of each way, place by place."""
    draw = random.Random(0)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        start = draw.randrange(LENGTH - (FRAMES - 1) * STRIDE)
        wanted = list(range(start, start + FRAMES * STRIDE, STRIDE))[:FRAMES]
        for name, read in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            read(file, wanted)
            spent = time.perf_counter() - wall, time.process_time() - processor
            if turn:  # the first warms up
                times[name].append(spent)
    return times


def _table(times: dict[str, list[tuple[float, float]]]) -> str:
    floor = next(iter(times.values()))
    lines = ["| | wall s, median | of the floor | processor s, median | of the floor |", "|---|---|---|---|---|"]
    for name, spent in times.items():
        cells = []
        for kind in (0, 1):
            ratio = statistics.median(a[kind] / b[kind] for a, b in zip(spent, floor, strict=True))
            cells += [f"{statistics.median(one[kind] for one in spent):.3f}", f"{ratio:.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


# --- the ways ---------------------------------------------------------------------------------------------------------


def _ways(threads: int) -> dict[str, Way]:
    preprocessing = Preprocessing(PreprocessingConfig(num_frames=FRAMES, frame_stride=STRIDE))

    def floor(file: Path, wanted: list[int]) -> None:
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            stream.thread_type, stream.codec_context.thread_count = "AUTO", threads
            rate, base = stream.average_rate, stream.time_base
            assert rate is not None
            assert base is not None
            container.seek(int(wanted[0] / rate / base), stream=stream)
            for frame in container.decode(stream):
                assert frame.time is not None
                if round(frame.time * rate) >= wanted[-1]:
                    return

    def tubelet(file: Path, wanted: list[int]) -> Tensor:
        with open_video(file, threads=threads) as decoder:
            return preprocessing.spatial(preprocessing.read(decoder, wanted).frames)[0]

    ways: dict[str, Way] = {"PyAV, thrown away": floor, "tubelet": tubelet}
    for name, make in (("transformers", _transformers), ("torchcodec + torchvision", _torchcodec)):
        try:
            ways[name] = make(threads)
        except (ImportError, RuntimeError, OSError) as error:
            print(f"{name}: left out ({str(error).splitlines()[0]})")
    return ways


def _transformers(threads: int) -> Way:
    from transformers import VivitImageProcessor

    processor = VivitImageProcessor()

    def read(file: Path, wanted: list[int]) -> Tensor:
        chosen = set(wanted)
        frames = []
        with av.open(str(file)) as container:
            if threads:
                container.streams.video[0].codec_context.thread_count = threads
            container.seek(0)
            for number, frame in enumerate(container.decode(video=0)):
                if number > wanted[-1]:
                    break
                if number in chosen:
                    frames.append(frame.to_ndarray(format="rgb24"))
        return processor(list(numpy.stack(frames)), return_tensors="pt")["pixel_values"]

    return read


def _torchcodec(threads: int) -> Way:
    from torchcodec.decoders import VideoDecoder
    from torchvision.transforms import v2

    transform = v2.Compose(
        [
            v2.Resize(256),
            v2.CenterCrop(224),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )

    def read(file: Path, wanted: list[int]) -> Tensor:
        return transform(VideoDecoder(str(file), num_ffmpeg_threads=threads).get_frames_at(wanted).data)

    return read


# --- the videos -------------------------------------------------------------------------------------------------------


def _mosaic(file: Path, videos: list[str], height: int, width: int) -> None:
    """`LENGTH` frames of this size: real videos side by side, each followed by others of its kind."""
    first = read_video(videos[0], [0])
    rows, columns = -(-height // first.height), -(-width // first.width)
    picked = iter(random.Random(0).sample(videos, len(videos)) * 100)
    mosaic = numpy.empty((LENGTH, rows * first.height, columns * first.width, 3), numpy.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left, filled = row * first.height, column * first.width, 0
            while filled < LENGTH:
                frames = read_video(next(picked), threads=1).frames.permute(0, 2, 3, 1).numpy()[: LENGTH - filled]
                if frames.shape[1:3] == (first.height, first.width):
                    place = mosaic[filled : filled + len(frames)]
                    place[:, top : top + first.height, left : left + first.width] = frames
                    filled += len(frames)
    write_video(file, mosaic[:, :height, :width], 25.0, gop=GOP, crf=20, threads=0)


if __name__ == "__main__":
    main()
