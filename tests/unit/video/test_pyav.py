"""Exact frames: what is asked for by number is what comes out when the file is decoded from its first packet on."""

from __future__ import annotations

import dataclasses
import itertools
import random
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
import torch

from tubelet.config import PreprocessingConfig
from tubelet.errors import VideoError
from tubelet.video import Preprocessing, frame_index, open_video, pyav_scan, read_frames, read_video, write_video
from tubelet.video.pyav_reader import FrameReader

from .conftest import picture, sequentially

X264 = "x264-params"
X265 = "x265-params"
HIDDEN_FRAMES = {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "12", "cpu-used": "8"}
MakeVideo = Callable[..., Path]

STREAMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "closed groups": ("a.mp4", "libx264", {"options": {X264: "keyint=12:bframes=3"}}),
    "open groups": ("a.mp4", "libx264", {"options": {X264: "keyint=12:bframes=3:open-gop=1"}}),
    "pyramid": ("a.mp4", "libx264", {"options": {X264: "keyint=250:bframes=8:b-pyramid=normal:b-adapt=0"}}),
    "no reordering": ("a.mov", "libx264", {"options": {X264: "keyint=12:bframes=0"}}),
    "refresh without key frames": ("a.mp4", "libx264", {"options": {X264: "keyint=12:intra-refresh=1"}}),
    "interlaced": ("a.mp4", "libx264", {"options": {X264: "keyint=12:tff=1"}}),
    "matroska": ("a.mkv", "libx264", {"options": {X264: "keyint=12:bframes=3:open-gop=1"}}),
    "transport stream": ("a.ts", "libx264", {"options": {X264: "keyint=12:bframes=3:open-gop=1"}}),
    "flash": ("a.flv", "libx264", {"options": {X264: "keyint=12:bframes=3"}}),
    "avi with reordering": ("a.avi", "libx264", {"options": {X264: "keyint=12:bframes=3"}}),
    "raw stream without times": ("a.h264", "libx264", {"options": {X264: "keyint=12:bframes=3"}}),
    "fragments": ("a.mp4", "libx264", {"muxing": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "12"}}),
    "hevc": ("a.mp4", "libx265", {"options": {X265: "keyint=12:bframes=4:open-gop=1:log-level=none"}}),
    "hevc transport stream": ("a.ts", "libx265", {"options": {X265: "keyint=12:bframes=4:log-level=none"}}),
    "vp8 with hidden frames": ("a.webm", "libvpx", {"options": HIDDEN_FRAMES}),
    "vp9 with hidden frames": ("a.webm", "libvpx-vp9", {"options": HIDDEN_FRAMES}),
    "mpeg1 program stream": ("a.mpg", "mpeg1video", {"options": {"g": "12", "bf": "2", "b": "2000000"}}),
    "mpeg2 transport stream": ("a.ts", "mpeg2video", {"options": {"g": "12", "bf": "2"}}),
    "mpeg4 avi": ("a.avi", "mpeg4", {"options": {"g": "12"}}),
    "mpeg4 avi with reordering": ("a.avi", "mpeg4", {"options": {"g": "12", "bf": "2"}}),
    "windows media": ("a.wmv", "wmv2", {"options": {"g": "12"}}),
    "motion jpeg": ("a.avi", "mjpeg", {"pixel_format": "yuvj420p"}),
    "prores": ("a.mov", "prores_ks", {"pixel_format": "yuv422p10le"}),
    "gif": ("a.gif", "gif", {"pixel_format": "rgb8"}),
    "negative times": ("a.mkv", "libx264", {"options": {X264: "keyint=12"}, "times": lambda number: number - 20}),
    "late start": ("a.mp4", "libx264", {"options": {X264: "keyint=12"}, "times": lambda number: number + 500}),
    "variable rate": (
        "a.mp4",
        "libx264",
        {
            "options": {X264: "keyint=12:bframes=3"},
            "times": lambda number: number * 40 + number % 3 * 7 + (500 if number > 30 else 0),
            "time_base": Fraction(1, 1000),
        },
    ),
    "one frame": ("a.mp4", "libx264", {"frames": 1}),
    "odd size": ("a.mp4", "libx264", {"pixel_format": "yuv444p", "size": (71, 95)}),
}


