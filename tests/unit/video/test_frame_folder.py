from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from tubelet.config import PreprocessingConfig
from tubelet.errors import VideoError
from tubelet.video import Preprocessing, open_video, read_video


def write_images(folder: Path, names: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (40, 30), (number * 10, 0, 255 - number)).save(folder / name)
    return folder


def test_frames_come_in_natural_order(tmp_path: Path) -> None:
    write_images(tmp_path / "clip", ["f10.png", "f9.png", "f1.png", "f2.PNG"])
    (tmp_path / "clip" / "notes.txt").write_text("not a frame")
    (tmp_path / "clip" / ".hidden.png").write_text("not a frame")
    (tmp_path / "clip" / "folder.png").mkdir()
    clip = read_video(tmp_path / "clip")
    assert clip.frames.shape == (4, 3, 30, 40)
    assert clip.frames[:, 0, 0, 0].tolist() == [20, 30, 10, 0]
    with open_video(tmp_path / "clip", frame_rate=10) as decoder:
        assert decoder.metadata.backend == "frames"
        assert decoder.metadata.duration == pytest.approx(0.4)
        assert decoder.timestamps.tolist() == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_frames_by_number(tmp_path: Path, threads: int) -> None:
    folder = write_images(tmp_path / "clip", [f"{number}.png" for number in range(20)])
    with open_video(folder, threads=threads) as decoder:
        clip = decoder.frames_at([19, 0, 7, 7, -2])
        assert clip.frames[:, 0, 0, 0].tolist() == [190, 0, 70, 70, 180]
        assert clip.indices == (19, 0, 7, 7, 18)
        with pytest.raises(VideoError, match="no frame 20"):
            decoder.frames_at([20])


def test_images_of_any_kind_become_upright_rgb(tmp_path: Path) -> None:
    folder = tmp_path / "kinds"
    folder.mkdir()
    Image.new("RGB", (40, 30), (200, 100, 50)).save(folder / "1.png")
    Image.new("RGBA", (40, 30), (200, 100, 50, 10)).save(folder / "2.png")
    Image.new("L", (40, 30), 77).save(folder / "3.png")
    Image.fromarray(numpy.full((30, 40), 128 * 257, numpy.uint16)).save(folder / "4.png")
    turned = Image.new("RGB", (30, 40), (9, 9, 9))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "5.png", exif=exif)
    Image.new("P", (40, 30), 0).save(folder / "6.png")
    frames = read_video(folder).frames
    assert frames[:5, :, 5, 5].tolist() == [[200, 100, 50], [200, 100, 50], [77] * 3, [128] * 3, [9] * 3]


