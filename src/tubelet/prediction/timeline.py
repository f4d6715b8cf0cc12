"""From decisions to events: when something starts, when it ends, and how sure the model was."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tubelet.errors import ConfigError, VideoError
from tubelet.files import replacing
from tubelet.json_files import dump_json
from tubelet.paths import require_free
from tubelet.prediction.decision import Decision
from tubelet.prediction.interruptions import Interruptions
from tubelet.text import printable

ON, OFF = 0.5, 0.3


@dataclass(frozen=True)
class Event:
    """A span of time in which a class was probable.

    Attributes:
        label: the class.
        start: seconds on the source's own clock.
        end: seconds.
        peak: highest probability.
        mean: of the probabilities of its decisions.
        decisions: how many.
        head: of the model.
    """

    label: str
    start: float
    end: float
    peak: float
    mean: float
    decisions: int
    head: str = "label"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; seconds to the microsecond, probabilities to six digits."""
        return {
            "head": self.head,
            "label": self.label,
            "start": round(self.start, 6),
            "end": round(self.end, 6),
            "peak": round(self.peak, 6),
            "mean": round(self.mean, 6),
            "decisions": self.decisions,
        }


def find_events(
    decisions: Iterable[Decision],
    *,
    on: float = ON,
    off: float = OFF,
    minimum: float = 0.0,
    labels: Collection[str] | None = None,
) -> Iterator[Event]:
    """Events, each as soon as it is over. Memory does not grow with the video.

    An event of a class starts with a decision in which its probability is at least `on`, and ends with the first one in
    which it is below `off` (hysteresis: a probability that varies around one threshold does not make many events).

    A decision covers the time around `Decision.time`: the border between two decisions is midway between their times.
    The first covers its window from the start, the last to the end. Where the times of the decisions jump back, later
    ones are shifted so that they ascend.

    Args:
        decisions: as `tubelet.stream` gives them.
        on: probability with which an event starts.
        off: probability below which it is over; at most `on`.
        minimum: seconds; shorter events are left out.
        labels: only events of these classes.

    Raises:
        ConfigError: thresholds out of order or range.
    """
    check_thresholds(on, off, minimum)
    return _find_events(decisions, on, off, minimum, labels)


def check_thresholds(on: float, off: float, minimum: float) -> None:
    """Raise a ConfigError for thresholds that `find_events` refuses."""
    if not (0 < off <= on <= 1 and minimum >= 0):
        raise ConfigError(f"on={on}, off={off}, minimum={minimum}: expected 0 < off <= on <= 1 and minimum >= 0")


def _find_events(
    decisions: Iterable[Decision], on: float, off: float, minimum: float, labels: Collection[str] | None
) -> Iterator[Event]:
    running: dict[tuple[str, str], _Running] = {}
    before: Decision | None = None
    for decision in _on_one_clock(decisions):
        border = decision.start if before is None else (before.time + decision.time) / 2
        for head in decision.heads.values():
            for label, probability in zip(head.classes, head.probabilities.tolist(), strict=True):
                event = running.get((head.name, label))
                if event is not None and probability < off:
                    del running[head.name, label]
                    yield from event.ended(border, minimum)
                elif event is not None:
                    event.add(probability)
                elif probability >= on and (labels is None or label in labels):
                    running[head.name, label] = _Running(head.name, label, border, probability)
        before = decision
    if before is not None:
        for event in running.values():
            yield from event.ended(before.end, minimum)


def _on_one_clock(decisions: Iterable[Decision]) -> Iterator[Decision]:
    """The decisions with times that ascend: after a jump back they go on by the last step between two decisions."""
    before: Decision | None = None
    shift = step = 0.0
    for decision in decisions:
        moved = decision if not shift else _later(decision, shift)
        if before is not None and moved.start < before.start:
            shift += before.start + step - moved.start
            moved = _later(decision, shift)
        step = step if before is None else moved.start - before.start
        before = moved
        yield moved


def _later(decision: Decision, seconds: float) -> Decision:
    start, end, time = decision.start + seconds, decision.end + seconds, decision.time + seconds
    return replace(decision, start=start, end=end, time=time)


class _Running:
    """An event that is not over yet."""

    def __init__(self, head: str, label: str, start: float, probability: float) -> None:
        self._head, self._label, self._start = head, label, start
        self._peak = self._sum = probability
        self._count = 1

    def add(self, probability: float) -> None:
        self._peak = max(self._peak, probability)
        self._sum += probability
        self._count += 1

    def ended(self, end: float, minimum: float) -> Iterator[Event]:
        if end - self._start >= minimum:
            mean = self._sum / self._count
            yield Event(self._label, self._start, end, self._peak, mean, self._count, self._head)