def assert_exact(path: Path, expected: torch.Tensor) -> None:
    """All frames, then random ones with various threads: near, far, forward, backward, repeated."""
    with open_video(path) as decoder:
        assert decoder.metadata.num_frames == len(expected)
        assert torch.equal(decoder.frames_at(range(len(expected))).frames, expected)
    choose = random.Random(str(path))
    for threads in (0, 1, 3):
        with open_video(path, threads=threads) as decoder:
            for step in (1, 3):
                start = choose.randrange(len(expected))
                indices = list(range(start, len(expected), step))
                assert torch.equal(decoder.frames_at(indices).frames, expected[indices])
            for _ in range(3):
                indices = [choose.randrange(len(expected)) for _ in range(5)]
                assert torch.equal(decoder.frames_at(indices).frames, expected[indices])


@pytest.mark.parametrize("kind", STREAMS)
def test_frames_by_number_are_those_of_sequential_decoding(kind: str, make_video: MakeVideo) -> None:
    name, codec, settings = STREAMS[kind]
    path = make_video(name, codec, **settings)
    _, expected = sequentially(path)
    assert len(expected) == settings.get("frames", 60)
    assert_exact(path, expected)


@pytest.mark.parametrize(("name", "codec"), [("a.ts", "libx264"), ("a.ts", "libx265"), ("a.mpg", "mpeg1video")])
def test_a_recording_that_starts_in_the_middle(name: str, codec: str, make_video: MakeVideo) -> None:
    path = make_video(name, codec, options={"g": "12", X265: "log-level=none:keyint=12"})
    content = path.read_bytes()
    path.write_bytes(content[len(content) // 3 // 188 * 188 :])
    _, expected = sequentially(path)
    assert 0 < len(expected) < 60
    assert_exact(path, expected)


def test_frames_that_do_not_come_out_are_noticed(make_video: MakeVideo) -> None:
    """The end of this file is cut off, and the decoder gives fewer frames than there are packets."""
    path = make_video("a.ts", "libx265", options={X265: "keyint=12:bframes=4:open-gop=0:log-level=none"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    _, expected = sequentially(path)
    with open_video(path) as decoder:
        promised = decoder.metadata
        assert promised.frame_list == "packets"
        assert promised.num_frames > len(expected)
        clip = read_frames(decoder, lambda decoder: range(decoder.metadata.num_frames))
        assert torch.equal(clip.frames, expected)
        assert decoder.metadata.frame_list == "decoded"
        assert decoder.metadata.num_frames == len(decoder.timestamps) == len(expected)
        assert torch.equal(decoder.frames_at([5, -1, 20]).frames, expected[[5, -1, 20]])
    assert torch.equal(read_video(path).frames, expected)
    config = PreprocessingConfig(num_frames=8, frame_stride=1, sampling="uniform", resize=64, crop_size=(64, 64))
    with open_video(path) as decoder:
        views = Preprocessing(config).views(decoder)
    assert max(views.indices[0]) < len(expected)
    with open_video(path) as decoder, pytest.raises(VideoError, match=f"it has {len(expected)} frames"):
        decoder.frames_at([promised.num_frames - 1])


def test_only_what_is_needed_is_decoded(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video("a.mp4", frames=200, options={X264: "keyint=10:min-keyint=10:scenecut=0"})
    sent: list[int | None] = []
    original = FrameReader._choose_effort

    def counted(self: FrameReader, packet: Packet[VideoStream]) -> None:
        sent.append(packet.pts)
        original(self, packet)

    monkeypatch.setattr(FrameReader, "_choose_effort", counted)
    with open_video(path, threads=1) as decoder:
        assert len(sent) < 10
        sent.clear()
        decoder.frames_at([195])
        assert len(sent) < 15
        sent.clear()
        decoder.frames_at([196, 197])
        assert len(sent) < 5
        sent.clear()
        decoder.frames_at([12, 195])
        assert len(sent) < 25


def test_frames_without_dependents_are_passed_over_and_still_found(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", frames=120, options={X264: "keyint=250:bframes=3:b-adapt=0"})
    _, expected = sequentially(path)
    with open_video(path, threads=1) as decoder:
        for indices in ([100, 104, 108], [101], [102, 103], list(range(99, 110)), [105, 50, 51]):
            assert torch.equal(decoder.frames_at(indices).frames, expected[indices])
        assert decoder.metadata.frame_list == "packets"


# --- what the metadata says ------------------------------------------------------------------------------------------


def test_metadata_comes_from_the_frames(make_video: MakeVideo) -> None:
    with open_video(make_video("a.mkv", frames=50)) as decoder:
        metadata = decoder.metadata
    assert (metadata.num_frames, metadata.height, metadata.width, metadata.codec) == (50, 72, 96, "h264")
    assert metadata.duration == pytest.approx(2.0, abs=0.002)
    assert metadata.frame_rate == pytest.approx(25, rel=1e-3)
    assert not metadata.variable_frame_rate
    assert metadata.backend == "pyav"


def test_variable_frame_rates_are_recognised_and_times_kept(make_video: MakeVideo) -> None:
    times = [number * 40 + number % 2 * 25 for number in range(40)]
    path = make_video("a.mp4", frames=40, times=times.__getitem__, time_base=Fraction(1, 1000))
    with open_video(path) as decoder:
        assert decoder.metadata.variable_frame_rate
        assert decoder.timestamps.tolist() == pytest.approx([time / 1000 for time in times])
        clip = decoder.frames_at([7, 3])
    assert clip.timestamps.tolist() == pytest.approx([times[7] / 1000, times[3] / 1000])


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4", "a.flv", "a.mpg"])
def test_seconds_count_from_the_start_of_the_file(name: str, make_video: MakeVideo) -> None:
    codec = "mpeg2video" if name == "a.mpg" else "libx264"
    path = make_video(name, codec, times=lambda number: number + 500)
    with av.open(str(path)) as container:
        assert container.start_time > 0.4 * av.time_base
    with open_video(path) as decoder:
        assert decoder.metadata.start == 0
        assert decoder.timestamps[50].item() == pytest.approx(2.0, abs=2e-3)
    late = 0.002  # the clocks of some containers count in milliseconds
    assert read_video(path, start=0.2 - late, end=0.4 - late).indices == (5, 6, 7, 8, 9)
    with pytest.raises(VideoError, match=r"no frame from 21 s to 22 s; the video runs from 0\.000 s to 2\.\d+ s"):
        read_video(path, start=21, end=22)


def test_a_file_starts_with_its_sound(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.height, video.width, video.pix_fmt = 72, 96, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(numpy.zeros((1, 16000), numpy.int16), "s16", "mono")
        silence.sample_rate, silence.pts = 8000, 8000
        container.mux(sound.encode(silence))
        for number in range(25):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts, frame.time_base = number + 35, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    with open_video(path) as decoder:
        assert decoder.metadata.start == pytest.approx(0.4)
    assert read_video(path, start=0.399, end=0.479).indices == (0, 1)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [False, True])
def test_rotated_videos_stand_upright(turn: int, mirror: bool, make_video: MakeVideo) -> None:
    path = make_video("a.mp4", frames=3, prepare=lambda stream: stream.set_display_rotation(turn, hflip=mirror))
    _, stored = sequentially(path)
    clip = read_video(path)
    expected = torch.rot90(stored, turn // 90, (2, 3))
    # FFmpeg mirrors after turning.
    assert torch.equal(clip.frames, expected.flip(3) if mirror else expected)
    with open_video(path) as decoder:
        size = (96, 72) if turn in (90, 270) else (72, 96)
        assert (decoder.metadata.height, decoder.metadata.width) == size
        if not mirror:
            assert decoder.metadata.rotation == turn


def test_the_index_in_the_header_of_a_large_file_is_enough(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_index, "LARGE_FILE_BYTES", 0)
    path = make_video("a.mp4", options={X264: "keyint=12:bframes=3:open-gop=1"})
    with open_video(path) as decoder:
        assert decoder.metadata.frame_list == "header"
    assert_exact(path, sequentially(path)[1])
    uneven = make_video("b.mp4", times=lambda number: number * 2 + number % 2, time_base=Fraction(1, 100))
    with open_video(uneven) as decoder:
        assert decoder.metadata.frame_list == "packets"


def test_a_header_that_lies_is_found_out(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packets are decoded at even times, but frames are shown at uneven ones."""
    path = make_video("a.mp4", options={X264: "keyint=12:bframes=0"})
    pts, expected = sequentially(path)
    even = frame_index.index_from_header

    def shifted(container: Any, stream: Any) -> frame_index.FrameIndex:
        monkeypatch.setattr(frame_index, "LARGE_FILE_BYTES", 0)
        index = even(container, stream)
        assert index is not None
        return dataclasses.replace(index, pts=[*index.pts[:30], *(time + 7 for time in index.pts[30:])])

    monkeypatch.setattr(pyav_scan, "index_from_header", shifted)
    with open_video(path) as decoder:
        assert decoder.metadata.frame_list == "header"
        assert torch.equal(decoder.frames_at([3, 12]).frames, expected[[3, 12]])
        assert torch.equal(decoder.frames_at([40, 55]).frames, expected[[40, 55]])
        assert decoder.metadata.frame_list == "packets"
        assert decoder.timestamps.tolist() == pytest.approx([time / 12800 for time in pts if time is not None])


def test_frames_whose_size_changes_are_scaled_to_the_first(tmp_path: Path) -> None:
    path = tmp_path / "sizes.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 72, 96, "yuvj420p"
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24").reformat(format="yuvj420p")
            container.mux(stream.encode(frame))
        other = av.CodecContext.create("mjpeg", "w")
        other.height, other.width, other.pix_fmt, other.time_base = 144, 192, "yuvj420p", Fraction(1, 25)
        for number in range(4, 8):
            frame = av.VideoFrame.from_ndarray(picture(0, 144, 192), "rgb24").reformat(format="yuvj420p")
            frame.pts = number
            for packet in other.encode(frame):
                packet.stream = stream
                container.mux(packet)
    clip = read_video(path)
    assert clip.frames.shape == (8, 3, 72, 96)
    small = torch.nn.functional.avg_pool2d(torch.from_numpy(picture(0, 144, 192)).permute(2, 0, 1).float(), 2)
    assert (clip.frames[6].float() - small)[:, 20:].abs().mean() < 12


# --- names, and files that are none ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["-dash.mp4", "with space.mp4", "ütf—8 🎬.mp4", "http:x.mp4", "%03d.mp4", "a'b\"c#?.mp4"]
)
def test_any_file_name_will_do(name: str, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(name, frames=4)
    assert len(read_video(path)) == 4
    assert len(read_video(str(path))) == 4
    monkeypatch.chdir(path.parent)
    assert len(read_video(name)) == 4


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        open_video(tmp_path / "nowhere.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match=r"is empty \(0 bytes\)"):
        open_video(tmp_path / "empty.mp4")
    (tmp_path / "noise.mp4").write_bytes(random.Random(0).randbytes(5000))
    with pytest.raises(VideoError, match="not a video"):
        open_video(tmp_path / "noise.mp4")
    with pytest.raises(VideoError, match="not a regular file"):
        open_video("/dev/null")
    with pytest.raises(VideoError, match="use one of auto, pyav"):
        open_video(tmp_path / "noise.mp4", backend="opencv")


def test_a_list_of_addresses_does_not_make_ffmpeg_open_them(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video("segment.ts", frames=5)
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/segment.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(playlist)
    with pytest.raises(VideoError):
        read_video(tmp_path / "list.m3u8")


def test_indices_outside_the_video(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", frames=5)
    with open_video(path) as decoder:
        assert decoder.frames_at([-1, -5]).indices == (4, 0)
        assert len(decoder.frames_at([])) == 0
        for index in (5, -6):
            with pytest.raises(VideoError, match=f"no frame {index}; it has 5 frames, 0 to 4"):
                decoder.frames_at([index])
    with pytest.raises(VideoError, match="no frame 7"):
        read_video(path, [7])


def test_windows_and_indices_together(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", frames=50)
    assert read_video(path, start=1.0).indices == tuple(range(25, 50))
    assert read_video(path, [0, -1], start=0.4, end=0.8).indices == (10, 19)
    with pytest.raises(VideoError, match="there are 10 frames"):
        read_video(path, [10], start=0.4, end=0.8)


# --- damage ----------------------------------------------------------------------------------------------------------


def test_damage_in_the_middle_is_an_error_that_names_the_time(make_video: MakeVideo) -> None:
    path = make_video("a.mkv", frames=100, options={X264: "keyint=20:min-keyint=20:scenecut=0:bframes=0"})
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        content = path.read_bytes()
        broken = bytes(packets[50])
    start = content.index(broken)
    path.write_bytes(content[:start] + b"\xff" * len(broken) + content[start + len(broken) :])
    with pytest.raises(VideoError, match=r"damaged at 2\.00 s"):
        read_video(path)
    assert len(read_video(path, end=1.5)) == 38
    assert len(read_video(path, start=2.4)) == 40


def test_a_frame_restored_in_part_is_named(shared: Path) -> None:
    path = shared / "data" / "edge_videos" / "made_here" / "truncated_100k_mpeg1.mpg"
    clip = read_video(path)
    assert clip.damaged == (17,)
    assert "18 frames, 1 damaged" in repr(clip)
    assert read_video(path, range(10)).damaged == ()


def test_random_damage_never_hangs_or_crashes(make_video: MakeVideo) -> None:
    """Any byte may be wrong: what comes back is frames or a VideoError."""
    sources = [
        make_video("a.mp4", frames=30, options={X264: "keyint=10"}).read_bytes(),
        make_video("a.mkv", frames=30, options={X264: "keyint=10"}).read_bytes(),
        make_video("a.avi", "mpeg4", frames=30, options={"g": "10"}).read_bytes(),
    ]
    choose = random.Random(0)
    outcomes = set()
    for trial, source in itertools.product(range(12), sources):
        content = bytearray(source)
        for _ in range(choose.choice([1, 5, 50])):
            content[choose.randrange(len(content))] = choose.randrange(256)
        path = make_video("z.bin.mp4", frames=1)
        path.write_bytes(content[: choose.randrange(len(content) // 2, len(content))] if trial % 3 == 0 else content)
        try:
            clip = read_video(path)
        except VideoError:
            outcomes.add("error")
        else:
            assert clip.frames.numel() > 0
            outcomes.add("frames")
    assert outcomes == {"error", "frames"}


def test_an_open_decoder_survives_an_error(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", frames=20)
    expected = read_video(path).frames
    with open_video(path) as decoder:
        with pytest.raises(VideoError):
            decoder.frames_at([99])
        assert torch.equal(decoder.frames_at([3, 19]).frames, expected[[3, 19]])
    decoder.close()


def test_frames_do_not_share_memory(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", frames=5)
    with open_video(path) as decoder:
        first = decoder.frames_at([1])
        kept = first.frames.clone()
        decoder.frames_at([2]).frames.zero_()
        assert torch.equal(first.frames, kept)
        assert not numpy.shares_memory(first.frames.numpy(), decoder.frames_at([1]).frames.numpy())


LOGGED = """
import logging, sys, av.logging
from tubelet.errors import VideoError
from tubelet.video import open_video
av.logging.set_level(av.logging.ERROR)  # as importing torchvision 0.24 does
logging.getLogger("libav").setLevel(logging.CRITICAL)
for _ in range(40):
    with open_video(sys.argv[1], threads=4) as decoder:
        try:
            decoder.frames_at([0, 1])
        except VideoError:
            pass
"""


def test_a_decoder_is_closed_while_its_threads_have_errors_to_log(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (32, 3, 240, 320), dtype=torch.uint8, generator=generator)
    path = write_video(tmp_path / "damaged.mp4", frames, gop=64, preset="ultrafast")
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 20, len(content) - 4000, 5000):
        content[place] ^= 0xFF
    path.write_bytes(content)
    subprocess.run([sys.executable, "-c", LOGGED, str(path)], check=True, timeout=120)  # a deadlock holds the GIL
