"""A result as a notebook shows it: a few frames, and bars for the most probable classes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from jaxtyping import UInt8
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.prediction.result import HeadResult, Result
from tubelet.video import Decoder, open_video
from tubelet.video.still import jpeg_data_uri, shrink, spread

FRAMES = 6
HEIGHT = 72
"""Pixels of a frame that is shown."""


def thumbnails_of(
    decoder: Decoder, places: Sequence[int], count: int = FRAMES, height: int = HEIGHT
) -> UInt8[Tensor, "n 3 h w"]:
    """A few of the frames at these places, evenly spread, small enough to keep."""
    return shrink(decoder.frames_at(spread(list(places), count)).frames, height)


def result_to_html(result: Result) -> str:
    """The fragment that `Result._repr_html_` returns."""
    name = escape(result.path or "frames in memory")
    if result.error is not None:
        return f"<div><code>{name}</code><br>could not be read: {escape(result.error)}</div>"
    heads = "".join(_head_html(head, result.shown, named=len(result.heads) > 1) for head in result.heads.values())
    return (
        '<div style="font:14px system-ui,sans-serif;max-width:42em">'
        f'<div style="opacity:.7;margin-bottom:4px"><code>{name}</code></div>{_frames_html(result)}{heads}</div>'
    )


def _frames_html(result: Result) -> str:
    frames = result.thumbnails
    if frames is None and result.path is not None and result.indices:
        try:
            with open_video(result.path) as decoder:
                frames = thumbnails_of(decoder, result.indices)
        except (VideoError, OSError):
            return ""  # the file is gone since; the prediction can be shown without it
    if frames is None:
        return ""
    style = "height:72px;border-radius:3px;margin:0 3px 3px 0"
    return (
        "<div>" + "".join(f'<img alt="" style="{style}" src="{jpeg_data_uri(frame)}">' for frame in frames) + "</div>"
    )


def _head_html(head: HeadResult, shown: int, named: bool) -> str:
    rows = []
    for label, probability in head.top(shown):
        bar = (
            '<div style="background:#3b6fb6;height:.7em;border-radius:2px;min-width:1px;'
            f'width:{100 * probability:.1f}%"></div>'
        )
        rows.append(
            f'<tr><td style="text-align:left;padding-right:1em">{escape(label)}</td>'
            f'<td style="text-align:right;padding-right:.6em">{probability:.1%}</td>'
            f'<td style="width:14em;text-align:left">{bar}</td></tr>'
        )
    title = f"<div><b>{escape(head.name)}</b></div>" if named else ""
    return f"{title}<table>{''.join(rows)}</table>"