@dataclass(frozen=True)
class Timeline:
    """The events of one video, by their start.

    Attributes:
        source: the file, address or camera.
        start: when its first window starts, seconds on its own clock.
        end: when its last window ends.
        events: ascending in time.
        error: why it ends before the video: a connection broke, a file is damaged; None if it was read to its end.
        interruptions: of a live source.
    """

    source: str
    start: float
    end: float
    events: tuple[Event, ...]
    error: str | None = None
    interruptions: Interruptions = field(default_factory=Interruptions)

    @classmethod
    def of(
        cls,
        source: str,
        decisions: Iterable[Decision],
        find: Callable[[Iterable[Decision]], Iterable[Event]] = find_events,
    ) -> Timeline:
        """The events of all decisions. If reading fails after some of them, the events up to there are kept.

        Args:
            source: its name.
            decisions: as `tubelet.stream` gives them.
            find: `find_events`, with other settings than its defaults by `functools.partial`.

        Raises:
            VideoError: reading fails before the first decision.
        """
        start = end = 0.0
        error: str | None = None

        def watched() -> Iterator[Decision]:
            nonlocal start, end, error
            number = -1
            try:
                for number, decision in enumerate(_on_one_clock(decisions)):
                    start, end = decision.start if number == 0 else start, decision.end
                    yield decision
            except VideoError as broken:
                if number < 0:
                    raise
                error = broken.reason

        events = sorted(find(watched()), key=lambda event: (event.start, event.end, event.label))
        return cls(source, start, end, tuple(events), error)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: `path`, `error`, `start`, `end`, `interruptions` and `events`."""
        times = {"start": round(self.start, 6), "end": round(self.end, 6)}
        events = [event.to_dict() for event in self.events]
        interruptions = asdict(self.interruptions)
        return {"path": self.source, "error": self.error, **times, "interruptions": interruptions, "events": events}

    def to_json(self) -> str:
        """`to_dict`, indented."""
        return dump_json(self.to_dict(), indent=2) + "\n"

    def to_csv(self) -> str:
        """One line an event: head, label, start, end, peak, mean, decisions. Control characters are written out."""
        text = io.StringIO()
        columns = ["head", "label", "start", "end", "peak", "mean", "decisions"]
        rows = csv.DictWriter(text, columns, lineterminator="\n")
        rows.writeheader()
        for event in self.events:
            names = {"head": printable(event.head), "label": printable(event.label)}
            rows.writerow({**event.to_dict(), **names})
        return text.getvalue()

    def to_srt(self) -> str:
        """Subtitles for any player: label and mean probability. Times count from `start`, as players count."""
        several = len({event.head for event in self.events}) > 1
        blocks = []
        for number, event in enumerate(self.events, 1):
            name = f"{event.head}: {event.label}" if several else event.label
            times = f"{_srt_time(event.start - self.start)} --> {_srt_time(event.end - self.start)}"
            blocks.append(f"{number}\n{times}\n{printable(' '.join(name.split()))} {event.mean:.0%}\n")
        return "\n".join(blocks)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write it, whole or not at all, in the format of the suffix: .json, .csv or .srt.

        Args:
            path: of the file.
            overwrite: replace one that exists.

        Raises:
            ConfigError: another suffix, or the file exists.
        """
        file = Path(path)
        check_writable(file, overwrite=overwrite)
        text = FORMATS[file.suffix.lower()](self)
        with replacing(file) as partial:
            partial.write_text(text, encoding="utf-8", newline="")
        return file


FORMATS: dict[str, Callable[[Timeline], str]] = {
    ".json": Timeline.to_json,
    ".csv": Timeline.to_csv,
    ".srt": Timeline.to_srt,
}


def check_writable(file: Path, *, overwrite: bool = False) -> None:
    """Raise a ConfigError if no timeline can be written there: an unknown suffix, or the file exists."""
    if file.suffix.lower() not in FORMATS:
        raise ConfigError(f"{file}: a timeline is written as {', '.join(FORMATS)}; the suffix says which")
    require_free(file, overwrite=overwrite)


def _srt_time(seconds: float) -> str:
    milliseconds = max(0, round(seconds * 1000))
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    whole, rest = divmod(rest, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02},{rest:03}"
