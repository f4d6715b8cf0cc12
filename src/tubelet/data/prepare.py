"""`prepare`: a data set into shards, in parallel, and at any time from where it was stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from tubelet.config import to_dict
from tubelet.config.data import check_workers
from tubelet.config.shards import ShardConfig
from tubelet.data.check import Problem
from tubelet.data.known import content_keys
from tubelet.data.shard_writer import ShardWriter, Stored, write_lines
from tubelet.data.shards import DESCRIPTION, FAILURES, FORMAT, INDEX, PREPARING, read_description
from tubelet.data.table import Sample, Table
from tubelet.device import usable_cores
from tubelet.errors import ConfigError, DataError, VideoError
from tubelet.files import write_text
from tubelet.folder_lock import FolderLock
from tubelet.json_files import dump_json, read_json_lines
from tubelet.video import FilePart, open_video
from tubelet.video.clip import damage_in_words, why_unreadable
from tubelet.video.protocol import VisitingDecoder
from tubelet.video.transcode import transcode

PLAN = "plan.json"
NO_SPLIT = "all"
"""Name of the shards of samples that belong to no split."""

AHEAD = 32
"""Videos that may be encoded before their turn to be put into a shard comes."""


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
class _Video:
    """A file of the table, and what it is called in the shards."""

    key: str
    path: str
    name: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class _Made:
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
    progress: Callable[[int, int], None] | None = None,
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
    config, folder, began = config or ShardConfig(), Path(out), time.perf_counter()
    videos = _videos(table)
    if config.copy:
        _require_files(videos)
    contents = content_keys(table.samples)
    plan = _plan(table, videos, contents, config)
    with FolderLock() as lock:
        if _take_up(folder, plan, lock):
            return _clean_up(folder, videos, began)
        stored, failures = _fill_shards(folder, table, videos, config, workers, progress)
        if not stored:
            first = failures[0]
            raise DataError(f"not one of {len(videos)} videos can be read; first {first.path}: {first.reason}")
        _conclude(folder, table, videos, contents, stored, failures, config, plan)
        return _clean_up(folder, videos, began)


def _fill_shards(
    folder: Path,
    table: Table,
    videos: list[_Video],
    config: ShardConfig,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, Stored], list[Problem]]:
    """Put all videos into shards; where each of them is, and those that cannot be read."""
    by_split: dict[str, list[_Video]] = {}
    for video in _shuffled(videos, config.seed):
        by_split.setdefault(table.samples[video.rows[0]].split or NO_SPLIT, []).append(video)
    stored: dict[str, Stored] = {}
    failures: list[Problem] = []
    check_workers(workers or 0)
    pool = ThreadPoolExecutor(workers or usable_cores())
    finished = 0
    try:
        for split in sorted(by_split):
            with ShardWriter(folder, split, int(config.shard_megabytes * 1e6)) as writer:
                for _ in _fill(writer, by_split[split], table, config, pool, folder, failures):
                    finished += 1
                    if progress is not None:
                        progress(finished, len(videos))
                stored |= writer.stored
    finally:
        pool.shutdown(cancel_futures=True)
    return stored, failures


def _fill(
    writer: ShardWriter,
    videos: list[_Video],
    table: Table,
    config: ShardConfig,
    pool: ThreadPoolExecutor,
    folder: Path,
    failures: list[Problem],
) -> Iterator[_Video]:
    """Put the videos of a split into its shards, in their order; gives each when it is done."""
    left = deque[_Video]()
    for video in videos:
        if video.key in writer.stored:
            yield video
        else:
            left.append(video)
    made: deque[tuple[_Video, Future[_Made]]] = deque()

    def clean(keys: list[str]) -> None:
        for key in keys:
            _staged(folder, key).unlink(missing_ok=True)

    while left or made:
        while left and len(made) < AHEAD:
            following = left.popleft()
            made.append((following, pool.submit(_make, following, folder, config)))
        video, future = made.popleft()
        result = future.result()
        if result.file is None:
            failures.append(Problem(video.path, result.problem))
        else:
            clean(writer.add(video.key, result.file, result.suffix, _describe(video, table, result), result.shift))
        yield video
    clean(writer.finish())


def _make(video: _Video, folder: Path, config: ShardConfig) -> _Made:
    """Encode a video anew, or see whether it can be decoded and take it as it is. Runs in a thread."""
    try:
        if config.copy:
            with open_video(video.path, threads=1) as decoder:
                decoder.frames_at([-1])
                if isinstance(decoder, VisitingDecoder) and decoder.damaged and not config.use_damaged:
                    raise VideoError(video.path, damage_in_words(sorted(decoder.damaged), decoder.metadata.num_frames))
            return _Made(Path(video.path), Path(video.name).suffix.lower().lstrip(".") or "video")
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
        return _Made(staged, "mp4", shift)
    except (VideoError, MemoryError) as error:
        return _Made(None, problem=why_unreadable(error))
    except (av.FFmpegError, OverflowError) as error:
        if isinstance(error, OSError):  # of the disk that is written to
            raise
        reason = error.strerror if isinstance(error, av.FFmpegError) else str(error)
        return _Made(None, problem=f"its frames or their times do not fit into an MP4 ({reason})")


def _conclude(
    folder: Path,
    table: Table,
    videos: list[_Video],
    contents: Sequence[str | None],
    stored: dict[str, Stored],
    failures: list[Problem],
    config: ShardConfig,
    plan: dict[str, Any],
) -> None:
    """Write the index, and last of all what makes the folder one of shards."""
    rows = {row: (video, stored[video.key]) for video in videos if video.key in stored for row in video.rows}
    index = [_row(table, table.samples[row], *rows[row]) | {"content": contents[row]} for row in sorted(rows)]
    names = sorted({one.shard for one in stored.values()})
    shards = {name: {"bytes": (folder / name).stat().st_size} for name in names}
    write_lines(folder / INDEX, index)
    write_lines(folder / FAILURES, [to_dict(failure) for failure in failures])
    description = {
        "format": FORMAT,
        "classes": table.classes,
        "samples": len(index),
        "videos": len(stored),
        "left_out": len(failures),
        "settings": to_dict(config),
        "shards": shards,
        "plan": _digest(plan),
    }
    write_text(folder / DESCRIPTION, dump_json(description, indent=2) + "\n")


def _clean_up(folder: Path, videos: list[_Video], began: float) -> PrepareReport:
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
        sum(_size(video.path) for video in videos if video.path not in left_out),
        failures,
        time.perf_counter() - began,
    )


def _row(table: Table, sample: Sample, video: _Video, place: Stored) -> dict[str, Any]:
    """A line of the index."""
    where = {"shard": place.shard, "offset": place.offset, "length": place.length, "path": video.name}
    return where | _facts(table, sample, place.shift)


def _facts(table: Table, sample: Sample, shift: float) -> dict[str, Any]:
    labels = dict(zip(table.classes, table.class_names(sample), strict=True))
    start, end = (None if time is None else time - shift for time in (sample.start, sample.end))
    return {"labels": labels, "split": sample.split, "group": sample.group, "start": start, "end": end}


def _describe(video: _Video, table: Table, made: _Made) -> dict[str, Any]:
    """What stands beside a video in its shard: the samples of it, labels as names and as numbers."""
    samples = [table.samples[row] for row in video.rows]
    return {
        "path": video.name,
        "samples": [_facts(table, sample, made.shift) | {"targets": sample.labels} for sample in samples],
    }


# --- what there is to do, and what was done already ------------------------------------------------------------------


def _require_files(videos: list[_Video]) -> None:
    for video in videos:
        if os.path.isdir(video.path) or FilePart.parse(video.path) is not None:
            kind = "a folder of images" if os.path.isdir(video.path) else "in a shard already"
            raise DataError(f"{video.path} is {kind} and no file that could be copied; leave out copy")


def _videos(table: Table) -> list[_Video]:
    rows: dict[str, list[int]] = {}
    for row, sample in enumerate(table.samples):
        rows.setdefault(sample.path, []).append(row)
    whole = {path: dataclasses.replace(table.samples[found[0]], start=None, end=None) for path, found in rows.items()}
    return [
        _Video(f"{number:08d}", path, table.key(whole[path]), tuple(found))
        for number, (path, found) in enumerate(rows.items())
    ]


def _shuffled(videos: list[_Video], seed: int) -> list[_Video]:
    """In an order that the seed and the names settle."""
    return sorted(
        videos, key=lambda video: hashlib.blake2b(os.fsencode(f"{seed}/{video.name}"), digest_size=8).digest()
    )


def _plan(table: Table, videos: list[_Video], contents: Sequence[str | None], config: ShardConfig) -> dict[str, Any]:
    """Everything that the shards depend on."""
    digest = hashlib.blake2b(digest_size=16)
    for video in videos:
        samples = [_facts(table, table.samples[row], 0.0) for row in video.rows]
        digest.update(json.dumps([video.name, contents[video.rows[0]], samples]).encode())
    return {"settings": to_dict(config), "classes": table.classes, "videos": len(videos), "digest": digest.hexdigest()}


def _digest(plan: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(plan, sort_keys=True).encode(), digest_size=16).hexdigest()


def _take_up(folder: Path, plan: dict[str, Any], lock: FolderLock) -> bool:
    """Make the folder ready to be filled, or hold that it is the beginning of the same preparation.

    Returns:
        whether all is in it already, and the process was killed just before it was done.
    """
    preparing, known = folder / PREPARING, folder / PREPARING / PLAN
    while True:
        finished, begun = (folder / DESCRIPTION).exists(), known.is_file()
        if finished and not preparing.is_dir():
            raise ConfigError(f"{folder} holds shards already; name another folder. Shards are never overwritten")
        others = folder.exists() and (not folder.is_dir() or any(entry.name != PREPARING for entry in folder.iterdir()))
        if others and not begun and not finished:
            raise ConfigError(f"{folder} exists and holds no shards; name a folder that is new or empty")
        preparing.mkdir(parents=True, exist_ok=True)
        try:
            lock.hold(preparing)
            break
        except FileNotFoundError:  # whoever had it has just ended
            continue
    if finished:
        same = read_description(folder).get("plan") == _digest(plan)
    elif known.is_file():
        same = json.loads(known.read_text(encoding="utf-8")) == plan
    else:
        same = True
        write_text(known, dump_json(plan))
    if not same:
        raise ConfigError(
            f"{folder} holds the beginning of a preparation of other videos, of videos that have changed since, or "
            "with other settings; go on with those, or name another folder"
        )
    return finished


def _staged(folder: Path, key: str) -> Path:
    return folder / PREPARING / f"{key}.mp4"


def _size(path: str) -> int:
    part = FilePart.parse(path)
    if part is not None:
        return part.length
    if os.path.isdir(path):
        return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())
    return os.path.getsize(path) if os.path.exists(path) else 0
