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

Orientation = tuple[bool, bool, bool]
"""Whether to swap rows and columns, then to mirror up-down, then to mirror left-right."""

UPRIGHT: Orientation = (False, False, False)


def _unnamed_side_data(cls: type[Type], value: object) -> Type | None:
    """A member for side data that FFmpeg knows and PyAV does not, such as EXIF: without it no side data can be read."""
    if not isinstance(value, int):
        return None
    member: Any = object.__new__(cls)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return cast(Type, cls._value2member_map_.setdefault(value, member))


if "_missing_" not in vars(Type):  # PyAV 19 has such a method of its own
    Type._missing_ = classmethod(_unnamed_side_data)  # type: ignore[method-assign, assignment]

_DEGREES = {(False, True, True): 180, (True, True, False): 90, (True, False, True): 270}


class RGBConverter:
    """Turns decoded pictures into upright RGB ones, one after the other.

    The matrix (BT.601, BT.709, BT.2020 …) and range (limited, full) are those that the stream names; where it names no
    matrix, BT.601 is taken, as FFmpeg does. Transparency is dropped. High dynamic range is not tone-mapped.

    Args:
        size: (height, width) of the pictures as stored; one of another size is scaled to it.
        orientation: how to turn them.
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
        picture = numpy.ascontiguousarray(_turned(_pixels(rgb), self._orientation))
        return torch.from_numpy(picture).permute(2, 0, 1)


def _pixels(frame: VideoFrame) -> NDArray[numpy.uint8]:
    """uint8 [H, W, 3], a view into an rgb24 frame without the padding of its rows."""
    plane = frame.planes[0]
    rows = numpy.frombuffer(memoryview(plane), numpy.uint8).reshape(-1, abs(plane.line_size))[: frame.height]
    if plane.line_size < 0:
        rows = rows[::-1]
    return rows[:, : frame.width * 3].reshape(frame.height, frame.width, 3)


def orientation_of(frame: VideoFrame) -> tuple[Orientation, int]:
    """How a stored picture must be turned to be upright, and that as degrees counterclockwise: 0, 90, 180 or 270.

    Read from the display matrix: a pixel at (x, y) is shown at (a x + c y, b x + d y). Angles between right angles are
    taken as the nearest right angle. A picture that is only mirrored counts as 0 degrees.
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


def _turned(picture: NDArray[numpy.uint8], orientation: Orientation) -> NDArray[numpy.uint8]:
    """A view of a picture [H, W, 3] that is upright."""
    swap, up_down, left_right = orientation
    if swap:
        picture = picture.transpose(1, 0, 2)
    return picture[:: -1 if up_down else 1, :: -1 if left_right else 1]
