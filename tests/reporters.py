"""Reporters that remember what they are told, and such that end the training they are told of."""

from __future__ import annotations

import os
import signal

from tubelet.training import SilentReporter


class Told(SilentReporter):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


class StopsAt(SilentReporter):
    """Sends this process a SIGTERM after a step."""

    def __init__(self, step: int) -> None:
        self._at = step

    def step(self, step: int, text: str) -> None:
        if step == self._at:
            os.kill(os.getpid(), signal.SIGTERM)


class KilledError(Exception):
    """Stands for the end of a process."""


class KilledAt(SilentReporter):
    """Ends the training in the middle of a step, without any chance to write a checkpoint."""

    def __init__(self, step: int) -> None:
        self._step = step

    def step(self, step: int, text: str) -> None:
        if step == self._step:
            raise KilledError
