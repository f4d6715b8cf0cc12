"""HLS playlists: read where their segments lie beside them, refused where they lead elsewhere."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tubelet.errors import VideoError
from tubelet.video import open_video, read_video

FRAMES = 12


def write_segment(path: Path, brightness: int) -> None:
    """A transport stream of one grey, with a clock that begins anew."""
    with av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(FRAMES):
            picture = np.full((32, 32, 3), brightness, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_playlist(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["#EXTM3U", "#EXT-X-TARGETDURATION:1", *lines, "#EXT-X-ENDLIST"]), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_segment(tmp_path / "dark.ts", 60)
    write_segment(tmp_path / "light.ts", 200)
    (tmp_path / "inside").mkdir()
    write_segment(tmp_path / "inside" / "other.ts", 128)
    return tmp_path


def test_the_segments_follow_each_other(folder: Path) -> None:
    playlist = write_playlist(folder / "video.m3u8", "#EXTINF:0.5,", "light.ts", "#EXTINF:0.5,", "dark.ts")
    clip = read_video(playlist)
    brightness = clip.frames.float().mean(dim=(1, 2, 3))
    assert len(clip) == 2 * FRAMES
    assert (brightness[:FRAMES] > 150).all()
    assert (brightness[FRAMES:] < 100).all()


@pytest.mark.parametrize(
    "name",
    ["inside/other.ts", "../other.ts", "file:light.ts", "http://localhost/light.ts", "linked.ts", "gone.ts", "a|b.ts"],
)
def test_a_playlist_cannot_lead_elsewhere(folder: Path, name: str) -> None:
    (folder / "linked.ts").symlink_to(folder / "inside" / "other.ts")
    (folder / "a|b.ts").write_bytes((folder / "light.ts").read_bytes())
    playlist = write_playlist(folder / "video.m3u8", "#EXTINF:0.5,", name)
    with pytest.raises(VideoError, match="only files that lie beside it"):
        open_video(playlist)


@pytest.mark.parametrize("tag", ['#EXT-X-KEY:METHOD=AES-128,URI="key"', '#EXT-X-MAP:URI="init.mp4"'])
def test_what_is_not_read_is_named(folder: Path, tag: str) -> None:
    playlist = write_playlist(folder / "video.m3u8", tag, "#EXTINF:0.5,", "light.ts")
    with pytest.raises(VideoError, match=tag.partition(":")[0]):
        open_video(playlist)


def test_a_playlist_under_the_name_of_a_video_is_refused(folder: Path) -> None:
    disguised = write_playlist(folder / "video.mp4", "#EXTINF:0.5,", "light.ts")
    with pytest.raises(VideoError, match="list of other files"):
        open_video(disguised)


def test_a_playlist_that_is_too_long_is_refused_and_not_cut(folder: Path) -> None:
    playlist = write_playlist(folder / "video.m3u8", "#" + "ä" * 2**19, "#EXTINF:0.5,", "light.ts")
    with pytest.raises(VideoError, match="more than 1048576 bytes"):
        open_video(playlist)


def test_only_a_line_feed_ends_a_line(folder: Path) -> None:
    name = "light\u2028dark.ts"
    (folder / name).write_bytes((folder / "light.ts").read_bytes())
    assert len(read_video(write_playlist(folder / "video.m3u8", "#EXTINF:0.5,", name))) == FRAMES


def test_a_playlist_that_is_not_there(folder: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        open_video(folder / "gone.m3u8")
