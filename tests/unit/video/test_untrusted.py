"""Files that others made: they open no other file, and claim no more memory than they may."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from PIL import Image

from tubelet.errors import ConfigError, VideoError
from tubelet.video import FilePart, Limits, open_video, read_video
from tubelet.video.protocol import VisitingDecoder

MakeVideo = Callable[..., Path]

DASH = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S">
<Period><AdaptationSet mimeType="video/mp4"><Representation id="0" bandwidth="1"><BaseURL>{file}</BaseURL>
</Representation></AdaptationSet></Period></MPD>
"""
LISTS = {
    "ffconcat": "ffconcat version 1.0\nfile '{file}'\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{file}\n#EXT-X-ENDLIST\n",
    "dash": DASH,
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
}


TARGETS = ["segment.ts", "{folder}/segment.ts", "file:{folder}/segment.ts"]
NAMED = [
    (kind, suffix, target)
    for kind in LISTS
    for suffix in (".mp4", ".m3u8", ".ffconcat", ".mpd", ".sdp", ".txt")
    for target in TARGETS
    if (kind, suffix, target) != ("hls", ".m3u8", "segment.ts")  # which is read: test_playlist.py
]


@pytest.mark.parametrize(("kind", "suffix", "target"), NAMED)
def test_a_list_of_other_files_is_refused_in_words(
    kind: str, suffix: str, target: str, make_video: MakeVideo, tmp_path: Path
) -> None:
    make_video("segment.ts", "mpeg4", frames=3)
    path = tmp_path / f"list{suffix}"
    path.write_text(LISTS[kind].format(file=target.format(folder=tmp_path)))
    with pytest.raises(VideoError, match=r"a list of other files|only files that lie beside it are opened"):
        read_video(path)


def test_a_list_inside_a_tar_is_refused(make_video: MakeVideo, tmp_path: Path) -> None:
    make_video("segment.ts", "mpeg4", frames=3)
    content = LISTS["ffconcat"].format(file=tmp_path / "segment.ts").encode()
    (tmp_path / "a.tar").write_bytes(content)
    part = FilePart(str(tmp_path / "a.tar"), 0, len(content), "x.mp4")
    with pytest.raises(VideoError, match="a list of other files"):
        read_video(str(part))


@pytest.mark.parametrize("name", ["%d.png", "concat:0.png|1.png", "subfile,,start,0,end,0,,:0.png"])
def test_a_name_that_is_a_pattern_opens_no_other_file(name: str, tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (32, 24), (number, 0, 0)).save(tmp_path / f"{number}.png")
    with pytest.raises(VideoError, match="does not exist"):
        read_video(tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / "0.png").read_bytes())
    with pytest.raises(VideoError, match="a single PNG picture"):
        read_video(tmp_path / name)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tiff"])
def test_a_single_picture_is_no_video(suffix: str, tmp_path: Path) -> None:
    Image.new("RGB", (32, 24)).save(tmp_path / f"a.{suffix}")
    with pytest.raises(VideoError, match=r"a single \w+ picture; the pictures of a video belong in a folder"):
        read_video(tmp_path / f"a.{suffix}")


# --- memory ----------------------------------------------------------------------------------------------------------


def empty_gif(path: Path, width: int, height: int, frames: int) -> Path:
    """Frames of which one pixel is written."""
    body = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\0\x0a\0\0\0\x2c" + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    path.write_bytes(body + frame * frames + b"\x3b")
    return path


def test_a_clip_that_needs_too_much_memory_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    path = empty_gif(tmp_path / "a.gif", 2000, 1000, 400)
    tracemalloc.start()
    with pytest.raises(
        VideoError, match=r"400 frames of 2000x1000 pixels need 2\.2 GiB, more than 2\.0 GiB; read fewer"
    ):
        read_video(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6
    assert len(read_video(path, [0, 399], limits=Limits(clip_bytes=12_000_000))) == 2
    with pytest.raises(VideoError, match="3 frames of 2000x1000"):
        read_video(path, [0, 1, 2], limits=Limits(clip_bytes=12_000_000))
    with pytest.raises(VideoError, match="3 frames of 2000x1000"):  # repeats take memory as well
        read_video(path, [0, 0, 0], limits=Limits(clip_bytes=12_000_000))


def test_a_frame_that_is_too_large_is_refused(tmp_path: Path, make_video: MakeVideo) -> None:
    with pytest.raises(VideoError, match=r"a frame has more pixels than Limits\.frame_pixels"):
        open_video(empty_gif(tmp_path / "a.gif", 20_000, 20_000, 1))
    path = make_video("a.mp4", frames=2)
    assert len(read_video(path, limits=Limits(frame_pixels=72 * 96))) == 2
    with pytest.raises(VideoError, match="its frames have 96x72 pixels, more than 6,911"):
        read_video(path, limits=Limits(frame_pixels=72 * 96 - 1))
    with pytest.raises(ConfigError, match="at least 1"):
        Limits(frame_pixels=0)


@pytest.mark.parametrize("place", [0, 2])
def test_an_image_that_is_too_large_is_refused(place: int, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        size = (9000, 8000) if number == place else (32, 24)
        Image.fromarray(numpy.zeros(size[::-1], bool)).save(folder / f"{number}.png")
    with pytest.raises(VideoError, match=rf"{place}\.png has 9000x8000 pixels, more than"):
        read_video(folder)


def test_an_image_that_claims_more_than_pillow_allows_is_an_error_of_the_video(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    Image.new("1", (8, 8)).save(folder / "0.png")
    content = bytearray((folder / "0.png").read_bytes())
    content[16:24] = struct.pack(">2I", 20_000, 20_000)
    content[29:33] = struct.pack(">I", __import__("zlib").crc32(content[12:29]))
    (folder / "0.png").write_bytes(content)
    with pytest.raises(VideoError, match=r"0\.png is not an image that can be read \(.*400000000"):
        read_video(folder)


# --- time ------------------------------------------------------------------------------------------------------------


def test_decoding_that_does_not_reach_the_frame_in_time_is_an_error(tmp_path: Path) -> None:
    path = empty_gif(tmp_path / "a.gif", 4000, 3000, 3000)
    with open_video(path, limits=Limits(seconds=1)) as decoder:
        with pytest.raises(VideoError, match=r"no frame that was asked for came in 1 s.*Limits\(seconds"):
            decoder.frames_at([2999])
        assert len(decoder.frames_at([0, 1])) == 2


def test_reading_that_does_not_end_is_an_error(make_video: MakeVideo) -> None:
    path = make_video("a.mkv", frames=3)
    with path.open("r+b") as file:
        file.truncate(2**40)  # FFmpeg looks for the next cluster in a terabyte of zeros
    with pytest.raises(VideoError, match=r"no frame that was asked for came in 0\.5 s"):
        open_video(path, limits=Limits(seconds=0.5))


def test_the_time_limit_is_that_of_each_frame(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("tubelet.video.limits.time.monotonic", lambda: now[0])
    with open_video(make_video("a.mp4", frames=30), threads=1, limits=Limits(seconds=10)) as decoder:
        assert isinstance(decoder, VisitingDecoder)

        def wait(number: int, frame: object) -> None:
            now[0] += 9

        decoder.visit(range(30), wait)  # 270 s in all
        now[0] += 100
        assert len(decoder.frames_at([0, 29])) == 2
    for seconds in (0, -1, float("nan")):
        with pytest.raises(ConfigError, match="seconds must be above 0"):
            Limits(seconds=seconds)
