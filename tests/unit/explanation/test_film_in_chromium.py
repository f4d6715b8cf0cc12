"""The film in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.unit.explanation.models import model_of_brightness

import tubelet
from tubelet.explanation.film import write_film
from tubelet.explanation.page import explanation_page
from tubelet.video import open_video, write_video
from unit.report.chromium import needs_chromium, said_by

PLAYED = """
  const film = document.querySelector("video");
  return [film.error ? film.error.message : "plays", film.readyState, film.duration, film.videoWidth].join(" ");
"""


@needs_chromium
@pytest.mark.parametrize("rate", [12.5, 29.97])
def test_the_film_plays_and_has_the_length_of_the_video_to_one_frame(rate: float, tmp_path: Path) -> None:
    """The page's load event waits for the first decoded frame of a film (readyState 2)."""
    frames = torch.randint(0, 255, (37, 3, 48, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    video = write_video(tmp_path / "a.mp4", frames, rate)
    found = tubelet.explain(model_of_brightness(), video, target=0, method="balanced")
    film = write_film(found, video, tmp_path / "film.mp4")
    page = tmp_path / "page.html"
    page.write_text(explanation_page(found, film.as_uri(), None), encoding="utf-8")
    (said,) = said_by(page, PLAYED, 900)
    *words, state, seconds, width = said.split()
    assert words == ["plays"]
    assert int(state) >= 2
    with open_video(video) as decoder:
        assert float(seconds) == pytest.approx(decoder.metadata.duration, abs=1 / rate)
    assert int(width) >= 360
