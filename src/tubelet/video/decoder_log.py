"""The log of FFmpeg's decoders, which has more damage than they report as errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import av.logging


class _SharedLevel:
    """The level of FFmpeg's log, one for the process: errors while there is a listener, then what it was."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listeners = 0
        self._before: tuple[int | None, bool] = (None, True)

    def raise_(self) -> None:
        with self._lock:
            if not self._listeners:
                self._before = av.logging.get_level(), av.logging.get_skip_repeated()
                av.logging.set_level(av.logging.ERROR)
                av.logging.set_skip_repeated(False)  # or the same message of the next file would not come
            self._listeners += 1

    def restore(self) -> None:
        with self._lock:
            self._listeners -= 1
            if not self._listeners:
                level, skips = self._before
                av.logging.set_level(level)
                av.logging.set_skip_repeated(skips)


_level = _SharedLevel()


@contextmanager
def decoder_log() -> Iterator[Counter[str]]:
    """Errors that FFmpeg logs in this thread inside the `with`: when it is over, each message and how often it came.

    Only for decoders of a single thread: PyAV takes the GIL for each message, and a message of a decoder's own thread
    would deadlock.
    """
    messages: Counter[str] = Counter()
    _level.raise_()
    try:
        with av.logging.Capture(local=True) as entries:
            yield messages
        messages.update(" ".join(text.split()) for level, _, text in entries if level <= av.logging.ERROR)
    finally:
        _level.restore()
