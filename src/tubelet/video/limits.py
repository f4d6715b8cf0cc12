"""How much memory a video may ask for, so that a small file cannot claim all of it."""

from __future__ import annotations

from dataclasses import dataclass

from tubelet.errors import ConfigError, VideoError


@dataclass(frozen=True)
class Limits:
    """Bounds that are checked before memory is taken.

    Attributes:
        frame_pixels: height x width of a frame; the default is 8192 x 8192.
        clip_bytes: of all frames that are asked for at once, as RGB; the default is 2 GiB.

    Raises:
        ConfigError: a bound below 1.
    """

    frame_pixels: int = 2**26
    clip_bytes: int = 2**31

    def __post_init__(self) -> None:
        if self.frame_pixels < 1 or self.clip_bytes < 1:
            raise ConfigError(f"{self}: both limits must be at least 1")

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
                "if that is meant, open it with Limits(frame_pixels=...)",
            )

    def check_clip(self, path: str, frames: int, height: int, width: int) -> None:
        """Raise a VideoError if so many frames of this size are too much for one clip."""
        size = 3 * frames * height * width
        if size > self.clip_bytes:
            raise VideoError(
                path,
                f"{frames} frames of {width}x{height} pixels need {size / 2**30:.1f} GiB, more than "
                f"{self.clip_bytes / 2**30:.1f} GiB; read fewer at once (indices, start, end), or open it with "
                "Limits(clip_bytes=...)",
            )


LIMITS = Limits()
"""Where nothing else is asked for."""
