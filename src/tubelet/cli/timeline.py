"""`tubelet predict --timeline`: what happens when, in a video that goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tubelet.cli.output import Output
from tubelet.cli.part_file import part_lines
from tubelet.paths import require_free
from tubelet.text import address_without_password, count, printable

if TYPE_CHECKING:
    from tubelet.model import ViViT
    from tubelet.prediction import Decision, Event, Stream, Timeline


@dataclass(frozen=True)
class TimelineSettings:
    """The flags of `tubelet predict` that belong to `--timeline`; see there."""

    out: Path
    hop: int | None
    frame_stride: int | None
    smoothing: str | None
    on: float
    off: float
    minimum: float
    reconnect: float
    overwrite: bool = False


def run_timelines(model: ViViT, videos: Sequence[str], settings: TimelineSettings, output: Output, **how: Any) -> int:
    """Stream each video, print its events as they end, and write its timeline: what there is of it, if it breaks off.

    Args:
        model: loaded.
        videos: files and addresses; `camera:0` is the first camera.
        settings: the flags.
        output: where to.
        how: device, precision and top of `tubelet.stream`.
    """
    from tubelet.errors import VideoError
    from tubelet.prediction import find_events, stream
    from tubelet.prediction.smoothing import Smoother
    from tubelet.prediction.timeline import check_thresholds
    from tubelet.training.interrupt import StopRequest

    check_thresholds(settings.on, settings.off, settings.minimum)
    Smoother(settings.smoothing)
    files = _files(settings.out, videos, settings.overwrite)
    find = partial(find_events, on=settings.on, off=settings.off, minimum=settings.minimum)
    failures = 0
    with StopRequest() as stop:
        streaming = {
            "hop": settings.hop,
            "frame_stride": settings.frame_stride,
            "smoothing": settings.smoothing,
            "reconnect": settings.reconnect,
            "stopped": lambda: bool(stop),
            **how,
        }
        for video, places in zip(videos, files, strict=True):
            try:
                with (
                    _events_to(_part(places), output) as write,
                    stream(model, _source(video), **streaming) as decisions,
                ):
                    timeline = _watch(decisions, find, stop, write, output)
                    for place in places:
                        timeline.save(place, overwrite=settings.overwrite)
            except VideoError as error:
                failures += 1
                output.warn(f"{error.path}: {error.reason}")
                output.data({"path": error.path, "error": error.reason})
                continue
            if timeline.error is not None:
                failures += 1
                output.warn(
                    f"{timeline.source}: cannot be read on after {timeline.end:.2f} s: {timeline.error}; the events up "
                    "to there are written"
                )
            _tell_interruptions(timeline, output)
            output.data({**timeline.to_dict(), "files": [str(place) for place in places]})
            if not output.as_json:
                names = ", ".join(printable(str(place)) for place in places)
                output.console.print(f"  written: {names}", soft_wrap=True)
            if stop.signal_number is not None:
                return 128 + stop.signal_number
    return 1 if failures else 0


def _part(places: Sequence[Path]) -> Path:
    """Where the events of a timeline stand, one a line of JSON, until it is done."""
    return places[0].with_name(f"{places[0].name}.part")


@contextmanager
def _events_to(part: Path, output: Output) -> Iterator[Callable[[Event], None]]:
    """Takes events, each as soon as it is over; the file stays where there is an end before the end."""

    def unfinished(written: int) -> str:
        return f"the timeline was not finished; its first {count(written, 'event')} are in {part}"

    with part_lines(part, None, output, unfinished) as write:
        yield lambda event: write(json.dumps(event.to_dict(), ensure_ascii=False))


def _tell_interruptions(timeline: Timeline, output: Output) -> None:
    seen = timeline.interruptions
    if seen.breaks:
        output.warn(f"{timeline.source}: the connection broke off {count(seen.breaks, 'time')} and was made again")
    if seen.clock_jumps:
        output.warn(
            f"{timeline.source}: its clock jumped {count(seen.clock_jumps, 'time')}; times go on without a jump"
        )
    if seen.dropped:
        output.warn(
            f"{timeline.source}: {count(seen.dropped, 'frame')} dropped, as the model is slower than the camera; "
            "a larger --hop makes fewer decisions"
        )


def _watch(decisions: Stream, find: Any, stop: Any, write: Callable[[Event], None], output: Output) -> Timeline:
    from tubelet.prediction import Timeline

    if not output.as_json:
        output.console.print(printable(decisions.name), style="bold", soft_wrap=True)
    why = f"; {decisions.why_stride}" if decisions.why_stride else ""
    rate = f" at {decisions.rate:g} frames per second" if decisions.rate is not None else ""
    output.notes.print(f"  a decision every {decisions.hop} frames{rate}; {decisions.reuse}{why}", soft_wrap=True)

    def until_stopped() -> Iterator[Decision]:
        for decision in decisions:
            yield decision
            if stop:
                return

    def shown(watched: Iterable[Decision]) -> Iterator[Event]:
        for event in find(watched):
            write(event)
            if not output.as_json:
                head = "" if event.head == "label" else f"{printable(event.head)}: "
                times = f"{event.start:9.2f} - {event.end:9.2f} s"
                label = f"{head}{printable(event.label)}"
                output.console.print(f"  {times}  {event.mean:6.1%}  {label}", soft_wrap=True)
            yield event

    timeline = Timeline.of(decisions.name, until_stopped(), shown)
    return replace(timeline, interruptions=decisions.interruptions)


def _source(video: str) -> str | int:
    return int(video.partition(":")[2]) if is_camera(video) else video


def is_camera(video: str) -> bool:
    """Whether a name is that of a camera, `camera:0`, and no file."""
    kind, _, number = video.partition(":")
    return kind == "camera" and number.isdigit() and not os.path.exists(video)


def _files(out: Path, videos: Sequence[str], overwrite: bool) -> list[list[Path]]:
    """Where the timelines go: one file, or a folder with a file of each format for each video.

    Raises:
        ConfigError: a file would be overwritten, or hold several videos.
    """
    from tubelet.errors import ConfigError
    from tubelet.prediction.timeline import FORMATS, check_writable

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
    for part in map(_part, files):
        if part.parent.is_dir():
            require_free(part, overwrite=overwrite)
    for file in every:
        file.parent.mkdir(parents=True, exist_ok=True)
    return files


def _stem(video: str) -> str:
    shown = address_without_password(video).removesuffix("?...") if "://" in video else video
    name = shown.rstrip("/").rpartition("/")[2].replace(":", "-")
    return Path(name).stem or "stream"
