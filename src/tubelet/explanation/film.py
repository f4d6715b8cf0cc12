"""An explanation as files to look at: an MP4, a contact sheet, a page."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy
from PIL import Image, ImageDraw
from torch import Tensor

from tubelet.explanation.attribution import Progress, no_progress
from tubelet.explanation.overlay import Overlay, frames_that_matter, label_font, strip, with_playhead
from tubelet.explanation.result import Explanation
from tubelet.files import replacing_shared
from tubelet.prediction.sources import Source, open_source
from tubelet.video import Clip, Decoder
from tubelet.video.encode import add_h264_stream, yuv_frame
from tubelet.video.protocol import until_settled
from tubelet.video.still import spread

TICKS = 90_000
"""Units of a second in the file: what MP4 players expect, and finer than any camera's clock."""

AT_ONCE = 8
"""Frames that are decoded at once."""

SHEET = 6
"""Frames of a contact sheet."""

SHEET_WIDTH = 240


def write_film(
    explanation: Explanation, source: Source, path: str | os.PathLike[str], progress: Progress = no_progress
) -> Path:
    """Write the video with the map over it and the curve below, at its own times and upright.

    Args:
        explanation: of this video.
        source: the video again.
        path: of an MP4.
        progress: called with (done, all) frames.

    Raises:
        VideoError: the video cannot be read.
        StorageError: the file cannot be written.
    """
    file = Path(path)
    overlay = Overlay(explanation)
    below = strip(explanation, overlay.size[1])
    height = overlay.size[0] + below.height + below.height % 2
    with open_source(source) as decoder, replacing_shared(file) as partial:
        rate = Fraction(decoder.metadata.frame_rate).limit_denominator(1001)
        with av.open(f"file:{partial}", "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = add_h264_stream(
                container,
                height=height,
                width=overlay.size[1],
                frame_rate=rate,
                gop=64,
                options={"crf": "20", "preset": "veryfast"},
            )
            stream.codec_context.time_base = Fraction(1, TICKS)

            def add(number: int, frame: Tensor) -> None:
                picture = numpy.full((height, overlay.size[1], 3), 255, numpy.uint8)
                picture[: overlay.size[0]] = overlay.paint(frame, number)
                seconds = float(decoder.timestamps[number] - decoder.timestamps[0])
                position = number / max(decoder.metadata.num_frames - 1, 1)
                under = numpy.asarray(with_playhead(below, position))
                picture[overlay.size[0] : overlay.size[0] + below.height] = under
                encoded = yuv_frame(picture, "yuv420p")
                encoded.pts, encoded.time_base = round(seconds * TICKS), Fraction(1, TICKS)
                container.mux(stream.encode(encoded))
                progress(number + 1, decoder.metadata.num_frames)

            every_frame(decoder, add)
            container.mux(stream.encode(None))
    return file


def every_frame(decoder: Decoder, use: Callable[[int, Tensor], None]) -> None:
    """Call `use(number, frame)` for each frame of a video, in their order; few are in memory at once."""
    number = 0

    def read() -> Clip:
        return decoder.frames_at(range(number, min(number + AT_ONCE, decoder.metadata.num_frames)))

    while number < decoder.metadata.num_frames:
        for frame in until_settled(decoder, read).frames:
            use(number, frame)
            number += 1


def contact_sheet(explanation: Explanation, source: Source, count: int = SHEET) -> Image.Image:
    """The frames that mattered most, with the map and their times, in their order; evenly spread if the map is 0.

    Raises:
        VideoError: the video cannot be read.
    """
    overlay = Overlay(explanation)
    with open_source(source) as decoder:
        numbers = list(frames_that_matter(explanation, count)) or spread(range(decoder.metadata.num_frames), count)
        frames = decoder.frames_at(numbers).frames
        times = [decoder.timestamps[number].item() for number in numbers]
    height = round(SHEET_WIDTH * overlay.size[0] / overlay.size[1])
    sheet = Image.new("RGB", (len(numbers) * (SHEET_WIDTH + 4) - 4, height + 22), "white")
    draw = ImageDraw.Draw(sheet)
    for place, (number, frame, time) in enumerate(zip(numbers, frames, times, strict=True)):
        painted = Image.fromarray(overlay.paint(frame, number)).resize((SHEET_WIDTH, height))
        left = place * (SHEET_WIDTH + 4)
        sheet.paste(painted, (left, 0))
        draw.text((left + 2, height + 3), f"{time:.2f} s, frame {number}", fill=(20, 20, 20), font=label_font())
    return sheet
