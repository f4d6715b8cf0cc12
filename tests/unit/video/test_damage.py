"""Damage that the decoder knows of is told: frames that differ from the right ones are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
import torch

import tubelet
from tubelet.config import PreprocessingConfig, ShardConfig
from tubelet.data import ClipDataset, Sample, Table, check, prepare
from tubelet.data.cache import FrameCache
from tubelet.data.items import Failure
from tubelet.errors import VideoError
from tubelet.video import Preprocessing, open_video, read_video
from tubelet.video.transcode import transcode

MakeVideo = Callable[..., Path]
PREPROCESSING = PreprocessingConfig(num_frames=4, frame_stride=2, resize=32, crop_size=(32, 32))
GROUPS = "keyint=12:min-keyint=12:scenecut=0:bframes=0"


def spoil(path: Path, number: int, change: Callable[[bytearray], None]) -> Path:
    """Change what is stored of the packet with this number."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content, packet = path.read_bytes(), bytearray(packets[number])
    assert content.count(packets[number]) == 1
    start = content.index(packets[number])
    change(packet)
    path.write_bytes(content[:start] + packet + content[start + len(packet) :])
    return path


def overwrite_end(packet: bytearray) -> None:
    start = len(packet) * 2 // 3
    packet[start:] = b"\xaa" * (len(packet) - start)


def wrong_frames(path: Path, right: torch.Tensor) -> list[int]:
    """Numbers of the frames that differ from the right ones."""
    clip = read_video(path)
    assert clip.frames.shape == right.shape
    return [number for number in range(len(right)) if not torch.equal(clip.frames[number], right[number])]


@pytest.fixture
def damaged_video(make_video: MakeVideo) -> Path:
    """Motion JPEG of 20 frames, of which number 8 is damaged."""
    return spoil(make_video("a.avi", "mjpeg", frames=20, pixel_format="yuvj420p"), 8, overwrite_end)


@pytest.fixture
def table(damaged_video: Path) -> Table:
    return Table((Sample(str(damaged_video), {"label": 0}),), {"label": ["a", "b"]}, str(damaged_video.parent), ())


# --- which frames ----------------------------------------------------------------------------------------------------


def test_a_frame_that_refers_to_no_other_is_damaged_alone(make_video: MakeVideo) -> None:
    path = make_video("a.avi", "mjpeg", frames=20, pixel_format="yuvj420p")
    right = read_video(path).frames
    assert read_video(path).damaged == ()
    spoil(path, 8, overwrite_end)
    assert wrong_frames(path, right) == [8]
    assert read_video(path).damaged == (8,)
    assert read_video(path, [3, 9]).damaged == ()
    for threads in (0, 1):
        with open_video(path, threads=threads) as decoder:
            assert decoder.frames_at([12, 8, 2]).damaged == (8,)


