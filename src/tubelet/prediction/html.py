"""A prediction as a notebook shows it: a few frames, and bars for the most probable classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from jaxtyping import UInt8
from torch import Tensor

from tubelet.video.still import jpeg_data_uri


def prediction_html(
    name: str,
    frames: UInt8[Tensor, "n 3 h w"] | None,
    heads: Mapping[str, Sequence[tuple[str, float]]],
) -> str:
    """A fragment of HTML.

    Args:
        name: of the video.
        frames: shown above the classes.
        heads: head name to its most probable classes with their probabilities; with several heads each is named.
    """
    tables = "".join(_table(head if len(heads) > 1 else "", top) for head, top in heads.items())
    return (
        '<div style="font:14px system-ui,sans-serif;max-width:42em">'
        f'<div style="opacity:.7;margin-bottom:4px"><code>{escape(name)}</code></div>{_pictures(frames)}{tables}</div>'
    )


def error_html(name: str, error: str) -> str:
    """A fragment of HTML for a video that could not be read."""
    return f"<div><code>{escape(name)}</code><br>could not be read: {escape(error)}</div>"


def _pictures(frames: Tensor | None) -> str:
    if frames is None:
        return ""
    style = "height:72px;border-radius:3px;margin:0 3px 3px 0"
    pictures = (f'<img alt="" style="{style}" src="{jpeg_data_uri(frame)}">' for frame in frames)
    return f"<div>{''.join(pictures)}</div>"


def _table(title: str, top: Sequence[tuple[str, float]]) -> str:
    rows = []
    for label, probability in top:
        bar = (
            '<div style="background:#3b6fb6;height:.7em;border-radius:2px;min-width:1px;'
            f'width:{100 * probability:.1f}%"></div>'
        )
        rows.append(
            f'<tr><td style="text-align:left;padding-right:1em">{escape(label)}</td>'
            f'<td style="text-align:right;padding-right:.6em">{probability:.1%}</td>'
            f'<td style="width:14em;text-align:left">{bar}</td></tr>'
        )
    head = f"<div><b>{escape(title)}</b></div>" if title else ""
    return f"{head}<table>{''.join(rows)}</table>"
