"""How much memory and time a video may take, so that a small file cannot claim all of them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tubelet.errors import ConfigError, VideoError


@dataclass(frozen=True)
class Limits:
    """Bounds of memory, checked before it is taken, and of time, checked between packets.

    Attributes:
        frame_pixels: height x width of a frame; the default is 8192 x 8192.
        clip_bytes: of all frames that are asked for at once, as RGB; the default is 2 GiB.
        seconds: of reading and decoding a file until the list of its frames is known, and then until the next frame
            that is asked for; the default is an hour. A call of FFmpeg that reads nothing is not interrupted.

    Raises:
        ConfigError: a bound of memory below 1, or of time that is not above 0.
    """

    frame_pixels: int = 2**26
    clip_bytes: int = 2**31
    seconds: int | float = 3600

    def __post_init__(self) -> None:
        if self.frame_pixels < 1 or self.clip_bytes < 1:
            raise ConfigError(f"{self}: limits of memory must be at least 1")
        if not self.seconds > 0:
            raise ConfigError(f"{self}: seconds must be above 0")

    @property
    def decoder_options(self) -> dict[str, str]:
        """FFmpeg's own bound, a little higher: stored frames have rows and columns that are not shown."""
        return {"max_pixels": str(self.frame_pixels + 2**20)}

    def check_frame(self, path: str, height: int, width: int, subject: str = "its frames have") -> None:
        """Raise a VideoError if a frame of this size is too large."""
        if height * width > self.frame_pixels:
            raise VideoError(
                path,
                f"{subject} {width}x{height} pixels, more than {self.frame_pixels:,}; "
                "to allow that, open it with Limits(frame_pixels=...)",
            )

    def check_clip(self, path: str, frames: int, height: int, width: int) -> None:
        """Raise a VideoError if that many frames of this size are too large for one clip."""
        size = 3 * frames * height * width
        if size > self.clip_bytes:
            raise VideoError(
                path,
                f"{frames} frames of {width}x{height} pixels need {size / 2**30:.1f} GiB, more than "
                f"{self.clip_bytes / 2**30:.1f} GiB; read fewer at once (indices, start, end), or open it with "
                "Limits(clip_bytes=...)",
            )


class TimeLimit:
    """The time that `Limits.seconds` leaves.

    Args:
        path: of the video, for the error.
        limits: of which `seconds` count.
    """

    def __init__(self, path: str, limits: Limits) -> None:
        self._path, self._seconds = path, limits.seconds
        self.restart()

    def restart(self) -> None:
        """Begin again."""
        self._end = time.monotonic() + self._seconds

    def check(self) -> None:
        """Raise a VideoError if the time is over."""
        if time.monotonic() > self._end:
            raise self.exceeded()

    def exceeded(self) -> VideoError:
        """The error that the time is over."""
        return VideoError(
            self._path,
            f"no frame that was asked for came in {self._seconds:g} s of reading and decoding; re-encode it or leave "
            "it out, or open it with Limits(seconds=...)",
        )


LIMITS = Limits()
"""By default."""
