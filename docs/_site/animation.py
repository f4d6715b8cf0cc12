"""Makes the picture of the README, an explained clip as an animation: `python docs/_site/animation.py`.

Left the clip that comes with the package, right the same with the map of what decided; below the curve over time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from PIL import Image

import tubelet
from tubelet.explanation.film import write_film
from tubelet.paths import packaged_model

FILE = Path(__file__).resolve().parents[1] / "pictures" / "explained.webp"
WIDTH = 240


def main() -> None:
    """Write the animation."""
    folder = packaged_model("demo")
    assert folder is not None, "a folder `demo` with a model of its own is here; call this elsewhere"
    video = folder / "clip.mp4"
    found = tubelet.explain("demo", video, method="balanced")
    with tempfile.TemporaryDirectory() as place:
        film = tubelet.read_video(write_film(found, video, Path(place) / "film.mp4"))
    plain = tubelet.read_video(video).frames
    pictures = [_side_by_side(left, right) for left, right in zip(plain, film.frames, strict=True)]
    pictures[0].save(FILE, save_all=True, append_images=pictures[1:], duration=62, loop=0, quality=70)


def _side_by_side(left: torch.Tensor, right: torch.Tensor) -> Image.Image:
    clip, film = (Image.fromarray(one.permute(1, 2, 0).numpy()) for one in (left, right))
    film = film.resize((WIDTH, WIDTH * film.height // film.width))
    clip = clip.resize((WIDTH, WIDTH * clip.height // clip.width), Image.Resampling.NEAREST)
    whole = Image.new("RGB", (2 * WIDTH + 8, film.height), "white")
    whole.paste(clip, (0, 0))
    whole.paste(film, (WIDTH + 8, 0))
    return whole


if __name__ == "__main__":
    main()
