"""`/v1/predict`: what is in a video, in the words of `tubelet predict`; and who is refused, and how."""

from __future__ import annotations

import base64
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from serving_help import Running, running, write_day
from tiny import day_and_night
from tubelet.prediction import Predictor, Result
from tubelet.serving.metrics import Metrics

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guarded processes are bounded on Linux")


def offline(path: Path, **how: object) -> dict[str, object]:
    result = Predictor(day_and_night())(path, **how)  # type: ignore[arg-type]
    assert isinstance(result, Result)
    return result.to_dict()


SAME = ("label", "views", "frames", "timestamps", "damaged", "resampled", "error", "use")


@pytest.mark.parametrize("views", ["1x1", "3x1", "2x3"])
def test_the_answer_is_that_of_predict(views: str, served: Running, video: Path) -> None:
    answer = served.post("/v1/predict", video.read_bytes(), name="a/b/clip.mp4", views=views, top=2).json()
    expected = offline(video, views=views, top=2)
    assert {name: answer[name] for name in SAME} == {name: expected[name] for name in SAME}
    assert answer["path"] == "clip.mp4"
    assert answer["probability"] == pytest.approx(expected["probability"], abs=1e-5)
    assert [one["label"] for one in answer["top"]] == [one["label"] for one in expected["top"]]  # type: ignore[attr-defined]


def test_a_form_is_taken_too_and_names_the_file(served: Running, video: Path) -> None:
    answer = served.client.post(
        "/v1/predict", files={"other": (None, "words"), "video": ("my clip.mp4", video.read_bytes())}
    )
    assert answer.json()["path"] == "my clip.mp4"
    assert answer.json()["probability"] == pytest.approx(offline(video)["probability"], abs=1e-5)


def test_a_few_frames_come_with_it_where_they_are_asked_for(served: Running, video: Path) -> None:
    thumbnails = served.post("/v1/predict", video.read_bytes(), thumbnails=True).json()["thumbnails"]
    assert len(thumbnails) == 4
    assert base64.b64decode(thumbnails[0].partition(",")[2]).startswith(b"\xff\xd8\xff")


def test_videos_of_many_clients_at_once_are_not_mixed_up(served: Running, tmp_path: Path) -> None:
    levels = list(range(0, 256, 15))
    paths = [write_day(tmp_path / f"{level}.mp4", [level] * 6) for level in levels]
    expected = [offline(path)["probability"] for path in paths]
    with ThreadPoolExecutor(9) as threads:
        answers = list(
            threads.map(lambda path: served.post("/v1/predict", path.read_bytes(), name=path.name).json(), paths * 2)
        )
    assert [answer["path"] for answer in answers] == [path.name for path in paths] * 2
    assert [answer["probability"] for answer in answers] == pytest.approx(expected * 2, abs=1e-5)
    text = served.client.get("/metrics").text
    passes, clips = (
        float(text.split(f"\ntubelet_forward_{name}_total ")[1].split()[0]) for name in ("passes", "clips")
    )
    assert passes < clips  # some shared a pass


# --- what is refused --------------------------------------------------------------------------------------------------


