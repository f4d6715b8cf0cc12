"""The real clips that forms of a model are compared on."""

from __future__ import annotations

from pathlib import Path

import numpy

import tubelet
from tubelet.exporting.clips import real_clips
from tubelet.video import Preprocessing, open_video


def test_a_part_of_a_video_in_a_table_is_the_clip(trained: Path, bars: Path, tmp_path: Path) -> None:
    video = sorted(bars.rglob("*.mp4"))[0]
    table = tmp_path / "parts.csv"
    table.write_text(f"path,label,start,end\n{video},down,0,0.2\n{video},down,0.2,0.5\n")
    model = tubelet.load(trained)
    assert model.preprocessing is not None
    clips = real_clips(model, [table])
    for number, (start, end) in enumerate([(0, 0.2), (0.2, 0.5)]):
        with open_video(video) as decoder:
            views = Preprocessing(model.preprocessing).views(decoder, start=start, end=end)
        expected = Preprocessing(model.preprocessing).denormalise(views.video[0]).permute(0, 2, 3, 1).numpy()
        assert numpy.array_equal(clips.pixels[number], expected)
    assert not numpy.array_equal(clips.pixels[0], clips.pixels[1])
