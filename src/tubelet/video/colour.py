"""A decoded picture to upright RGB, 8 bit."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, cast

import numpy
import torch
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray
from torch import Tensor

from tubelet.errors import VideoError

Orientation = tuple[bool, bool, bool]
"""Whether to transpose, then to flip vertically, then to flip horizontally."""

LEAST_LEVELS = 32
"""Grey pictures of 16 bits with fewer levels after conversion to 8 bits are refused: depth in mm, for example."""

SAVE_AS_8_BIT = "save the pictures with 8 bits, the range that matters spread over 0 to 255"

UPRIGHT: Orientation = (False, False, False)


def _unnamed_side_data(cls: type[Type], value: object) -> Type | None:
    """A member for side data that PyAV does not know, such as EXIF; without it PyAV reads no side data at all."""
    if not isinstance(value, int):
        return None
    member: Any = object.__new__(cls)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return cast(Type, cls._value2member_map_.setdefault(value, member))


if "_missing_" not in vars(Type):  # PyAV 19 has such a method of its own
    Type._missing_ = classmethod(_unnamed_side_data)  # type: ignore[method-assign, assignment]

_DEGREES = {(False, True, True): 180, (True, True, False): 90, (True, False, True): 270}


class RGBConverter:
    """Converts decoded pictures to upright RGB.

    Colour matrix (BT.601, BT.709, BT.2020 …) and range (limited, full) are those of the stream; without a matrix it is
    BT.601, as in FFmpeg. Transparency is dropped. High dynamic range is not tone-mapped.

    Args:
        size: (height, width) of the pictures as stored; one of another size is scaled to it.
        orientation: of the stored pictures.
    """

    def __init__(self, size: tuple[int, int], orientation: Orientation) -> None:
        self._reformatter = VideoReformatter()
        self._size = size
        self._orientation = orientation

    def convert(self, frame: VideoFrame) -> Tensor:
        """uint8 [3, H, W], a view of memory laid out pixel by pixel."""
        height, width = self._size
        rgb = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", dst_color_range=ColorRange.JPEG, threads=1
        )
        picture = numpy.ascontiguousarray(_upright(_pixels(rgb), self._orientation))
        return torch.from_numpy(picture).permute(2, 0, 1)


def _pixels(frame: VideoFrame) -> NDArray[numpy.uint8]:
    """uint8 [H, W, 3], a view into an rgb24 frame without the padding of its rows."""
    plane = frame.planes[0]
    rows = numpy.frombuffer(memoryview(plane), numpy.uint8).reshape(-1, abs(plane.line_size))[: frame.height]
    if plane.line_size < 0:
        rows = rows[::-1]
    return rows[:, : frame.width * 3].reshape(frame.height, frame.width, 3)


def require_contrast(path: str, lowest: int, highest: int) -> None:
    """Raise a VideoError if grey levels of 16 bits use so small a range that hardly any are left in 8 bits."""
    levels = (highest - lowest) // 257
    if lowest < highest and levels < LEAST_LEVELS:
        raise VideoError(
            path,
            f"its 16-bit pictures have values from {lowest} to {highest}, which leave {levels + 1} of 256 grey "
            f"levels in 8 bits; {SAVE_AS_8_BIT}",
        )


def require_contrast_of(frame: VideoFrame, path: str) -> None:
    """`require_contrast` of a decoded picture, if it is one of 16-bit grey; floating-point ones are refused."""
    if frame.format.name.startswith(("grayf", "gbrpf", "gbrapf", "rgbf", "rgbaf")):
        raise VideoError(path, f"its pixels are floating-point numbers ({frame.format.name}); {SAVE_AS_8_BIT}")
    if frame.format.name in ("gray16le", "gray16be"):
        values = frame.to_ndarray()
        require_contrast(path, int(values.min()), int(values.max()))


def orientation_of(frame: VideoFrame) -> tuple[Orientation, int]:
    """How to make a stored picture upright, and its rotation in degrees counterclockwise: 0, 90, 180 or 270.

    Read from the display matrix: a pixel at (x, y) is shown at (a x + c y, b x + d y). Other angles are rounded to a
    right angle. A picture that is only flipped has 0 degrees.
    """
    side_data = cast(Mapping[str, Any], frame.side_data)
    if "DISPLAYMATRIX" not in side_data:
        return UPRIGHT, 0
    matrix = side_data["DISPLAYMATRIX"]
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
    swap = abs(b) + abs(c) > abs(a) + abs(d)
    right, down = (c, b) if swap else (a, d)
    orientation = (swap, down < 0, right < 0)
    return orientation, _DEGREES.get(orientation, 0)


def _upright(picture: NDArray[numpy.uint8], orientation: Orientation) -> NDArray[numpy.uint8]:
    """A view of a picture [H, W, 3] that is upright."""
    swap, up_down, left_right = orientation
    if swap:
        picture = picture.transpose(1, 0, 2)
    return picture[:: -1 if up_down else 1, :: -1 if left_right else 1]