@pytest.mark.parametrize("packet", [14, 20, 30])
def test_damage_that_the_decoder_hides_is_named_up_to_the_next_key_frame(packet: int, make_video: MakeVideo) -> None:
    path = make_video("a.mkv", frames=36, options={"x264-params": GROUPS})
    right = read_video(path).frames
    spoil(path, packet, overwrite_end)
    wrong = wrong_frames(path, right)
    assert packet in wrong
    group = range(packet, packet // 12 * 12 + 12)
    assert set(wrong) <= set(group)
    assert read_video(path).damaged == tuple(group)
    assert read_video(path, range(group.stop, 36)).damaged == ()


@pytest.mark.parametrize("codec", ["wmv2", "flv"])
def test_what_the_decoder_marks_only_when_it_is_strict_is_named(codec: str, make_video: MakeVideo) -> None:
    path = make_video("a.avi", codec, frames=36, options={"g": "12", "b": "2000000"})
    right = read_video(path).frames
    assert read_video(path).damaged == ()
    spoil(path, 14, overwrite_end)
    wrong = wrong_frames(path, right)
    assert 14 in wrong
    assert read_video(path).damaged == tuple(range(14, 24))


@pytest.mark.parametrize(("packet", "lost"), [(8, 4), (14, 10), (33, 3)])
def test_a_frame_behind_missing_ones_is_named(packet: int, lost: int, make_video: MakeVideo) -> None:
    path = make_video("a.mkv", "libx265", frames=36, options={"x265-params": f"{GROUPS}:log-level=none"})
    right = read_video(path).frames
    spoil(path, packet, lambda content: content.__setitem__(slice(5, 9), b"\0" * 4))
    clip = read_video(path)
    kept = [*range(packet), *range(packet + lost, 36)]
    assert torch.equal(clip.frames, right[kept])
    assert clip.damaged == (min(packet, len(kept) - 1),)
    assert read_video(path, range(packet - 1)).damaged == ()


def test_a_transport_stream_that_lost_packets(make_video: MakeVideo) -> None:
    path = make_video("a.ts", "mpeg2video", frames=48, options={"g": "12", "b": "3000000"})
    right = read_video(path).frames
    content = path.read_bytes()
    place = len(content) // 188 // 2 * 188
    path.write_bytes(content[:place] + content[place + 3 * 188 :])
    wrong = wrong_frames(path, right)
    assert wrong
    damaged = read_video(path).damaged
    assert set(wrong) <= set(damaged)
    assert len(damaged) <= 14


def test_every_read_gives_the_same(damaged_video: Path) -> None:
    first = read_video(damaged_video)
    for _ in range(3):
        assert torch.equal(read_video(damaged_video).frames, first.frames)


# --- what becomes of them --------------------------------------------------------------------------------------------


def test_views_name_damaged_frames(damaged_video: Path) -> None:
    with open_video(damaged_video) as decoder:
        assert Preprocessing(PREPROCESSING).views(decoder, clips=4).damaged == (8,)
        assert Preprocessing(PREPROCESSING).views(decoder, end=0.3).damaged == ()


@pytest.mark.parametrize("cached", [False, True])
def test_training_leaves_out_clips_with_damaged_frames(cached: bool, table: Table) -> None:
    failed = 0
    for epoch in range(20):
        clips = ClipDataset(table, PREPROCESSING, cache=FrameCache(1, 0.1) if cached else None)
        clips.set_epoch(epoch)
        item = clips[0]
        kept = ClipDataset(table, PREPROCESSING, use_damaged=True)
        kept.set_epoch(epoch)
        assert not isinstance(kept[0], Failure)
        if isinstance(item, Failure):
            assert "1 of 4 frames is damaged (number 8)" in item.reason
            assert "use_damaged" in item.reason
            failed += 1
        else:
            assert torch.equal(item["video"], kept[0]["video"])
    assert 0 < failed < 20


def test_evaluation_and_prediction_say_how_many_frames_are_damaged(table: Table, damaged_video: Path) -> None:
    item = ClipDataset(table, PREPROCESSING, mode="evaluate", clips=4)[0]
    assert not isinstance(item, Failure)
    assert item["damaged"] == 1
    sizes = {"num_frames": 4, "image_size": 32, "num_layers": 1, "temporal_layers": 1}
    model = tubelet.create("vivit_tiny_16x2_fe", num_classes=2, **sizes).eval()
    model.preprocessing, model.labels = PREPROCESSING, {"label": ["a", "b"]}
    for source in (damaged_video, read_video(damaged_video)):
        result = tubelet.predict(model, source, views="4x1")
        assert result.damaged == (8,)
        assert result.to_dict()["damaged"] == [8]
        assert "1 of 10 frames is damaged (number 8)" in str(result)
    assert tubelet.predict(model, read_video(damaged_video, range(8))).damaged == ()
    for workers in (0, 1):
        evaluation = tubelet.evaluate(model, table, views="4x1", workers=workers)
        assert evaluation.num_damaged == 1
        assert evaluation.predictions[0].damaged == 1
        assert "1 have damaged frames" in str(evaluation)


def test_shards_hold_no_damaged_video_unless_asked(table: Table, damaged_video: Path, make_video: MakeVideo) -> None:
    good = Sample(str(make_video("good.mp4", frames=10)), {"label": 1})
    both = Table((*table.samples, good), table.classes, table.root, ())
    folder = damaged_video.parent
    for copy in (False, True):
        report = prepare(both, folder / f"shards-{copy}", ShardConfig(copy=copy))
        if copy:  # what is wrong in the middle is not looked for
            assert report.videos == 2
        else:
            assert report.videos == 1
            assert "1 of 20 frames is damaged (number 8)" in report.failures[0].reason
    assert prepare(both, folder / "all", ShardConfig(use_damaged=True)).videos == 2


def test_frames_that_no_mp4_can_hold_are_an_error_of_the_video(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video("far.mkv", "ffv1", frames=4, times=lambda number: 2**40 if number == 3 else number)
    with pytest.raises(VideoError, match="cannot be encoded as an MP4"):
        transcode(path, tmp_path / "out.mp4", short_side=32, keyframe_interval=12, crf=20)


def test_a_check_names_damaged_videos(table: Table) -> None:
    assert check(table).damaged == ()  # the first and the last frame are whole
    report = check(table, thorough=True)
    assert not report.ok
    assert "1 of 20 frames is damaged (number 8)" in report.damaged[0].reason
    assert "with damaged frames: 1" in str(report)


def test_a_thorough_check_reads_the_log_of_the_decoder(make_video: MakeVideo, tmp_path: Path) -> None:
    """FFV1 holds checksums, and a wrong one is written into the log alone."""
    options = {"level": "3", "slicecrc": "1"}
    paths = [make_video(f"{name}.mkv", "ffv1", frames=6, options=options) for name in "abc"]
    for path in paths[1:]:
        spoil(path, 3, lambda packet: packet.__setitem__(len(packet) // 2, packet[len(packet) // 2] ^ 255))
    samples = tuple(Sample(str(path), {"label": 0}) for path in paths)
    level = av.logging.get_level()
    for threads in (1, 3):
        report = check(Table(samples, {"label": ["a", "b"]}, str(tmp_path), ()), thorough=True, threads=threads)
        assert [problem.path for problem in report.reported] == [str(path) for path in paths[1:]]
        assert "CRC mismatch" in report.reported[0].reason
        assert not report.ok
    assert av.logging.get_level() == level
