"""Timelines of many videos, each written as its video ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tubelet.errors import ConfigError, VideoError
from tubelet.model import ViViT
from tubelet.paths import is_camera, require_free
from tubelet.prediction.decision import Decision
from tubelet.prediction.smoothing import Smoother
from tubelet.prediction.streaming import Stream, stream
from tubelet.prediction.timeline import (
    FORMATS,
    OFF,
    ON,
    Event,
    Timeline,
    check_thresholds,
    check_writable,
    find_events,
)
from tubelet.prediction.writing import part_lines, part_of
from tubelet.text import address_without_password


@dataclass(frozen=True)
class WrittenTimeline:
    """What one video gave.

    Attributes:
        source: the file, address or camera, without a password.
        timeline: None for a video of which nothing can be read.
        files: that it was written to.
        error: why nothing, or not all of the video, was read.
    """

    source: str
    timeline: Timeline | None
    files: tuple[Path, ...]
    error: str | None


def write_timelines(
    model: ViViT,
    videos: Sequence[str],
    out: str | Path,
    *,
    on: float = ON,
    off: float = OFF,
    minimum: float = 0.0,
    smoothing: str | None = None,
    overwrite: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    began: Callable[[Stream], None] = lambda decisions: None,
    happened: Callable[[Event], None] = lambda event: None,
    unfinished: Callable[[Path, int], None] = lambda part, events: None,
    **streaming: Any,
) -> Iterator[WrittenTimeline]:
    """Stream each video and write its timeline: what there is of it, if it breaks off.

    Meanwhile events stand in a file with `.part` behind its name, each as soon as it is over.

    Args:
        model: loaded.
        videos: files and addresses; `camera:0` is the first camera.
        out: a file (.json, .csv or .srt), or a folder that gets all three for each video.
        on, off, minimum: as of `tubelet.prediction.find_events`.
        smoothing: as of `tubelet.stream`.
        overwrite: replace files that exist.
        stopped: asked after each decision whether to end; what was found up to there is written.
        began: called with the stream of each video.
        happened: called with each event when it is over.
        unfinished: called with a file and its number of events where there is an error before the end.
        streaming: hop, frame_stride, reconnect, device, precision, top, resample, as of `tubelet.stream`.

    Raises:
        ConfigError: settings that do not make sense, a file that would be overwritten or hold several videos. It is
            raised at once, not with the first video.
    """
    check_thresholds(on, off, minimum)
    Smoother(smoothing)
    files = timeline_files(Path(out), videos, overwrite)
    find = partial(find_events, on=on, off=off, minimum=minimum)

    def written(video: str, places: Sequence[Path]) -> WrittenTimeline:
        part = part_of(places[0])
        opened = stream(model, _source(video), smoothing=smoothing, stopped=stopped, **streaming)
        with part_lines(part, None, partial(unfinished, part)) as write, opened as decisions:

            def seen(watched: Iterable[Decision]) -> Iterator[Event]:
                for event in find(watched):
                    write(json.dumps(event.to_dict(), ensure_ascii=False))
                    happened(event)
                    yield event

            began(decisions)
            timeline = Timeline.of(decisions.name, _until(stopped, decisions), seen)
            timeline = replace(timeline, interruptions=decisions.interruptions)
            for place in places:
                timeline.save(place, overwrite=overwrite)
        return WrittenTimeline(timeline.source, timeline, tuple(places), timeline.error)

    def each() -> Iterator[WrittenTimeline]:
        for video, places in zip(videos, files, strict=True):
            try:
                yield written(video, places)
            except VideoError as error:
                yield WrittenTimeline(error.path, None, (), error.reason)

    return each()


def timeline_files(out: Path, videos: Sequence[str], overwrite: bool = False) -> list[list[Path]]:
    """Where timelines go: one file, or a folder with a file of each format for each video.

    Raises:
        ConfigError: a file would be overwritten, or hold several videos.
    """
    if out.suffix.lower() in FORMATS:
        if len(videos) > 1:
            raise ConfigError(
                f"--timeline {out} is one file, but there are {len(videos)} videos; name a folder: "
                f"--timeline {out.with_suffix('')}"
            )
        files = [[out]]
    elif out.suffix and not out.is_dir():
        raise ConfigError(f"--timeline {out}: expected a file with {', '.join(FORMATS)}, or a folder (a name without)")
    else:
        stems = [_stem(video) for video in videos]
        twice = sorted({stem for stem in stems if stems.count(stem) > 1})
        if twice:
            raise ConfigError(f"--timeline {out}: several videos are called {twice[0]!r}; predict them one by one")
        files = [[out / f"{stem}{suffix}" for suffix in FORMATS] for stem in stems]
    every = [file for several in files for file in several]
    for file in every:
        if file.parent.is_dir():
            check_writable(file, overwrite=overwrite)
            require_free(file, overwrite=overwrite, inputs=videos)
    for part in (part_of(several[0]) for several in files):
        if part.parent.is_dir():
            require_free(part, overwrite=overwrite)
    for file in every:
        file.parent.mkdir(parents=True, exist_ok=True)
    return files


def _until(stopped: Callable[[], bool], decisions: Iterable[Decision]) -> Iterator[Decision]:
    for decision in decisions:
        yield decision
        if stopped():
            return


def _source(video: str) -> str | int:
    return int(video.partition(":")[2]) if is_camera(video) else video


def _stem(video: str) -> str:
    shown = address_without_password(video).removesuffix("?...") if "://" in video else video
    name = shown.rstrip("/").rpartition("/")[2].replace(":", "-")
    return Path(name).stem or "stream"
