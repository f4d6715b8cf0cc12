"""A map over the frames of its video: one signed colour scale for the whole clip."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tubelet.explanation.result import Explanation, ViewMap
from tubelet.video.resize import resize_frames

FOR, AGAINST = (228, 87, 46), (46, 110, 228)
"""RGB of what speaks for the class, and against it."""

STRONGEST = 0.75
"""Opacity of the largest value."""

UNSEEN = 0.35
"""Brightness of what no view saw."""

LARGEST, NARROWEST = 640, 360
"""Pixels of the longer side of a picture at most; of its width at least, so that the words below it have room."""

STRIP = 64
"""Pixels of the curve below the picture."""

LINE = 18
"""Pixels of a line of words."""


class Overlay:
    """Paints an explanation over the frames that it is of.

    Args:
        explanation: with the size of the video's frames.

    Attributes:
        size: (height, width) of a painted frame, without curve and words; both even. Its pixels are square.
    """

    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation
        height, width = explanation.size
        shown = width * explanation.pixel_aspect
        scale = min(LARGEST / max(height, shown), 1)
        scale = max(scale, NARROWEST / shown)
        self.size = (2 * round(height * scale / 2), 2 * round(shown * scale / 2))
        self._scale = self.size[0] / height, self.size[1] / width
        self._largest = max(float(heat.abs().max()) for view in explanation.views for heat in _by_frame(view).values())
        self._seen = self._seen_pixels()
        self._by_frame = [_by_frame(view) for view in explanation.views]

    def heat(self, number: int) -> Float[Tensor, "H W"]:
        """The map at a frame of the video, from -1 to 1 of the largest value; 0 where no view saw anything.

        A frame between those that the model saw has the map of the nearest one.
        """
        canvas = torch.zeros(self.size)
        for view, maps in zip(self.explanation.views, self._by_frame, strict=True):
            nearest = min(maps, key=lambda frame: abs(frame - number))
            top, left, bottom, right = self._corners(view)
            part = F.interpolate(
                maps[nearest][None, None].float(),
                size=(bottom - top, right - left),
                mode="bilinear",
                align_corners=False,
            )[0, 0]
            canvas[top:bottom, left:right] += part / len(self.explanation.views)
        return canvas / self._largest if self._largest else canvas

    def paint(self, frame: UInt8[Tensor, "3 H W"], number: int) -> NDArray[numpy.uint8]:
        """A frame with the map over it, uint8 [H, W, 3] of `size`."""
        picture = resize_frames(frame[None], self.size)[0].float()
        grey = picture.mean(dim=0, keepdim=True)
        picture = 0.4 * picture + 0.6 * grey
        heat = self.heat(number)
        opacity = (heat.abs() * STRONGEST)[None]
        tint = torch.where(heat > 0, _colour(FOR), _colour(AGAINST))
        picture = torch.lerp(picture, tint, opacity)
        picture = torch.where(self._seen, picture, UNSEEN * grey)
        return picture.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()

    def _corners(self, view: ViewMap) -> tuple[int, int, int, int]:
        top, left, height, width = view.box
        rows, columns = self._scale
        first = max(round(top * rows), 0), max(round(left * columns), 0)
        last = min(round((top + height) * rows), self.size[0]), min(round((left + width) * columns), self.size[1])
        return (*first, *last)

    def _seen_pixels(self) -> Tensor:
        seen = torch.zeros(self.size, dtype=torch.bool)
        for view in self.explanation.views:
            top, left, bottom, right = self._corners(view)
            seen[top:bottom, left:right] = True
        return seen


def _by_frame(view: ViewMap) -> dict[int, Tensor]:
    """The map [h, w] of each frame that the view saw: the tubelets that hold it, each shared by its frames."""
    maps: dict[int, Tensor] = {}
    for frames, heat in zip(view.frames, view.map, strict=True):
        for frame in frames:
            maps[frame] = maps.get(frame, torch.zeros_like(heat)) + heat / len(frames)
    return maps


def _colour(rgb: tuple[int, int, int]) -> Tensor:
    return torch.tensor(rgb, dtype=torch.float32)[:, None, None]


def strip(explanation: Explanation, width: int) -> Image.Image:
    """The curve over the video's time, and words: the class, the logit, the method, the score, the top classes."""
    lines = words(explanation)
    image = Image.new("RGB", (width, STRIP + LINE * len(lines) + 8), "white")
    draw = ImageDraw.Draw(image)
    curve = _held(explanation)
    values = [float(curve[column * len(curve) // width]) for column in range(width)]
    largest = max(map(abs, values)) or 1.0
    middle = STRIP // 2
    draw.line([(0, middle), (width, middle)], fill=(200, 200, 200))
    for column, value in enumerate(values):
        end = middle - round(value / largest * (middle - 4))
        if value:
            draw.line([(column, middle), (column, end)], fill=FOR if value > 0 else AGAINST)
    for number, line in enumerate(lines):
        draw.text((6, STRIP + 4 + number * LINE), _cut(draw, line, width - 12), fill=(20, 20, 20), font=label_font())
    return image


def with_playhead(below: Image.Image, position: float) -> Image.Image:
    """The strip with a line at a position from 0 (start) to 1 (end)."""
    image = below.copy()
    column = round(position * (image.width - 1))
    ImageDraw.Draw(image).line([(column, 0), (column, STRIP)], fill=(20, 20, 20), width=2)
    return image


def _held(explanation: Explanation) -> Tensor:
    """The curve over all frames of the video: a frame that the model did not see has the value of the nearest one."""
    curve = explanation.over_frames()
    seen = sorted({frame for view in explanation.views for frames in view.frames for frame in frames})
    nearest = [min(seen, key=lambda frame: abs(frame - number)) for number in range(len(curve))]
    return curve[nearest]


def words(explanation: Explanation) -> list[str]:
    """What stands below the picture."""
    score = "not scored" if explanation.score is None else str(explanation.score)
    lines = [f"{explanation.target}: logit {explanation.logit:.2f}, by {explanation.method}", score]
    if explanation.top:
        lines.append("   ".join(f"{label} {probability:.0%}" for label, probability in explanation.top[:3]))
    return lines


def _cut(draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
    if draw.textlength(text, font=label_font()) <= width:
        return text
    while text and draw.textlength(text + "…", font=label_font()) > width:
        text = text[:-1]
    return text + "…"


@cache
def label_font() -> ImageFont.FreeTypeFont:
    """The font of all words in pictures."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 13)


def frames_that_matter(explanation: Explanation, count: int) -> Sequence[int]:
    """Numbers of the frames with the largest values of the curve, in their order; at most one of each tubelet."""
    curve = explanation.over_frames().abs()
    left = curve.clone()
    chosen: list[int] = []
    reach = max(len(explanation.timestamps) // (2 * count), 1)
    while len(chosen) < count and float(left.max()) > 0:
        best = int(left.argmax())
        chosen.append(best)
        left[max(best - reach, 0) : best + reach + 1] = 0
    return sorted(chosen)
