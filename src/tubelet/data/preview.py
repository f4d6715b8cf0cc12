"""The input of the model as one picture: a row for each clip, frames from left to right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from tubelet.data.batch import Batch
from tubelet.video import Preprocessing

GAP, TITLE = 2, 14
"""Pixels between frames, and for the line of text above a row."""


def contact_sheet(
    batch: Batch,
    preprocessing: Preprocessing,
    classes: Mapping[str, Sequence[str]] | None = None,
    *,
    clips: int = 8,
    frames: int = 8,
) -> UInt8[Tensor, "3 H W"]:
    """A picture of a batch, after augmentation and mixing, as the model gets it.

    Args:
        batch: of training, or of evaluation: then each view has a row.
        preprocessing: that the batch was made with, to turn it back into pixels.
        classes: class names by head; with them each row says what it shows, in shares if it is mixed.
        clips: at most so many rows.
        frames: at most so many of each clip, evenly spread.

    Returns:
        RGB. Frames that are not real (masked) are dark.
    """
    videos = batch.video.cpu()
    per_video = videos.shape[1] if videos.ndim == 6 else 1
    videos = videos.flatten(0, 1) if videos.ndim == 6 else videos
    mask = None if batch.frame_mask is None else batch.frame_mask.cpu().reshape(-1, videos.shape[1])
    shown = sorted({round(place) for place in numpy.linspace(0, videos.shape[1] - 1, frames).tolist()})
    rows = min(clips, len(videos))
    title = TITLE if classes else 0
    height, width = videos.shape[-2:]
    sheet = torch.full(
        (3, rows * (height + title + GAP) + GAP, len(shown) * (width + GAP) + GAP), 255, dtype=torch.uint8
    )
    for row in range(rows):
        top = row * (height + title + GAP) + GAP + title
        pixels = preprocessing.denormalise(videos[row, shown])
        for column, picture in enumerate(pixels):
            left = column * (width + GAP) + GAP
            dark = mask is not None and not mask[row, shown[column]]
            sheet[:, top : top + height, left : left + width] = picture // 4 if dark else picture
    if not classes:
        return sheet
    picture = Image.fromarray(sheet.permute(1, 2, 0).numpy())
    draw = ImageDraw.Draw(picture)
    for row in range(rows):
        text = describe_target(batch, row // per_video, classes)
        draw.text((GAP, row * (height + title + GAP) + GAP), text, fill=(0, 0, 0))
    return torch.from_numpy(numpy.array(picture)).permute(2, 0, 1)


def describe_target(batch: Batch, place: int, classes: Mapping[str, Sequence[str]]) -> str:
    """What a clip of a batch shows: `#17 waving`, or `#17 waving 70 %, clapping 30 %` if it is mixed."""
    parts = []
    for head, names in classes.items():
        target = batch.targets[head][place].cpu()
        if target.ndim == 0:
            parts.append(names[int(target)])
            continue
        shares, order = target.sort(descending=True, stable=True)
        mixed = torch.isclose(target.sum(), target.new_ones(()))  # shares of one class; several classes may sum to more
        pairs = zip(order.tolist(), shares.tolist(), strict=True)
        top = [f"{names[index]} {share:.0%}" for index, share in pairs if share >= (0.05 if mixed else 0.1)]
        parts.append(", ".join(top[:2] if mixed else top) or "none")
    return f"#{int(batch.indices[place])} " + " | ".join(parts)
