"""Containers and streams that are unusual and whole: all their frames come out, with their own pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
import torch
from PIL import Image, features

from tubelet.errors import VideoError
from tubelet.video import open_video, read_video

from .conftest import picture, sequentially

MakeVideo = Callable[..., Path]


def write_packets(path: Path, codec: str, contents: list[bytes], times: list[int], pixel_format: str) -> Path:
    """A file of packets that are encoded already."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 72, 96, pixel_format
        stream.codec_context.open()
        for number, (content, time) in enumerate(zip(contents, times, strict=True)):
            packet = av.Packet(content)
            packet.pts, packet.dts, packet.time_base = time, number, Fraction(1, 25)
            packet.is_keyframe, packet.stream = number == 0 or codec == "mjpeg", stream
            container.mux_one(packet)
    return path


def write_pictures(
    container: Any, codec: str, count: int, size: tuple[int, int], pixel_format: str
) -> Callable[[], None]:
    """Add a stream now, and its frames when the function is called."""
    stream = container.add_stream(codec, rate=25)
    stream.height, stream.width, stream.pix_fmt = *size, pixel_format

    def write() -> None:
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), "rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    return write


# --- one stream ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 2, 3, 6])
def test_frames_with_side_data_that_pyav_does_not_name(orientation: int, tmp_path: Path) -> None:
    """Cameras write EXIF into the frames of MJPEG; its orientation counts."""
    shown = Image.fromarray(picture(0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = io.BytesIO()
    shown.save(stored, "jpeg", quality=95, exif=exif)
    path = write_packets(tmp_path / "a.avi", "mjpeg", [stored.getvalue()] * 3, [0, 1, 2], "yuvj420p")
    clip = read_video(path)
    turned = {1: shown, 2: shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT)}
    turned |= {3: shown.transpose(Image.Transpose.ROTATE_180), 6: shown.transpose(Image.Transpose.ROTATE_270)}
    expected = torch.from_numpy(numpy.array(turned[orientation])).permute(2, 0, 1).float()
    assert clip.frames.shape == (3, *expected.shape)
    assert (clip.frames.float() - expected).abs()[:, :, 20:, 20:-20].mean() < 6


@pytest.mark.parametrize("name", ["a.avi", "a.mov"])
def test_a_palette_that_comes_with_the_first_packet(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    palette = numpy.random.default_rng(0).integers(60, 256, (256, 4), dtype=numpy.uint8)
    palette[:, 0] = 255  # alpha first
    indices = [numpy.full((72, 96), number, numpy.uint8) for number in range(12)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.height, stream.width, stream.pix_fmt = 72, 96, "pal8"
        for number, values in enumerate(indices):
            frame = av.VideoFrame.from_ndarray((values, palette), "pal8")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    _, expected = sequentially(path)
    assert expected.float().mean() > 60
    with open_video(path, threads=1) as decoder:
        for wanted in ([0], [11], [3], list(range(12))):
            assert torch.equal(decoder.frames_at(wanted).frames, expected[wanted])


@pytest.mark.parametrize("late", [3, 17, 100])
def test_a_first_frame_that_is_shown_late_hides_no_other(late: int, make_video: MakeVideo, tmp_path: Path) -> None:
    source = make_video("source.mkv", "mpeg4", frames=20, options={"g": "100"})
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    path = write_packets(tmp_path / "late.mkv", "mpeg4", packets, [late, *range(1, 20)], "yuv420p")
    _, expected = sequentially(path)
    assert len(expected) == 20
    assert torch.equal(read_video(path).frames, expected)


@pytest.mark.parametrize("gap", [0, 40])
def test_transport_streams_that_were_joined_lose_nothing(gap: int, make_video: MakeVideo, tmp_path: Path) -> None:
    """Whether their clocks go on or begin anew. That nothing is missing in between cannot be known."""
    parts = [
        make_video(f"{number}.ts", "mpeg2video", frames=30, times=lambda n, k=number: n + gap * k)
        for number in range(2)
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    clip = read_video(path)
    assert len(clip) == 60
    assert torch.equal(clip.frames, torch.cat([sequentially(part)[1] for part in parts]))
    assert 1 <= len(clip.damaged) <= 2
    assert set(clip.damaged) <= {28, 29, 30}
    assert read_video(path, range(28)).damaged == read_video(path, range(31, 60)).damaged == ()


@pytest.mark.parametrize(("highest", "is_kept"), [(4000, False), (60_000, True)])
def test_16_bit_grey_that_would_lose_its_contrast_is_refused(highest: int, is_kept: bool, tmp_path: Path) -> None:
    path = tmp_path / "depth.mkv"
    values = numpy.linspace(500, highest, 72 * 96).reshape(72, 96).astype(numpy.uint16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 72, 96, "gray16le"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(values, "gray16le")))
        container.mux(stream.encode(None))
    if is_kept:
        assert (read_video(path).frames.float() - torch.from_numpy(values / 257).float()).abs().max() < 2
    else:
        with pytest.raises(VideoError, match="values from 500 to 4000, which leave 14 of 256 grey levels"):
            read_video(path)


# --- several streams -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_larger", [False, True])
def test_a_stream_of_one_picture_is_not_the_video(is_larger: bool, tmp_path: Path) -> None:
    path = tmp_path / "preview.mp4"
    with av.open(str(path), "w") as container:
        size = (144, 192) if is_larger else (36, 48)
        first = write_pictures(container, "mjpeg", 1, size, "yuvj420p")
        second = write_pictures(container, "libx264", 20, (72, 96), "yuv420p")
        first()
        second()
    assert read_video(path).frames.shape == (20, 3, 72, 96)


def test_the_stream_with_the_most_pixels_is_the_video(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        for write in [
            write_pictures(container, "mpeg4", 10, size, "yuv420p") for size in ((36, 48), (72, 96), (54, 64))
        ]:
            write()
    assert read_video(path).frames.shape == (10, 3, 72, 96)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
def test_the_sequence_of_an_animated_avif_is_the_video(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (32, 24), (number, number, number)) for number in (10, 100, 200)]
    pictures[0].save(tmp_path / "a.avif", save_all=True, append_images=pictures[1:], duration=40)
    levels = read_video(tmp_path / "a.avif").frames[:, 0, 12, 16]
    assert (levels.int() - torch.tensor([10, 100, 200])).abs().max() < 6


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_moving_pictures_are_videos(suffix: str, tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (32, 24), (number, number, number)) for number in (0, 100, 200)]
    pictures[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=pictures[1:], duration=40)
    assert read_video(tmp_path / f"a.{suffix}").frames[:, 0, 12, 16].tolist() == [0, 100, 200]


def test_webp_is_said_not_to_be_read(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (32, 24), (number, number, number)) for number in (10, 100, 200)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=40)
    with pytest.raises(VideoError, match=r"a WebP picture.* animated or not; convert it to MP4"):
        read_video(tmp_path / "a.webp")


# --- one decoder, several threads ------------------------------------------------------------------------------------


def test_a_decoder_may_be_used_from_several_threads(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", options={"g": "12"})
    _, expected = sequentially(path)
    wanted = [[(7 * number + step) % 60 for step in (0, 31, 13)] for number in range(40)]
    with open_video(path, threads=1) as decoder, ThreadPoolExecutor(4) as pool:
        for numbers, clip in zip(wanted, pool.map(decoder.frames_at, wanted), strict=True):
            assert torch.equal(clip.frames, expected[numbers])
