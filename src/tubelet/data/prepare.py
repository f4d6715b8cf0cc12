"""`prepare`: a data set into shards, in parallel, and at any time from where it was stopped."""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from tubelet.config import ShardConfig, to_dict
from tubelet.config.data import check_workers
from tubelet.data.check_report import Problem
from tubelet.data.shard_plan import PlannedVideo, ShardPlan
from tubelet.data.shard_reader import DESCRIPTION, FAILURES, FORMAT, INDEX, PREPARING, read_description
from tubelet.data.shard_writer import ShardWriter, Stored, write_lines
from tubelet.data.table import Sample, Table
from tubelet.device import usable_cores
from tubelet.errors import DataError, VideoError
from tubelet.files import storage_errors, write_text
from tubelet.folder_lock import FolderLock
from tubelet.json_files import dump_json, read_json_lines
from tubelet.video import FilePart, open_video
from tubelet.video.clip import damage_in_words, why_unreadable
from tubelet.video.protocol import VisitingDecoder
from tubelet.video.transcode import transcode

AHEAD = 32
"""Videos that may be encoded before their turn to be put into a shard comes."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did.

    Attributes:
        folder: of the shards.
        samples: in them.
        videos: in them.
        shards: number of them.
        bytes: of all of them.
        bytes_before: of the videos as they were.
        failures: videos that could not be read and are left out.
        seconds: of this call.
    """

    folder: str
    samples: int
    videos: int
    shards: int
    bytes: int
    bytes_before: int
    failures: tuple[Problem, ...]
    seconds: float


@dataclass(frozen=True)
class _Encoded:
    """A video ready to be put into a shard, or why there is none."""

    file: Path | None
    suffix: str = ""
    shift: float = 0.0
    problem: str = ""


