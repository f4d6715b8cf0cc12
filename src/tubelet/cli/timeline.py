"""`tubelet predict --timeline`: what happens when, in a video that goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tubelet.cli.output import Output
from tubelet.text import count, printable

if TYPE_CHECKING:
    from tubelet.model import ViViT
    from tubelet.prediction import Event, Stream
    from tubelet.prediction.interruptions import Interruptions


def run_timelines(model: ViViT, videos: list[str], out: Path, output: Output, **how: Any) -> int:
    """Print the events of each video as they end, and write its timeline.

    Args:
        model: loaded.
        videos: files and addresses; `camera:0` is the first camera.
        out: a file, or a folder.
        output: where to print.
        how: of `tubelet.prediction.write_timelines`.
    """
    from tubelet.prediction import write_timelines
    from tubelet.training.interrupt import StopRequest

    def happened(event: Event) -> None:
        if not output.as_json:
            output.console.print(event_in_words(event), soft_wrap=True)

    def unfinished(part: Path, events: int) -> None:
        output.warn(f"the timeline was not finished; its first {count(events, 'event')} are in {part}")

    failures = 0
    with StopRequest() as stop:
        watching: dict[str, Any] = {
            "stopped": lambda: bool(stop),
            "began": lambda decisions: announce(decisions, output),
            "happened": happened,
            "unfinished": unfinished,
        }
        for written in write_timelines(model, videos, out, **watching, **how):
            failures += written.error is not None
            if written.timeline is None:
                output.warn(f"{written.source}: {written.error}")
                output.data({"path": written.source, "error": written.error})
                continue
            if written.error is not None:
                output.warn(
                    f"{written.source}: cannot be read on after {written.timeline.end:.2f} s: {written.error}; the "
                    "events up to there are written"
                )
            warn_of_interruptions(written.source, written.timeline.interruptions, output)
            output.data({**written.timeline.to_dict(), "files": [str(file) for file in written.files]})
            if not output.as_json:
                names = ", ".join(printable(str(file)) for file in written.files)
                output.console.print(f"  written: {names}", soft_wrap=True)
            if stop.signal_number is not None:
                return 128 + stop.signal_number
    return 1 if failures else 0


def announce(decisions: Stream, output: Output) -> None:
    """The source, and how it is looked at."""
    if not output.as_json:
        output.console.print(printable(decisions.name), style="bold", soft_wrap=True)
    why = f"; {decisions.why_stride}" if decisions.why_stride else ""
    rate = f" at {decisions.rate:g} frames per second" if decisions.rate is not None else ""
    output.notes.print(f"  a decision every {decisions.hop} frames{rate}; {decisions.reuse}{why}", soft_wrap=True)


def event_in_words(event: Event) -> str:
    """A line: when, how probable, what."""
    head = "" if event.head == "label" else f"{printable(event.head)}: "
    return f"  {event.start:9.2f} - {event.end:9.2f} s  {event.mean:6.1%}  {head}{printable(event.label)}"


def warn_of_interruptions(source: str, seen: Interruptions, output: Output) -> None:
    """What went wrong with a live source, and went on."""
    if seen.breaks:
        output.warn(f"{source}: the connection broke off {count(seen.breaks, 'time')} and was made again")
    if seen.clock_jumps:
        output.warn(f"{source}: its clock jumped {count(seen.clock_jumps, 'time')}; times go on without a jump")
    if seen.dropped:
        output.warn(
            f"{source}: {count(seen.dropped, 'frame')} dropped, as the model is slower than the camera; a larger --hop "
            "makes fewer decisions"
        )
