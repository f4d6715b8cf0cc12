"""Every odd, rare or broken file decodes to the frames that are in it, or gives one clear error."""

from __future__ import annotations

import ast
import csv
import os
import random
import zlib
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
from av.stream import Disposition
from torch import Tensor

from tubelet.errors import VideoError
from tubelet.video import open_video, read_video
from tubelet.video.protocol import VisitingDecoder

SHARED = Path(os.environ.get("TUBELET_SHARED", Path(__file__).resolve().parents[4] / "shared"))
MANIFEST = SHARED / "data" / "edge_videos" / "manifest.csv"
ROWS = list(csv.DictReader(MANIFEST.read_text(encoding="utf-8").splitlines())) if MANIFEST.is_file() else []
GOOD = [row for row in ROWS if row["status"] == "ok"]
BAD = [row for row in ROWS if row["status"] != "ok"]


def fingerprint(pixels: numpy.ndarray[Any, Any]) -> int:
    return zlib.crc32(numpy.ascontiguousarray(pixels))


def from_first_to_last(path: Path) -> tuple[list[int], float]:
    """Fingerprints of all frames, decoded one after the other by PyAV alone, upright; and where the file starts."""
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        stream = max(streams, key=lambda stream: stream.width * stream.height)
        upright = (
            numpy.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90) for frame in container.decode(stream)
        )
        return [fingerprint(pixels) for pixels in upright], (container.start_time or 0) / av.time_base


def fingerprints(decoder: VisitingDecoder, indices: list[int]) -> dict[int, int]:
    found = {}

    def visit(number: int, frame: Tensor) -> None:
        found[number] = fingerprint(frame.permute(1, 2, 0).numpy())

    decoder.visit(indices, visit)
    return found


@pytest.mark.parametrize("row", GOOD or [None], ids=lambda row: row["path"] if row else "none")
def test_frames_are_the_right_ones(row: dict[str, str] | None, shared: Path) -> None:
    assert row is not None
    path = shared / "data" / "edge_videos" / row["path"]
    with open_video(path) as decoder:
        assert isinstance(decoder, VisitingDecoder)
        metadata = decoder.metadata
        expected, start = from_first_to_last(path)
        assert len(decoder.timestamps) == metadata.num_frames == len(expected)
        if row["v_streams"] == "1":  # the manifest describes the first of them
            (width, height), *others = ast.literal_eval(row["sizes"])
            assert not others
            assert (metadata.num_frames, metadata.height, metadata.width) == (int(row["frames"]), height, width)
            assert decoder.timestamps[0].item() == pytest.approx(float(row["first_pts_s"]) - start, abs=1e-3)
        found = fingerprints(decoder, list(range(metadata.num_frames)))
        assert [found[number] for number in range(metadata.num_frames)] == expected

    choose = random.Random(row["path"])
    for threads in (0, 1):
        with open_video(path, threads=threads) as decoder:
            assert isinstance(decoder, VisitingDecoder)
            for _ in range(3):
                some = [choose.randrange(len(expected)) for _ in range(4)]
                found = fingerprints(decoder, some)
                assert {number: expected[number] for number in some} == found


@pytest.mark.parametrize("row", BAD or [None], ids=lambda row: row["path"] if row else "none")
def test_what_cannot_be_decoded_gives_one_clear_error(row: dict[str, str] | None, shared: Path) -> None:
    assert row is not None
    path = shared / "data" / "edge_videos" / row["path"]
    with pytest.raises(VideoError) as caught:
        read_video(path)
    reason = caught.value.reason
    assert caught.value.path == str(path)
    assert "\n" not in reason
    assert len(reason) > 30
    assert not any(noise in reason for noise in ("avcodec", "Errno", "Traceback"))


def test_error_messages_say_what_is_wrong(shared: Path) -> None:
    folder = shared / "data" / "edge_videos"
    expected = {
        "decord/corrupted.mp4": r"damaged at 3\.00 s",
        "made_here/bitflips_faststart.mp4": r"damaged at 1\.96 s",
        "made_here/truncated_faststart_half.mp4": "cut off: its header lists 96 frames",
        "made_here/truncated_200k_of_bikes.mp4": "without a usable index: cut off or damaged",
        "made_here/text_file.mp4": "not a video",
        "mp4parse/amr_nb_1f.3gp": r"no video stream: the file holds only audio \(1 stream\)",
        "mp4parse/invalid_userdata.mp4": "the header lists 5544",
        "libwebm/matroska_doctype.mkv": "no decoder for its video codec",
    }
    for name, words in expected.items():
        with pytest.raises(VideoError, match=words):
            read_video(folder / name)


def test_frames_before_the_damage_can_be_had(shared: Path) -> None:
    path = shared / "data" / "edge_videos" / "made_here" / "bitflips_faststart.mp4"
    assert len(read_video(path, end=1.0)) == 24
    with pytest.raises(VideoError, match="damaged"):
        read_video(path, start=2.0, end=3.0)