def prepare(
    table: Table,
    out: str | Path,
    config: ShardConfig | None = None,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> PrepareReport:
    """Put the videos of a table into shards, which `read_table` reads like any other source.

    A preparation that was stopped, or killed at any moment, is taken up again by the same call: finished shards are
    kept. The shards are the same whatever the number of workers.

    Args:
        table: as read, with its splits.
        out: folder that is new or empty, or holds the beginning of this preparation.
        config: how.
        workers: threads that each encode a video; None is one for each core.
        progress: called with (videos done, videos in all).

    Raises:
        ConfigError: the folder holds something else, or the videos have changed since the preparation began.
        InUseError: another process prepares the same folder.
        DataError: not one video can be read, or one is a folder of frames and to be copied.
    """
    began, folder, plan = time.perf_counter(), Path(out), ShardPlan.of(table, config or ShardConfig())
    with FolderLock() as lock:
        if not plan.take_up(folder, lock):
            stored, failures = _fill_shards(folder, plan, workers, progress)
            if not stored:
                first = failures[0]
                raise DataError(f"not one of {len(plan.videos)} videos can be read; first {first.path}: {first.reason}")
            _write_index(folder, plan, stored, failures)
        return _clean_up(folder, plan, began)


def _fill_shards(
    folder: Path, plan: ShardPlan, workers: int | None, progress: Progress | None
) -> tuple[dict[str, Stored], list[Problem]]:
    """Put all videos into shards; where each of them is, and those that cannot be read."""
    stored: dict[str, Stored] = {}
    failures: list[Problem] = []
    check_workers(workers or 0)
    pool = ThreadPoolExecutor(workers or usable_cores())
    finished = 0
    try:
        for split, videos in plan.by_split().items():
            with ShardWriter(folder, split, int(plan.config.shard_megabytes * 1e6)) as writer:
                for problem in _fill(writer, videos, plan, pool, folder):
                    failures += [] if problem is None else [problem]
                    finished += 1
                    if progress is not None:
                        progress(finished, len(plan.videos))
                stored |= writer.stored
    finally:
        pool.shutdown(cancel_futures=True)
    return stored, failures


def _fill(
    writer: ShardWriter, videos: list[PlannedVideo], plan: ShardPlan, pool: ThreadPoolExecutor, folder: Path
) -> Iterator[Problem | None]:
    """Put the videos of a split into its shards, in their order; gives, as each is done, what was wrong with it."""
    waiting = deque(video for video in videos if video.key not in writer.stored)
    for _ in range(len(videos) - len(waiting)):
        yield None
    encoding: deque[tuple[PlannedVideo, Future[_Encoded]]] = deque()
    while waiting or encoding:
        while waiting and len(encoding) < AHEAD:
            following = waiting.popleft()
            encoding.append((following, pool.submit(_encode, following, folder, plan.config)))
        video, future = encoding.popleft()
        encoded = future.result()
        if encoded.file is None:
            yield Problem(video.path, encoded.problem)
            continue
        description = {
            "path": video.name,
            "samples": [
                plan.describe_sample(row, encoded.shift) | {"targets": _targets(plan.table.samples[row])}
                for row in video.rows
            ],
        }
        _remove_staged(folder, writer.add(video.key, encoded.file, encoded.suffix, description, encoded.shift))
        yield None
    _remove_staged(folder, writer.finish())


def _encode(video: PlannedVideo, folder: Path, config: ShardConfig) -> _Encoded:
    """Encode a video anew, or see whether it can be decoded and take it as it is. Runs in a thread."""
    try:
        if config.copy:
            with open_video(video.path, threads=1) as decoder:
                decoder.frames_at([-1])
                if isinstance(decoder, VisitingDecoder) and decoder.damaged and not config.use_damaged:
                    raise VideoError(video.path, damage_in_words(sorted(decoder.damaged), decoder.metadata.num_frames))
            return _Encoded(Path(video.path), Path(video.name).suffix.lower().lstrip(".") or "video")
        staged = _staged(folder, video.key)
        unfinished = staged.with_suffix(".unfinished")
        shift = transcode(
            video.path,
            unfinished,
            short_side=config.short_side,
            keyframe_interval=config.keyframe_interval,
            crf=config.crf,
            use_damaged=config.use_damaged,
        )
        os.replace(unfinished, staged)
        return _Encoded(staged, "mp4", shift)
    except (VideoError, MemoryError) as error:
        return _Encoded(None, problem=why_unreadable(error))
    except (av.FFmpegError, OverflowError) as error:
        if isinstance(error, OSError):  # of the disk that is written to
            with storage_errors(staged):
                raise
        reason = error.strerror if isinstance(error, av.FFmpegError) else str(error)
        return _Encoded(None, problem=f"its frames or their times do not fit into an MP4 ({reason})")


def _staged(folder: Path, key: str) -> Path:
    return folder / PREPARING / f"{key}.mp4"


def _remove_staged(folder: Path, keys: list[str]) -> None:
    for key in keys:
        _staged(folder, key).unlink(missing_ok=True)


def _write_index(folder: Path, plan: ShardPlan, stored: dict[str, Stored], failures: list[Problem]) -> None:
    """Write the index, and last of all what makes the folder one of shards."""
    video_of = {row: video for video in plan.videos if video.key in stored for row in video.rows}
    index: list[dict[str, Any]] = []
    for row, video in sorted(video_of.items()):
        part = stored[video.key]
        where = {"shard": part.shard, "offset": part.offset, "length": part.length, "path": video.name}
        index.append(where | plan.describe_sample(row, part.shift) | {"content": plan.contents[row]})
    names = sorted({part.shard for part in stored.values()})
    write_lines(folder / INDEX, index)
    write_lines(folder / FAILURES, [to_dict(failure) for failure in failures])
    description = {
        "format": FORMAT,
        "classes": plan.table.classes,
        **({"multi_label": plan.table.multi_label} if plan.table.multi_label else {}),
        "samples": len(index),
        "videos": len(stored),
        "left_out": len(failures),
        "settings": to_dict(plan.config),
        "shards": {name: {"bytes": (folder / name).stat().st_size} for name in names},
        "plan": plan.digest,
    }
    write_text(folder / DESCRIPTION, dump_json(description, indent=2) + "\n")


def _clean_up(folder: Path, plan: ShardPlan, began: float) -> PrepareReport:
    """Remove what only the preparation needs, and read what there is."""
    shutil.rmtree(folder / PREPARING)
    description = read_description(folder)
    failures = tuple(Problem(**failure) for _, failure in read_json_lines(folder / FAILURES))
    left_out = {failure.path for failure in failures}
    shards = description["shards"]
    return PrepareReport(
        str(folder),
        description["samples"],
        description["videos"],
        len(shards),
        sum(facts["bytes"] for facts in shards.values()),
        sum(_size(video.path) for video in plan.videos if video.path not in left_out),
        failures,
        time.perf_counter() - began,
    )


def _targets(sample: Sample) -> dict[str, int | tuple[int, ...]]:
    """Class indices by head, as `webdataset` finds them."""
    return {**sample.labels, **sample.label_sets}


def _size(path: str) -> int:
    part = FilePart.parse(path)
    if part is not None:
        return part.length
    if os.path.isdir(path):
        return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())
    return os.path.getsize(path) if os.path.exists(path) else 0
