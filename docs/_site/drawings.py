"""Draws the four models and the way of a video to tokens: `python docs/_site/drawings.py` writes `docs/pictures/*.svg`.

Every drawing shows one token (framed) and the tokens that it attends to (filled). Lines have the colour of the text, so
that a page in the dark needs no other picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

STEPS, SIDE, CELL = 3, 4, 16
GRID = SIDE * CELL
QUERY = (1, 1, 2)
"""Time step, row and column of the token that is followed."""

Attends = Callable[[int, int, int], bool]


def everything(t: int, row: int, column: int) -> bool:
    """Model 1."""
    return True


def same_step(t: int, row: int, column: int) -> bool:
    """Over space."""
    return t == QUERY[0]


def same_place(t: int, row: int, column: int) -> bool:
    """Over time."""
    return (row, column) == QUERY[1:]


def main() -> None:
    """Write all drawings."""
    folder = Path(__file__).resolve().parents[1] / "pictures"
    for name, text in drawings().items():
        (folder / name).write_text(text, encoding="utf-8")


def drawings() -> dict[str, str]:
    """File name -> SVG."""
    return {
        "tokens.svg": _svg("A clip is cut into tubelets; each becomes a token", 150, _tokens()),
        "model-1.svg": _svg(
            "Model 1: every token attends to every token",
            150,
            _row(
                0,
                [
                    _grid("attention over all tokens", everything),
                    _blocks("x 12", "MLP"),
                    _end("pool or class token"),
                ],
            ),
        ),
        "model-2.svg": _svg(
            "Model 2: a spatial encoder for each time step, then a temporal encoder",
            150,
            _row(
                0,
                [
                    _grid("spatial encoder: one time step", same_step),
                    _blocks("x 12", "MLP"),
                    _vectors("temporal encoder: one vector a step"),
                    _blocks("x 4", "MLP"),
                    _end("pool or class token"),
                ],
            ),
        ),
        "model-3.svg": _svg(
            "Model 3: each block attends over space, then over time",
            150,
            _row(
                0,
                [
                    _grid("first over space", same_step),
                    _grid("then over time", same_place),
                    _blocks("x 12", "MLP"),
                    _end("mean of the tokens"),
                ],
            ),
        ),
        "model-4.svg": _svg(
            "Model 4: half of the heads attend over space, half over time",
            150,
            _row(
                0,
                [
                    _grid("half of the heads: space", same_step),
                    _grid("half of the heads: time", same_place, joined=True),
                    _blocks("x 12", "MLP"),
                    _end("mean of the tokens"),
                ],
            ),
        ),
    }


def _svg(title: str, height: int, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg class="drawing" viewBox="0 0 860 {height}" role="img" aria-label="{title}" '
        f'xmlns="http://www.w3.org/2000/svg" fill="none" stroke="currentColor" font-family="inherit" font-size="12">\n'
        f"<title>{title}</title>\n{body}\n</svg>\n"
    )


Part = tuple[int, Callable[[int], list[str]], str]
"""Width, what draws it from its left edge, and the sign before it."""


def _row(top: int, parts: list[Part]) -> list[str]:
    drawn, left = [], 8
    for number, (width, draw, sign) in enumerate(parts):
        if number:
            middle = top + 40 + GRID // 2
            drawn.append(_arrow(left, middle) if sign == ">" else _text(left + 11, middle + 4, sign))
            left += 30
        drawn += draw(left)
        left += width + 8
    return drawn


def _grid(label: str, attends: Attends, joined: bool = False) -> Part:
    width = STEPS * (GRID + 10)

    def draw(left: int) -> list[str]:
        cells = [_text(left + width // 2 - 5, 24, label)]
        for t in range(STEPS):
            for row in range(SIDE):
                for column in range(SIDE):
                    x, y = left + t * (GRID + 10) + column * CELL, 40 + row * CELL
                    cells.append(_cell(x, y, CELL, attends(t, row, column), (t, row, column) == QUERY))
            cells.append(_text(left + t * (GRID + 10) + GRID // 2, 40 + GRID + 18, f"time {t + 1}"))
        return cells

    return width, draw, "+" if joined else ">"


def _vectors(label: str) -> Part:
    width = 150

    def draw(left: int) -> list[str]:
        lines = label.split(": ")
        cells = [_text(left + width // 2, 10 + 14 * n, line) for n, line in enumerate(lines)]
        for t in range(STEPS):
            cells.append(_cell(left + 26 + t * 40, 60, 20, True, t == QUERY[0]))
        return cells

    return width, draw, ">"


def _blocks(times: str, name: str) -> Part:
    def draw(left: int) -> list[str]:
        box = f'<rect x="{left}" y="52" width="58" height="40" rx="6"/>'
        return [box, _text(left + 29, 69, name), _text(left + 29, 84, times)]

    return 58, draw, ">"


def _end(pooling: str) -> Part:
    def draw(left: int) -> list[str]:
        box = f'<rect x="{left}" y="52" width="70" height="40" rx="6"/>'
        return [box, _text(left + 35, 76, "classes"), _text(left + 35, 110, pooling, small=True)]

    return 70, draw, ">"


def _tokens() -> list[str]:
    parts = []
    for frame in range(6):
        x, y = 8 + frame * 14, 30 + frame * 6
        parts.append(f'<rect x="{x}" y="{y}" width="84" height="64" fill="var(--pst-color-background, none)"/>')
    parts += [_text(90, 146, "6 frames"), _arrow(190, 80)]
    for t in range(STEPS):
        x, y = 225 + t * 30, 30 + t * 12
        parts.append(f'<rect x="{x}" y="{y}" width="84" height="64" fill="var(--pst-color-background, none)"/>')
        parts += [f'<path d="M{x + 21 * n} {y}v64" stroke-opacity=".5"/>' for n in (1, 2, 3)]
        parts += [f'<path d="M{x} {y + 16 * n}h84" stroke-opacity=".5"/>' for n in (1, 2, 3)]
    parts.append('<rect class="accent" x="327" y="70" width="21" height="16"/>')
    parts += [_text(300, 146, "tubelets of 2 frames"), _arrow(400, 80)]
    for n in range(10):
        parts.append(_cell(440 + 26 * n, 70, 20, n == 5, n == 5))
    parts += [_text(570, 112, "tokens: one vector of width D for each"), _arrow(715, 80), _text(790, 84, "encoder")]
    return parts


def _cell(x: int, y: int, size: int, filled: bool, framed: bool) -> str:
    colour = ' class="accent" fill-opacity=".45"' if filled and not framed else ' class="accent"' if framed else ""
    return f'<rect{colour} x="{x}" y="{y}" width="{size}" height="{size}" stroke-width="{2.5 if framed else 0.6}"/>'


def _arrow(x: int, y: int) -> str:
    return f'<path d="M{x} {y}h20m-6 -5l6 5l-6 5"/>'


def _text(x: int, y: int, text: str, small: bool = False) -> str:
    size = ' font-size="10"' if small else ""
    return f'<text x="{x}" y="{y}" text-anchor="middle" fill="currentColor" stroke="none"{size}>{text}</text>'


if __name__ == "__main__":
    main()
