"""What a person sees while a model trains: a bar with the time left in a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from tubelet.text import printable_lines, shortened

PLAIN_LINE_SECONDS = 60.0
"""Without a terminal, there is at least one line in this time."""

FIRST_LINE_STEPS, FIRST_LINE_SECONDS = 3, 10.0
"""The first line without a terminal comes after so many steps, or after the first that ends later than this."""


@runtime_checkable
class Reporter(Protocol):
    """Told by the loop what happens. Write one to show training elsewhere."""

    def message(self, text: str) -> None:
        """A sentence worth reading."""

    def begin(self, step: int, total_steps: int) -> None:
        """Training starts at `step` (more than 0 if it goes on), or has another number of steps from here on."""

    def step(self, step: int, text: str) -> None:
        """So many steps are done; `text` has the latest figures."""

    def preparing(self, done: int, total: int) -> None:
        """The features of so many videos are computed."""

    def validating(self, done: int, total: int) -> None:
        """So many validation videos are done."""

    def epoch(self, text: str) -> None:
        """An epoch is over; `text` has its figures."""

    def end(self) -> None:
        """Training is over, however it ended."""


class ConsoleReporter:
    """Writes to the standard error stream.

    Args:
        console: another place.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._started = self._last_line = time.monotonic()
        self._first = self._step = self._total = 0
        self._said = False
        """Whether there was a line yet."""

    def message(self, text: str) -> None:
        self._console.print(printable_lines(shortened(text)), soft_wrap=True, markup=False)

    def begin(self, step: int, total_steps: int) -> None:
        self._first, self._step, self._total = step, step, total_steps
        self._started = self._last_line = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, total=total_steps)
        elif self._console.is_terminal:
            columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=total_steps, completed=step)
            self._bar.start()

    def step(self, step: int, text: str) -> None:
        self._step = step
        if self._bar is not None:
            self._bar.update(self._task, completed=step, description=f"{self.time_left()} left  {text}")
        elif self._is_quiet() or (not self._said and step - self._first >= FIRST_LINE_STEPS):
            self._line(f"step {step}/{self._total}  {text}  {self.time_left()} left")

    def preparing(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=f"features of {done}/{total} videos")
        elif done == total or self._is_quiet():
            self._line(f"features of {done}/{total} videos")
        if done == total:
            self._started = time.monotonic()  # what follows has another pace

    def validating(self, done: int, total: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=f"{self.time_left()} left  validating {done}/{total}")
        elif self._is_quiet():
            self._line(f"validating {done}/{total}  {self.time_left()} left")

    def epoch(self, text: str) -> None:
        self._line(f"{text}  {self.time_left()} left" if self._step < self._total else text)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def time_left(self) -> str:
        """At the pace so far, validations included: "1:02:03"."""
        done = self._step - self._first
        if not done:
            return "?"
        seconds = (time.monotonic() - self._started) / done * (self._total - self._step)
        return format_seconds(seconds)

    def _is_quiet(self) -> bool:
        """Whether it is long enough since the last line that somebody may wonder."""
        return time.monotonic() - self._last_line > (PLAIN_LINE_SECONDS if self._said else FIRST_LINE_SECONDS)

    def _line(self, text: str) -> None:
        self._last_line, self._said = time.monotonic(), True
        self.message(text)


class SilentReporter:
    """Shows nothing."""

    def message(self, text: str) -> None:
        pass

    def begin(self, step: int, total_steps: int) -> None:
        pass

    def step(self, step: int, text: str) -> None:
        pass

    def preparing(self, done: int, total: int) -> None:
        pass

    def validating(self, done: int, total: int) -> None:
        pass

    def epoch(self, text: str) -> None:
        pass

    def end(self) -> None:
        pass


class Pace:
    """Clips per second, and the share of time spent waiting for data."""

    def __init__(self) -> None:
        self._started = self._lap = time.perf_counter()
        self.clips = 0
        self._waited = 0.0

    def data_came(self) -> None:
        """The time since the last step was spent waiting for data."""
        now = time.perf_counter()
        self._waited += now - self._lap
        self._lap = now

    def step_done(self, clips: int) -> None:
        """A step on so many clips is over."""
        self.clips += clips
        self._lap = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the count began."""
        return max(self._lap - self._started, 1e-9)

    @property
    def clips_per_second(self) -> float:
        return self.clips / self.seconds

    @property
    def data_wait_share(self) -> float:
        """From 0, data was always there, to 1."""
        return self._waited / self.seconds

    def __str__(self) -> str:
        return f"{self.clips_per_second:.1f} clips/s ({self.data_wait_share:.0%} waiting for data)"


def format_seconds(seconds: float) -> str:
    """3723 as "1:02:03", 63 as "1:03"."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