def problem(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    content = response.json()
    assert content["status"] == status
    assert "/tmp" not in response.text
    return str(content["detail"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/a.ts\n", "a list of other files"),
        (b"v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n", "a list of other files"),
        (b"\0\0\0\x20ftypisom" + bytes(100), "cut off or damaged"),
        (b"words", "not a video that FFmpeg can read"),
        (b"\xff\xd8\xff\xe0" + bytes(60), "a single JPEG picture"),
    ],
)
@pytest.mark.parametrize("route", ["/v1/predict", "/v1/explain", "/v1/timeline", "/v1/preview"])
def test_what_is_no_video_is_refused_in_the_words_of_video_error(
    route: str, content: bytes, words: str, served: Running
) -> None:
    assert words in problem(served.post(route, content), 422)


@pytest.mark.parametrize(
    ("parameters", "status", "words"),
    [
        ({"views": "9"}, 400, "CLIPSxCROPS"),
        ({"views": "99x3"}, 400, "at most 64 views"),
        ({"views": "dense:16x1"}, 400, "CLIPSxCROPS"),
        ({"top": 0}, 400, "top: Input should be greater than or equal to 1"),
        ({"model": "tinny"}, 404, "no model 'tinny'; did you mean 'tiny'?"),
    ],
)
def test_parameters_that_do_not_fit(
    parameters: dict[str, object], status: int, words: str, served: Running, video: Path
) -> None:
    assert words in problem(served.post("/v1/predict", video.read_bytes(), **parameters), status)


def test_a_body_without_a_video(served: Running) -> None:
    assert "the body is empty" in problem(served.post("/v1/predict", b""), 400)
    assert "the form has no file" in problem(served.client.post("/v1/predict", files={"video": (None, "words")}), 400)
    broken = served.client.post(
        "/v1/predict", content=b"x", headers={"content-type": "multipart/form-data; boundary=a"}
    )
    assert "the form cannot be read" in problem(broken, 400)


def test_one_byte_too_many_is_refused_while_it_comes(served: Running) -> None:
    most = served.service.settings.upload_bytes
    assert problem(served.post("/v1/predict", bytes(most)), 422)
    assert "more than 1,048,576 bytes" in problem(served.post("/v1/predict", bytes(most + 1)), 413)

    def parts() -> Iterator[bytes]:
        for _ in range(17):
            yield bytes(2**16)

    assert "more than 1,048,576 bytes" in problem(served.client.post("/v1/predict", content=parts()), 413)


def test_no_file_is_left(served: Running, video: Path) -> None:
    served.post("/v1/predict", video.read_bytes())
    served.post("/v1/predict", b"words")
    with socket.create_connection(served.address.removeprefix("http://").split(":")) as leaving:  # type: ignore[arg-type]
        leaving.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nxx")
        time.sleep(0.2)
    until = time.monotonic() + 5
    while os.listdir(served.service.folder):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_decoder_that_is_killed_costs_one_request(served: Running, video: Path) -> None:
    def kill() -> None:
        for supervisor in served.service.pool.process_ids():
            for worker in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
                os.kill(int(worker), signal.SIGKILL)

    for _ in range(3):
        kill()
        answer = served.post("/v1/predict", video.read_bytes())
        assert answer.status_code in (200, 422), answer.text
        assert served.post("/v1/predict", video.read_bytes()).status_code == 200


def test_unknown_routes_and_methods(served: Running) -> None:
    assert "GET /v1/nothing" in problem(served.client.get("/v1/nothing"), 404)
    assert "PUT /v1/predict" in problem(served.client.put("/v1/predict"), 405)


# --- full, late, slow -------------------------------------------------------------------------------------------------


def test_a_full_service_refuses_before_the_body_is_read_and_a_late_answer_is_given_up(video: Path) -> None:
    with running(capacity=3, deadline=1.5, upload_seconds=3) as full:
        block = threading.Event()
        full.service.models["tiny"].thread.run(block.wait)
        content = video.read_bytes()
        with ThreadPoolExecutor(3) as threads:
            waiting = [threads.submit(full.post, "/v1/predict", content) for _ in range(3)]
            while full.service.metrics.text().count('stage="upload"') == 0 or full.service._in_progress < 3:
                time.sleep(0.01)
            began = time.perf_counter()
            refused = full.post("/v1/predict", bytes(10 * 2**20))
            seconds = time.perf_counter() - began
            assert "3 requests are worked on already" in problem(refused, 429)
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert seconds < 1.0
            for late in waiting:
                assert "no answer in 1.5 s" in problem(late.result(), 503)
        block.set()
        assert full.post("/v1/predict", content).status_code == 200

        def slowly() -> Iterator[bytes]:
            yield b"x"
            time.sleep(2.5)
            yield b"x"

        assert "took longer than 3 s, or stopped" in problem(full.client.post("/v1/predict", content=slowly()), 408)


def test_a_client_that_left_is_not_computed(served: Running, video: Path) -> None:
    block = threading.Event()
    served.service.models["tiny"].thread.run(block.wait)

    def passes() -> str:
        return next(line for line in served.client.get("/metrics").text.splitlines() if "passes_total " in line)

    before = passes() if "passes_total " in served.client.get("/metrics").text else ""
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{served.address}/v1/predict", content=video.read_bytes(), timeout=1.0)
    while "tubelet_in_progress 0" not in served.client.get("/metrics").text:
        time.sleep(0.02)
    block.set()
    served.service.models["tiny"].thread.run(lambda: None).result()
    assert before in ("", passes())


# --- who may ask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1"])
def test_a_strange_host_is_refused(host: str, served: Running) -> None:
    assert "not known as" in problem(served.client.get("/v1/model", headers={"host": host}), 421)


def test_a_page_of_another_origin_is_refused(served: Running) -> None:
    for origin in ("http://evil.example", "null", f"{served.address}.evil.example", "http://127.0.0.1:1"):
        assert "may not ask" in problem(served.client.get("/v1/model", headers={"origin": origin}), 403)
    assert served.client.get("/v1/model", headers={"origin": served.address}).status_code == 200


def test_a_key_is_needed_on_every_route() -> None:
    with running(key="correct horse") as locked:
        routes = ["/", "/healthz", "/readyz", "/metrics", "/v1/model", "/openapi.json", "/page.js"]
        with httpx.Client(base_url=locked.address) as stranger:
            for route in routes:
                assert "a key is needed" in problem(stranger.get(route), 401)
            assert "a key is needed" in problem(stranger.post("/v1/predict", content=bytes(2**20)), 401)
            wrong = {"authorization": "Bearer correct hors"}
            assert problem(stranger.get("/v1/model", headers=wrong), 401)
            assert stranger.get("/v1/model", auth=("anyone", "correct horse")).status_code == 200
        assert {locked.client.get(route).status_code for route in routes} == {200}


def test_answers_forbid_what_the_page_does_not_need(served: Running) -> None:
    for route in ("/", "/v1/model", "/v1/nothing"):
        headers = served.client.get(route).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_what_the_model_is(served: Running) -> None:
    about = served.client.get("/v1/model").json()
    assert about["default"] == "tiny"
    assert about["models"][0]["heads"] == {"label": ["day", "night"]}
    assert about["models"][0]["preprocessing"]["crop_size"] == [16, 16]


def test_metrics_are_in_the_format_of_prometheus() -> None:
    metrics = Metrics()
    metrics.count("tubelet_requests_total", route='a"b\n', status="200")
    metrics.observe("tubelet_request_seconds", 0.3, route="/")
    metrics.observe("tubelet_request_seconds", 70.0, route="/")
    metrics.gauge("tubelet_ready", lambda: True)
    lines = metrics.text().splitlines()
    assert r'tubelet_requests_total{route="a\"b\n",status="200"} 1' in lines
    assert 'tubelet_request_seconds_bucket{route="/",le="0.25"} 0' in lines
    assert 'tubelet_request_seconds_bucket{route="/",le="0.5"} 1' in lines
    assert 'tubelet_request_seconds_bucket{route="/",le="+Inf"} 2' in lines
    assert 'tubelet_request_seconds_sum{route="/"} 70.3' in lines
    assert "tubelet_ready 1" in lines
