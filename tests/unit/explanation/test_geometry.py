"""Where the map lies in the video: a bright square is hottest where a viewer of the film sees it, and when."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy
import pytest
import torch
from tests.unit.explanation.models import PREPROCESSING, model_of_brightness, set_rotation
from torch import Tensor

import tubelet
from tubelet.explanation import Explanation
from tubelet.explanation.film import write_film
from tubelet.explanation.overlay import Overlay
from tubelet.video.encode import add_h264_stream, yuv_frame


def with_square(path: Path, frames: Tensor, aspect: Fraction = Fraction(1), rotation: int = 0) -> Path:
    """Write upright frames as a camera does that is held sideways, with pixels of this aspect."""
    stored = torch.rot90(frames, rotation // 90, (2, 3)).permute(0, 2, 3, 1).contiguous().numpy()
    with av.open(str(path), "w") as container:
        height, width = stored.shape[1:3]
        stream = add_h264_stream(
            container, height=height, width=width, frame_rate=Fraction(25, 2), gop=8, options={"crf": "12"}
        )
        stream.codec_context.sample_aspect_ratio = aspect
        for number, picture in enumerate(stored):
            frame = yuv_frame(picture, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(2, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if rotation:
        set_rotation(path, rotation)
    return path


def square_in(count: int, height: int, width: int, top: int, left: int, when: range) -> Tensor:
    frames = torch.full((count, 3, height, width), 146, dtype=torch.uint8)  # what the norm of the model makes 0
    frames[when.start : when.stop, :, top : top + height // 8, left : left + width // 8] = 255
    return frames


def hottest_in_film(found: Explanation, video: Path, film: Path) -> tuple[int, float, float, tuple[int, int]]:
    """Frame, and height and width from 0 to 1, of what is most orange in the picture; and the picture's size."""
    write_film(found, video, film)
    size = Overlay(found).size
    with av.open(str(film)) as container:
        pictures = numpy.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    pictures = pictures[:, : size[0], : size[1]].astype(float)
    orange = pictures[..., 0] - pictures[..., 2]
    frame = int(orange.max(axis=(1, 2)).argmax())
    near = numpy.argwhere(orange[frame] >= orange.max() - 8).mean(axis=0)
    return frame, float(near[0]) / size[0], float(near[1]) / size[1], size


@pytest.mark.parametrize(
    ("aspect", "rotation", "height", "width"),
    [
        (Fraction(16, 11), 0, 96, 128),
        (Fraction(8, 9), 0, 96, 144),
        (Fraction(1), 90, 128, 72),
        (Fraction(4, 3), 90, 128, 72),
        (Fraction(4, 3), 270, 128, 72),
    ],
)
def test_the_hottest_pixel_of_the_film_is_within_a_tubelet_of_the_square(
    aspect: Fraction, rotation: int, height: int, width: int, tmp_path: Path
) -> None:
    """Pixels that are not square and turned pictures: the film has the shape that players show."""
    top, left = height // 2, width // 2 - width // 16
    frames = square_in(24, height, width, top, left, range(24))
    video = with_square(tmp_path / "a.mp4", frames, aspect, rotation)
    found = tubelet.explain(model_of_brightness(), video, target=0, method="balanced")
    assert found.size == (height, width)
    upright = 1 / aspect if rotation in (90, 270) else aspect
    _, row, column, size = hottest_in_film(found, video, tmp_path / "film.mp4")
    assert size[1] / size[0] == pytest.approx(width * float(upright) / height, rel=0.03)
    _, _, seen_height, seen_width = found.views[0].box
    assert abs(row - (top + height / 16) / height) <= seen_height / 4 / height
    assert abs(column - (left + width / 16) / width) <= seen_width / 4 / width


@pytest.mark.parametrize("stride", [1, 3])
def test_the_hottest_frame_is_within_a_tubelet_of_when_the_square_is_there(stride: int, tmp_path: Path) -> None:
    when = range(18, 18 + 2 * stride)
    video = with_square(tmp_path / "a.mp4", square_in(36, 64, 64, 32, 32, when))
    model = model_of_brightness()
    model.preprocessing = replace(PREPROCESSING, frame_stride=stride)
    found = tubelet.explain(model, video, target=0, method="balanced_tokens")
    frame, row, column, _ = hottest_in_film(found, video, tmp_path / "film.mp4")
    assert when.start - 2 * stride <= frame < when.stop + 2 * stride
    assert abs(row - 36 / 64) <= 1 / 4
    assert abs(column - 36 / 64) <= 1 / 4
    assert int(found.over_frames().argmax()) in range(when.start - 2 * stride, when.stop + 2 * stride)


def test_a_region_lies_where_it_was_cut_out(tmp_path: Path) -> None:
    video = with_square(tmp_path / "a.mp4", square_in(24, 96, 128, 24, 80, range(24)))
    model = model_of_brightness()
    model.preprocessing = replace(PREPROCESSING, region=(0.125, 0.5, 0.625, 0.875))
    found = tubelet.explain(model, video, target=0, method="balanced")
    assert found.views[0].box == (12, 64, 48, 48)
    _, row, column, _ = hottest_in_film(found, video, tmp_path / "film.mp4")
    assert abs(row - 30 / 96) <= 12 / 96
    assert abs(column - 88 / 128) <= 12 / 128


def test_a_short_clip_that_repeats_is_hottest_at_the_frame_itself(tmp_path: Path) -> None:
    """Six frames where a clip of eight with stride 2 is wanted: all repetitions of a frame count for it."""
    video = with_square(tmp_path / "a.mp4", square_in(6, 64, 64, 8, 40, range(4, 5)))
    found = tubelet.explain(model_of_brightness(), video, target=0, method="balanced")
    assert sum(4 in frames for frames in found.views[0].frames) > 1
    curve = found.over_frames()
    assert len(curve) == 6
    assert abs(int(curve.argmax()) - 4) <= 1
    frame, row, column, _ = hottest_in_film(found, video, tmp_path / "film.mp4")
    assert abs(frame - 4) <= 1
    assert abs(row - 12 / 64) <= 1 / 4
    assert abs(column - 44 / 64) <= 1 / 4


def test_several_views_are_put_together_in_the_coordinates_of_the_video(tmp_path: Path) -> None:
    """A square at the right, late in a wide video, that one of six views sees."""
    video = with_square(tmp_path / "a.mp4", square_in(60, 48, 144, 24, 120, range(46, 56)))
    found = tubelet.explain(model_of_brightness(), video, target=0, method="balanced", views="2x3")
    assert len(found.views) == 6
    frame, row, column, _ = hottest_in_film(found, video, tmp_path / "film.mp4")
    assert 42 <= frame < 60
    assert abs(row - 27 / 48) <= 1 / 4
    assert abs(column - 129 / 144) <= 48 / 144 / 4
    assert float(found.over_frames().sum()) == pytest.approx(float(found.map.sum()), rel=1e-6)
