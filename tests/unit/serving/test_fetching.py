"""Addresses that are fetched for clients: none by default, and never one of a private network."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from serving_help import Running, running, write_day
from tubelet.serving import fetching
from tubelet.serving.problem import ProblemError
from tubelet.serving.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guarded processes are bounded on Linux")


@pytest.mark.parametrize(
    "url",
    [
        "http://videos.example/a.mp4",
        "https://videos.example.evil.example/a.mp4",
        "https://evil.example/https://videos.example/a.mp4",
        "https://videos.example:8443/a.mp4",
        "https://videos.example@evil.example/a.mp4",
        "https://user@videos.example/a.mp4",
        "https://evil.example\\@videos.example/a.mp4",
        "https://evil.example#@videos.example/",
        "https://videos.example/a b\r\nX: y",
        "https://[::1/",
        "file:///etc/passwd",
        "https:///etc/passwd",
        "",
    ],
)
def test_only_https_of_the_list_is_opened(url: str) -> None:
    with pytest.raises(ProblemError) as refusal:
        fetching.checked(url, Settings(url_hosts=("videos.example",)))
    assert refusal.value.status == 400


def test_what_is_allowed_is_taken_apart() -> None:
    settings = Settings(url_hosts=("videos.example", "other.example:8443"))
    assert fetching.checked("https://Videos.example/a/b.mp4?c=d#e", settings) == ("videos.example", 443, "/a/b.mp4?c=d")
    assert fetching.checked("https://other.example:8443", settings) == ("other.example", 8443, "/")


PRIVATE = """127.0.0.1 10.1.2.3 192.168.0.1 172.16.0.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 ::1 :: fe80::1%eth0
fd00::1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1:: 2001:0:a::1"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_private_addresses_are_none(address: str) -> None:
    assert not fetching.is_public(address)
    assert fetching.is_public("93.184.216.34")
    assert fetching.is_public("2606:2800:220:1::1")


class Videos(BaseHTTPRequestHandler):
    video = b""
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/clip.mp4")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        if self.path == "/slow":
            time.sleep(4)
        endless = self.path == "/endless"
        try:
            for _ in range(64 if endless else 1):
                self.wfile.write(bytes(2**16) if endless else self.video)
        except OSError:
            pass

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server of videos over TLS as `localhost`: its HOST:PORT, and its certificate."""
    folder = tmp_path_factory.mktemp("secure")
    certificate = folder / "certificate"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    words += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(folder / "key"), "-out", str(certificate)]
    subprocess.run(["openssl", *words], check=True, capture_output=True)
    Videos.video, Videos.asked = write_day(folder / "clip.mp4", [0] * 8 + [255] * 8).read_bytes(), []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Videos)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, folder / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"localhost:{server.server_port}", certificate
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_video_is_fetched_within_the_bounds_of_an_upload(
    secure: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    host, certificate = secure

    def ask(served: Running, path: str) -> tuple[int, dict[str, object]]:
        answer = served.client.post("/v1/predict", params={"url": f"https://{host}{path}"})
        return answer.status_code, answer.json()

    with running(url_hosts=(host,), upload_bytes=2**20, upload_seconds=3) as served:
        status, refused = ask(served, "/clip.mp4")
        assert (status, refused["detail"]) == (400, "localhost leads into a private network")
        assert Videos.asked == []
        monkeypatch.setattr(fetching, "is_public", lambda address: True)
        assert "certificate verify failed" in str(ask(served, "/clip.mp4")[1]["detail"])
        monkeypatch.setattr(fetching, "trusted", lambda: ssl.create_default_context(cafile=certificate))
        status, answer = ask(served, "/clip.mp4")
        sent = served.post("/v1/predict", Videos.video).json()
        assert (status, answer["path"], answer["label"]) == (200, "clip.mp4", sent["label"])
        assert answer["probability"] == pytest.approx(sent["probability"], abs=1e-5)
        assert ask(served, "/moved")[1]["detail"] == "localhost answered with status 302; redirects are not followed"
        assert ask(served, "/endless")[0] == 413
        assert ask(served, "/slow")[0] == 408
        assert Videos.asked == ["/clip.mp4", "/moved", "/endless", "/slow"]


def test_it_is_off_by_default(served: Running) -> None:
    answer = served.client.post("/v1/predict", params={"url": "https://videos.example/a.mp4"})
    assert answer.status_code == 400
    assert "addresses are not opened" in answer.json()["detail"]