def test_broken_folders_say_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="no image in this folder"):
        read_video(tmp_path / "empty")
    folder = write_images(tmp_path / "sizes", ["1.png", "2.png"])
    Image.new("RGB", (20, 20)).save(folder / "2.png")
    with pytest.raises(VideoError, match=r"2\.png has 20x20 pixels, but 1\.png has 30x40"):
        read_video(folder)
    (folder / "2.png").write_text("not an image")
    with pytest.raises(VideoError, match=r"2\.png is not an image"):
        read_video(folder)
    with pytest.raises(VideoError, match="is not a folder"):
        open_video(folder / "1.png", backend="frames")
    with pytest.raises(VideoError, match="is a folder"):
        open_video(folder, backend="pyav")
    with pytest.raises(VideoError, match="frame_rate=0"):
        open_video(folder, frame_rate=0)
    for rate in (float("nan"), float("inf")):
        with pytest.raises(VideoError, match=f"frame_rate={rate}"):
            open_video(folder, frame_rate=rate)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["img_1.png", "img_2.png", "flow_x_1.png", "flow_x_2.png"], r"2 series: flow_x_# \(2\), img_# \(2\)"),
        (["frame_1.png", "frame_2.png", "depth_1.png", "depth_2.png"], "2 series"),
        (["1.png", "2.png", "cover.png"], r"2 series: # \(2\), cover \(1\)"),
        (["1.png", "2.png", "2.bmp"], "the frame '2' in several formats"),
    ],
)
def test_images_of_several_series_are_no_video(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(VideoError, match=message):
        read_video(write_images(tmp_path / "v", names))


@pytest.mark.parametrize("names", [["00_01.png", "00_02.png", "01_01.png"], ["a.png", "b.png"], ["1.png", "2.bmp"]])
def test_one_series_may_have_several_numbers_or_none(tmp_path: Path, names: list[str]) -> None:
    assert len(read_video(write_images(tmp_path / "v", names))) == len(names)


def test_a_folder_and_its_video_give_the_same_views(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", [f"{number}.png" for number in range(20)])
    config = PreprocessingConfig(num_frames=4, frame_stride=2, resize=24, crop_size=(16, 16))
    with open_video(folder) as decoder:
        views = Preprocessing(config).views(decoder, clips=2, crops=3)
    assert views.indices == [[0, 2, 4, 6], [12, 14, 16, 18]]
    red = (views.video[:, :, 0].mean((2, 3)) + 1) * 127.5
    expected = torch.tensor([[0, 20, 40, 60]] * 3 + [[120, 140, 160, 180]] * 3)
    assert torch.allclose(red, expected.float(), atol=0.01)


def save_values(folder: Path, values: list[numpy.ndarray], suffix: str = "png") -> Path:
    folder.mkdir()
    for number, picture in enumerate(values):
        Image.fromarray(picture).save(folder / f"{number}.{suffix}")
    return folder


def ramp(low: float, high: float) -> numpy.ndarray:
    return numpy.linspace(low, high, 30 * 40).reshape(30, 40)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-20, 40), (0, 255), (500, 4000)])
def test_floating_point_images_are_refused_in_words(low: float, high: float, tmp_path: Path) -> None:
    folder = save_values(tmp_path / "clip", [ramp(low, high).astype(numpy.float32)] * 3, "tif")
    with pytest.raises(VideoError, match=r"0\.tif are floating-point numbers.*; save the pictures with 8 bits"):
        read_video(folder)


@pytest.mark.parametrize(("low", "high", "levels"), [(500, 4000, 14), (0, 255, 1), (7000, 9500, 10), (0, 4095, 16)])
def test_16_bit_images_that_would_lose_their_contrast_are_refused(
    low: int, high: int, levels: int, tmp_path: Path
) -> None:
    folder = save_values(tmp_path / "clip", [ramp(low, high).astype(numpy.uint16)] * 3)
    with pytest.raises(VideoError, match=f"values from {low} to {high}, which leave {levels} of 256 grey levels"):
        read_video(folder)


def test_16_bit_images_of_their_whole_range_keep_it(tmp_path: Path) -> None:
    values = [numpy.zeros((30, 40)), ramp(0, 65535), numpy.full((30, 40), 500)]
    frames = read_video(save_values(tmp_path / "clip", [picture.astype(numpy.uint16) for picture in values])).frames
    assert (frames.amin((1, 2, 3)).tolist(), frames.amax((1, 2, 3)).tolist()) == ([0, 0, 2], [0, 255, 2])


def test_32_bit_images_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    folder = save_values(tmp_path / "clip", [ramp(-5, 70_000).astype(numpy.int32)], "tif")
    with pytest.raises(VideoError, match=r"0\.tif run from -5 to 70000, but"):
        read_video(folder)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_an_image_of_several_pictures_is_no_frame(suffix: str, tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (40, 30), (number, number, number)) for number in (0, 100, 200)]
    (tmp_path / "clip").mkdir()
    pictures[0].save(tmp_path / "clip" / f"0.{suffix}", save_all=True, append_images=pictures[1:])
    with pytest.raises(VideoError, match=rf"0\.{suffix} holds 3 pictures, but a frame is one"):
        read_video(tmp_path / "clip")
