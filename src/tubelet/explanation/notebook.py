"""An explanation as a notebook shows it: the frames that mattered, and the curve."""

from __future__ import annotations

import io
from html import escape

from PIL import Image

from tubelet.errors import VideoError
from tubelet.explanation.film import contact_sheet
from tubelet.explanation.overlay import strip
from tubelet.explanation.result import Explanation
from tubelet.video.still import data_uri

WIDTH = 720
"""Pixels of the curve."""


def explanation_html(explanation: Explanation) -> str:
    """A fragment of HTML. Without the frames where the video is not to be had: a tensor, or a file that was moved."""
    name = f"<code>{escape(explanation.path)}</code>" if explanation.path else "frames in memory"
    pictures = [_picture(strip(explanation, WIDTH), "the curve over time, and what was computed")]
    if explanation.path and explanation.timestamps:
        try:
            pictures.insert(0, _picture(contact_sheet(explanation, explanation.path), "the frames that mattered most"))
        except (VideoError, OSError) as error:
            name += f" ({escape(str(error))})"
    return f'<div style="font:14px system-ui,sans-serif"><div style="opacity:.7">{name}</div>{"".join(pictures)}</div>'


def _picture(image: Image.Image, words: str) -> str:
    with io.BytesIO() as file:
        image.save(file, "png")
        address = data_uri("image/png", file.getvalue())
    return f'<img alt="{words}" style="display:block;max-width:100%;margin:4px 0" src="{address}">'
