"""The errors of tubelet. Each message says what was expected, what was found, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tubelet.text import as_message


class TubeletError(Exception):
    """Base of every error that tubelet raises on purpose; the command line prints it as one line, no traceback.

    Attributes:
        exit_code: of the command line: 2, the command, a setting or a file is not right; 1, what was asked for is
            right, and did not work.
    """

    exit_code: ClassVar[int] = 2

    def __str__(self) -> str:
        return as_message(super().__str__())


class ConfigError(TubeletError, ValueError):
    """An invalid configuration: an unknown field, a wrong type, sizes that do not fit each other."""


class WeightsError(TubeletError, ValueError):
    """A weights file that cannot be read, does not fit the model, or lacks information about it."""


class StorageError(TubeletError, OSError):
    """A file that cannot be written: the disk is full, permission is missing, the path cannot be."""

    exit_code = 1


class InUseError(TubeletError):
    """A folder in which another process works."""

    exit_code = 1


class DataError(TubeletError, ValueError):
    """A data set description that cannot be used: no samples, no labels, unknown classes, an unusable split."""


class UnreadableError(DataError):
    """Videos that could be read before cannot be read any more: a disk is gone, for instance."""

    exit_code = 1


class WorkerError(TubeletError, RuntimeError):
    """A process that reads videos was killed, or does not answer."""

    exit_code = 1


class VideoError(TubeletError, ValueError):
    """A video that cannot be decoded, or not where it was asked for.

    Args:
        path: the file (or folder of frames).
        reason: what is wrong with it, in words, without the path.
    """

    exit_code = 1

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return as_message(f"{self.path}: {self.reason}")


class DecoderCrashError(VideoError):
    """The process that decoded a video died; see `tubelet.video.guarded`."""


class DecoderTimeoutError(VideoError):
    """Decoding a video took longer than its process may; see `tubelet.video.guarded`."""
