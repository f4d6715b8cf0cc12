"""`tubelet watch`: what a camera or a video shows, as it happens, in the terminal."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tubelet.cli.arguments import CommonOptions, load_model, require_source, warn_of_unfinished
from tubelet.cli.output import Output
from tubelet.cli.timeline import announce, event_in_words, warn_of_interruptions
from tubelet.errors import DataError, VideoError
from tubelet.paths import beside

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tubelet.prediction import Decision, Event

LATEST = 8
"""Events on the screen."""


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Watch a camera, an address or a file: the most probable classes now, and events as they end.

    On a terminal the classes and the latest events are shown live. Otherwise there is a line for each event when it is
    over; with --json one for each decision too. Ctrl-C ends it. `tubelet predict --timeline` keeps what was seen.

    Attributes:
        model: a run, a model folder, a checkpoint or a Hub id.
        source: the number of a camera (0 is the first), an address (rtsp://...), or a file.
        top: how many classes to show.
        hop: frames from one window to the next; by default one tubelet.
        frame_stride: every how many frames one is taken; by default as the model was trained.
        smoothing: mean:5 (over the last five decisions), or exponential:0.3 (the newest weighs 0.3).
        on: probability with which an event starts.
        off: probability below which it is over.
        minimum: seconds; shorter events are left out.
        reconnect: seconds for which a camera or live address that broke off is tried again; 0 not at all.
        resample: sample a source of another frame rate than the model's by its timestamps.
        device: auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps.
        precision: of matrix products; auto is bfloat16 on GPUs that are made for it.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
    top: int = 5
    hop: int | None = None
    frame_stride: int | None = None
    smoothing: str | None = None
    on: float = 0.5
    off: float = 0.3
    minimum: float = 0.0
    reconnect: float = 60.0
    resample: bool = True
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "float32"


STREAMING = ("hop", "frame_stride", "smoothing", "top", "reconnect", "resample", "device", "precision")


def run(options: Options, output: Output) -> int:
    """Watch until the end, or a signal."""
    require_source(options.model)
    number = options.source.removeprefix("camera:")
    source: str | int = int(number) if number.isdecimal() else options.source
    if isinstance(source, str) and "://" not in source and not os.path.exists(source):
        raise DataError(f"{source} does not exist{beside(source)} (a camera is its number, an address has ://)")
    from tubelet.prediction import find_events, stream
    from tubelet.prediction.timeline import check_thresholds
    from tubelet.training.interrupt import StopRequest

    thresholds: dict[str, Any] = {name: getattr(options, name) for name in ("on", "off", "minimum")}
    check_thresholds(**thresholds)
    warn_of_unfinished(options.model, output)
    model = load_model(options.model, output)
    broken: VideoError | None = None
    live = not output.as_json and output.console.is_terminal
    streaming: dict[str, Any] = {name: getattr(options, name) for name in STREAMING}
    with (
        StopRequest("this decision") as stop,
        stream(model, source, stopped=lambda: bool(stop), **streaming) as decisions,
        _Screen(output, decisions.name) if live else nullcontext() as screen,
    ):

        def watched() -> Iterator[Decision]:
            nonlocal broken
            seen = False
            try:
                for decision in decisions:
                    seen = True
                    output.data({"type": "decision", **decision.to_dict()})
                    if screen is not None:
                        screen.show(decision)
                    yield decision
                    if stop:
                        return
            except VideoError as error:
                if not seen:
                    raise
                broken = error

        if screen is None:
            announce(decisions, output)
        for event in find_events(watched(), **thresholds):
            output.data({"type": "event", **event.to_dict()})
            if screen is not None:
                screen.add(event)
            elif not output.as_json:
                output.console.print(event_in_words(event), soft_wrap=True)
        interruptions = decisions.interruptions
    warn_of_interruptions(decisions.name, interruptions, output)
    if broken is not None:
        raise broken
    return 0 if stop.signal_number is None else 128 + stop.signal_number


class _Screen:
    """The classes of the newest decision and the latest events, drawn over and over. A context manager.

    Args:
        output: on a terminal.
        name: of the source.
    """

    def __init__(self, output: Output, name: str) -> None:
        from rich.live import Live

        self._name = name
        self._events: deque[Event] = deque(maxlen=LATEST)
        self._live = Live(console=output.console, auto_refresh=False, transient=False)

    def __enter__(self) -> _Screen:
        self._live.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._live.stop()

    def add(self, event: Event) -> None:
        """An event is over."""
        self._events.append(event)

    def show(self, decision: Decision) -> None:
        """Draw."""
        from rich.console import Group
        from rich.text import Text

        title = Text(f"{self._name}  {decision.end:.1f} s", style="bold")
        past: Iterable[Text] = (Text(event_in_words(event), style="dim") for event in self._events)
        self._live.update(Group(title, *_bars(decision), *past), refresh=True)


def _bars(decision: Decision) -> Iterator[RenderableType]:
    """For each head, a row for each class: name, bar, percentage."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    for head in decision.heads.values():
        if len(decision.heads) > 1:
            yield Text(head.name, style="bold")
        rows = Table.grid(padding=(0, 1))
        for label, probability in head.top(decision.shown):
            rows.add_row(Text(label), ProgressBar(total=1.0, completed=probability, width=30), f"{probability:6.1%}")
        yield rows
