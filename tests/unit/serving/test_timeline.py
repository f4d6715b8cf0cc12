"""`/v1/timeline`, `/v1/explain`, `/v1/preview` and the camera: the answers of the library, while they come."""

from __future__ import annotations

import io
import json
import re
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import numpy
import pytest
import torch
import websockets.exceptions
from PIL import Image
from torch import Tensor
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

import tubelet
from serving_help import Running, running
from tiny import day_and_night
from tubelet.config import PreprocessingConfig
from tubelet.prediction import Stream, Timeline
from tubelet.video import read_video

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guarded processes are bounded on Linux")


def messages(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = [block.split("\n") for block in response.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def test_decisions_and_events_are_those_of_stream(served: Running, video: Path) -> None:
    came = messages(served.post("/v1/timeline", video.read_bytes(), name="clip.mp4"))
    offline = [decision.to_dict() for decision in tubelet.stream(day_and_night(), video)]
    decisions = [data for kind, data in came if kind == "decision"]
    assert [one["frames"] for one in decisions] == [one["frames"] for one in offline]
    assert [one["label"] for one in decisions] == [one["label"] for one in offline]
    expected = [one["probability"] for one in offline]
    assert [one["probability"] for one in decisions] == pytest.approx(expected, abs=1e-5)
    timeline = Timeline.of("clip.mp4", tubelet.stream(day_and_night(), video))
    assert came[-1] == ("end", {"timeline": timeline.to_dict(), "csv": timeline.to_csv(), "srt": timeline.to_srt()})
    assert [data for kind, data in came if kind == "event"] == timeline.to_dict()["events"]
    assert [event["label"] for event in timeline.to_dict()["events"]] == ["night", "day"]


def test_a_timeline_is_had_whole_too(served: Running, video: Path) -> None:
    timeline = Timeline.of("video", tubelet.stream(day_and_night(), video))
    assert served.post("/v1/timeline", video.read_bytes(), format="srt").text == timeline.to_srt()
    assert served.post("/v1/timeline", video.read_bytes(), format="csv").text == timeline.to_csv()
    assert served.post("/v1/timeline", video.read_bytes(), format="json").json() == timeline.to_dict()


def test_settings_that_do_not_fit_are_refused_before_the_video(served: Running) -> None:
    for wrong in ({"on": 0.2, "off": 0.3}, {"smoothing": "median:3"}, {"hop": 0}):
        assert served.post("/v1/timeline", b"", **wrong).status_code == 400, wrong


def sessions(service: Running) -> int:
    return int(service.client.get("/metrics").text.split("\ntubelet_sessions ")[1].split()[0])


def test_timelines_leave_a_decoder_for_uploads_and_end_when_nobody_reads(served: Running, video: Path) -> None:
    content = video.read_bytes()
    block = threading.Event()
    served.service.models["tiny"].thread.run(block.wait)
    try:
        with served.client.stream("POST", "/v1/timeline", content=content) as reading:
            came = reading.iter_text()
            assert next(came).startswith("event: start")
            refused = served.post("/v1/timeline", content)
            assert refused.status_code == 429
            assert "1 timelines and cameras are watched already" in refused.json()["detail"]
            assert served.post("/v1/preview", content).status_code == 200
    finally:
        block.set()
    until = time.monotonic() + 10
    while sessions(served):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert served.post("/v1/timeline", content).status_code == 200


def test_an_explanation_is_that_of_explain(served: Running, video: Path) -> None:
    answer = served.post("/v1/explain", video.read_bytes(), name="clip.mp4", target="day").json()
    expected = tubelet.explain(day_and_night(), video, target="day", method="balanced_tokens").to_dict()
    assert {**answer, "views": None, "curve": None} == {
        **json.loads(json.dumps(expected)),
        "path": "clip.mp4",
        "views": None,
        "curve": None,
        "logit": pytest.approx(expected["logit"], abs=1e-5),
        "top": [{**one, "probability": pytest.approx(one["probability"], abs=1e-5)} for one in expected["top"]],
        "unattributed": pytest.approx(expected["unattributed"], abs=1e-5),
    }
    for view, other in zip(answer["views"], expected["views"], strict=True):
        assert numpy.allclose(view["map"], other["map"], atol=1e-5)
        assert (view["frames"], view["box"]) == (other["frames"], other["box"])
    assert "no class of this model" in served.post("/v1/explain", video.read_bytes(), target="dusk").json()["detail"]


def test_a_film_and_a_preview_are_videos_that_browsers_play(served: Running, video: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.avi"
    with av.open(str(old), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.codec_context.time_base = 64, 48, Fraction(1, 10)
        for level in (0, 120, 250):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numpy.full((48, 64, 3), level, numpy.uint8))))
        container.mux(stream.encode(None))
    preview = served.post("/v1/preview", old.read_bytes())
    film = served.post("/v1/explain", video.read_bytes(), format="mp4")
    for answer, frames in ((preview, 3), (film, 16)):
        assert answer.headers["content-type"] == "video/mp4"
        with av.open(io.BytesIO(answer.content)) as made:
            assert made.streams.video[0].codec_context.name == "h264"
            assert len(list(made.decode(video=0))) == frames


# --- a camera ---------------------------------------------------------------------------------------------------------


@contextmanager
def camera(served: Running, **parameters: Any) -> Iterator[tuple[ClientConnection, dict[str, Any]]]:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    with connect(f"{served.address.replace('http', 'ws')}/v1/stream?{query}", proxy=None) as socket:
        yield socket, json.loads(socket.recv(10))


def jpeg(level: int, number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = numpy.full((48, 64, 3), level, numpy.uint8)
    pixels[: 5 * number % 48] //= 2
    Image.fromarray(pixels).save(buffer, "jpeg", quality=90)
    return buffer.getvalue()


def pixels_of(data: bytes) -> Tensor:
    return torch.from_numpy(numpy.array(Image.open(io.BytesIO(data)))).permute(2, 0, 1)


def watched(
    socket: ClientConnection, credits: int, pictures: list[tuple[float, bytes]], patience: float = 10
) -> list[dict[str, Any]]:
    """Send pictures as credits allow; the decisions that come until all were taken and nothing more comes."""
    decisions, left = [], list(pictures)
    taken = 0
    while True:
        while credits and left:
            moment, data = left.pop(0)
            socket.send(struct.pack("<d", moment) + data)
            credits -= 1
        try:
            message = json.loads(socket.recv(patience / 6 if taken == len(pictures) else patience))
        except TimeoutError:
            return decisions
        credits += message.get("count", 0)
        taken += message.get("count", 0)
        if message["type"] == "decision":
            decisions.append(message)


def test_a_camera_gives_the_decisions_of_stream_and_encodes_each_tubelet_once(served: Running) -> None:
    pictures = [(100 + number / 10, jpeg(0 if number < 9 else 255, number)) for number in range(20)]
    before = counted(served, "decisions"), counted(served, "encoded")
    with camera(served) as (socket, start):
        assert start["type"] == "start"
        decisions = watched(socket, start["credits"], pictures)
    assert counted(served, "decisions") - before[0] == len(decisions)
    assert counted(served, "encoded") - before[1] == len(decisions) + 1  # not two for each window
    offline = list(tubelet.stream(day_and_night(), [pixels_of(data) for _, data in pictures], frame_rate=10.0))
    assert len(decisions) == len(offline) > 5
    for came, expected in zip(decisions, offline, strict=True):
        assert came["frames"] == list(expected.frames)
        assert came["start"] == pytest.approx(100 + expected.start)
        assert came["label"] == expected.label
        assert came["probability"] == pytest.approx(expected.probability, abs=1e-5)


def counted(served: Running, what: str) -> int:
    found = re.search(rf"^tubelet_stream_{what}_total (\d+)$", served.client.get("/metrics").text, re.MULTILINE)
    return 0 if found is None else int(found[1])


@pytest.mark.slow
def test_a_decision_of_a_large_encoder_costs_less_than_a_tenth_of_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """B/16x2 of 32 frames, over the WebSocket; in processor time of one thread."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = tubelet.create("vivit_base_16x2_fe").eval()
    model.preprocessing = PreprocessingConfig(num_frames=32, frame_stride=1, resize=224, crop_size=(224, 224))
    pictures = [(number / 10, noise(number)) for number in range(40)]
    spent: list[float] = []
    decide = Stream._decision

    def timed(stream: Stream, *words: Any) -> Any:
        began = time.thread_time()
        decision = decide(stream, *words)
        spent.append(time.thread_time() - began)
        return decision

    monkeypatch.setattr(Stream, "_decision", timed)
    with running(model) as served, camera(served) as (socket, start):
        decisions = watched(socket, start["credits"], pictures, patience=200)
    monkeypatch.undo()
    offline = list(tubelet.stream(model, [pixels_of(data) for _, data in pictures]))
    began = time.thread_time()
    with torch.no_grad():
        model(torch.rand(1, 32, 3, 224, 224))
    window = time.thread_time() - began
    torch.set_num_threads(threads)
    assert len(decisions) == len(offline) == 5
    for came, expected in zip(decisions, offline, strict=True):
        assert [one["label"] for one in came["top"]] == [label for label, _ in expected.head.top(5)]
        assert came["probability"] == pytest.approx(expected.probability, abs=1e-5)
    share = sorted(spent[1:])[2] / window
    print(f"a decision costs {share:.3f} of a window")
    assert share <= 0.1


def noise(number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = numpy.random.default_rng(number).integers(0, 255, (28, 28, 3), numpy.uint8)
    Image.fromarray(pixels).resize((224, 224)).save(buffer, "jpeg", quality=90)
    return buffer.getvalue()


def refused(socket: ClientConnection) -> dict[str, Any]:
    """The error, after whatever came before it; then the connection is closed."""
    while (message := json.loads(socket.recv(10)))["type"] != "error":
        pass
    with pytest.raises(websockets.exceptions.ConnectionClosed):
        socket.recv(10)
    return message


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ([struct.pack("<d", 0.0)], "expected 8 bytes of time and a JPEG"),
        ([struct.pack("<d", 1.0) + jpeg(0, 0), struct.pack("<d", 0.5) + jpeg(0, 0)], "times that ascend"),
        ([struct.pack("<d", float("nan")) + jpeg(0, 0)], "times that ascend"),
        ([struct.pack("<d", float(n)) + b"no picture" for n in range(4)], "no JPEG that can be read"),
        ([struct.pack("<d", float(n)) + jpeg(0, 0)[:200] for n in range(4)], "no JPEG that can be read"),
    ],
)
def test_what_is_no_picture_ends_the_camera_in_words(sent: list[bytes], words: str, served: Running) -> None:
    with camera(served) as (socket, _):
        for message in sent:
            socket.send(message)
        assert words in refused(socket)["detail"]


def test_a_page_of_a_stranger_gets_no_camera(served: Running) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus) as error:
        connect(f"{served.address.replace('http', 'ws')}/v1/stream", proxy=None, origin=Origin("http://evil.example"))
    assert error.value.response.status_code == 403


def test_frames_of_a_video_are_those_of_reading(served: Running, video: Path) -> None:
    """The preview of an H.264 video has its pictures, as far as encoding again leaves them."""
    made = served.post("/v1/preview", video.read_bytes()).content
    copy = video.parent / "copy.mp4"
    copy.write_bytes(made)
    difference = read_video(copy).frames.float() - read_video(video).frames.float()
    assert float(difference.abs().max()) < 12
