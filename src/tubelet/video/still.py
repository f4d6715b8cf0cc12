"""Still pictures of videos: thumbnails, and images inside HTML."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from tubelet.video.protocol import Decoder
from tubelet.video.resize import resize_frames

THUMBNAILS, THUMBNAIL_HEIGHT = 6, 72
"""How many frames are shown of a video, and their height in pixels."""


def thumbnails(decoder: Decoder, indices: Sequence[int]) -> UInt8[Tensor, "n 3 h w"]:
    """A few of the frames with these numbers, evenly apart, small enough to keep."""
    return shrink(decoder.frames_at(spread(list(indices), THUMBNAILS)).frames, THUMBNAIL_HEIGHT)


def shrink(frames: UInt8[Tensor, "T 3 H W"], height: int) -> UInt8[Tensor, "T 3 h w"]:
    """Frames at most `height` pixels high, the aspect ratio kept; smaller ones stay as they are."""
    if frames.shape[2] <= height:
        return frames
    width = max(1, round(frames.shape[3] * height / frames.shape[2]))
    return resize_frames(frames, (height, width))


def spread(indices: range | list[int], count: int) -> list[int]:
    """`count` of the indices, evenly apart: the middle one of each of as many equal parts. All, if there are fewer."""
    count = min(count, len(indices))
    return [indices[(2 * part + 1) * len(indices) // (2 * count)] for part in range(count)]


def jpeg_data_uri(frame: UInt8[Tensor, "3 H W"], quality: int = 82) -> str:
    """A frame as a JPEG inside a data URI, for the `src` of an HTML image."""
    buffer = io.BytesIO()
    Image.fromarray(frame.permute(1, 2, 0).cpu().numpy()).save(buffer, "jpeg", quality=quality)
    return data_uri("image/jpeg", buffer.getvalue())


def data_uri(media_type: str, content: bytes) -> str:
    """The content of a file as an address that needs no file.

    Args:
        media_type: `image/png`, `video/mp4`.
        content: of the file.
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
