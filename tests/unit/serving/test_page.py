"""The page in a real browser: a video is dropped, looked at, explained, taken along; a camera is watched."""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from torch import Tensor

import tubelet
from serving_help import Running, write_day
from tiny import day_and_night
from tubelet.model import ViViT
from tubelet.prediction import Stream, Timeline
from tubelet.prediction.stream_source import PulledFrames
from tubelet.prediction.window import Window
from tubelet.video import Preprocessing
from unit.report.chromium import CHROMIUM, needs_chromium

pytestmark = [
    needs_chromium,
    pytest.mark.skipif(sys.platform != "linux", reason="guarded processes are bounded on Linux"),
]

DROP = """
  ({ name, bytes }) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(bytes)], name));
    document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
"""

LIT = """
  (() => {
    const canvas = document.getElementById("heat");
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const data = copy.getImageData(0, 0, canvas.width, canvas.height).data;
    return data.some((value, place) => place % 4 === 3 && value > 60);
  })()
"""
"""Whether a map lies over the picture."""

HEAR = """
  () => {
    window.heard = [];
    window.sent = [];
    window.WebSocket = class extends WebSocket {
      constructor(...words) {
        super(...words);
        this.addEventListener("message", event => heard.push(JSON.parse(event.data)));
      }
      send(message) {
        sent.push(btoa(String.fromCharCode(...message)));
        super.send(message);
      }
    };
  }
"""
"""Keep what comes and goes over WebSockets."""


def serious(page: Page) -> list[str]:
    """What axe-core finds that keeps people out: rules, and the elements that break them."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes']]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@contextmanager
def browser(served: Running, *, width: int = 1280, dark: bool = False, camera: Path | None = None) -> Iterator[Page]:
    """The page of a service; in the end nothing was fetched from elsewhere, and the console is empty.

    A browser notes by itself that an answer was a refusal, which the page shows.
    """
    wrong: list[str] = []
    refusal = "the server responded with a status of 422"

    def strange(address: str) -> bool:
        return not address.startswith((served.address, "blob:", "data:"))

    flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    flags += [] if camera is None else [f"--use-file-for-fake-video-capture={camera}"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        context = opened.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", permissions=["camera"]
        )
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if refusal not in message.text else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if strange(request.url) else None)
        page.goto(served.address)
        # a browser drops keys that come before its first frame
        page.evaluate("new Promise(shown => requestAnimationFrame(() => requestAnimationFrame(shown)))")
        yield page
        opened.close()
    assert wrong == []


def until(page: Page, script: str, seconds: float = 60) -> Any:
    """What a script gives once that is true. The page's policy forbids playwright's own way to wait."""
    for _ in range(int(seconds * 20)):
        if value := page.evaluate(script):
            return value
        page.wait_for_timeout(50)
    raise AssertionError(f"{script} did not become true; the page says {page.inner_text('body')}")


def drop(page: Page, path: Path) -> None:
    page.evaluate(DROP, {"name": path.name, "bytes": list(path.read_bytes())})


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """Night, day, night, day; two seconds each."""
    return write_day(tmp_path / "nights.mp4", ([0] * 20 + [255] * 20) * 2)


def test_a_dropped_video_is_shown_with_what_happened_when_and_why(served: Running, nights: Path) -> None:
    events = Timeline.of("nights.mp4", tubelet.stream(day_and_night(), nights)).events
    with browser(served) as page:
        drop(page, nights)
        until(page, "document.getElementById('status').textContent === 'nights.mp4: 4 events'")
        assert sorted(page.locator("#classes .class span").all_inner_texts()) == ["day", "night"]
        assert page.locator("#thumbnails img").count() == 4
        shown = page.locator("#events button").all_inner_texts()
        assert [text.split("\n")[0] for text in shown] == [event.label for event in events]

        box = page.locator("#bar").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2)
        until(page, "Math.abs(parseFloat(document.getElementById('clock').textContent) - 5.6) < 0.1")
        page.click("#previous")
        until(page, f"Math.abs(parseFloat(document.getElementById('clock').textContent) - {events[2].start}) < 0.1")

        page.check("#explain")
        until(page, "!document.getElementById('curve').hidden")
        until(page, LIT)
        page.uncheck("#explain")
        until(page, f"!{LIT}")

        with page.expect_download() as waiting:
            page.click("#srt")
        assert waiting.value.suggested_filename == "nights.srt"
        timeline = Timeline.of("nights.mp4", tubelet.stream(day_and_night(), nights))
        assert Path(waiting.value.path()).read_text() == timeline.to_srt()
        with page.expect_download() as waiting:
            page.click("#json")
        assert json.loads(Path(waiting.value.path()).read_text())["timeline"]["events"][0]["label"] == "night"
        with page.expect_download() as waiting:
            page.click("#mp4")
        with av.open(str(waiting.value.path())) as film:
            assert len(list(film.decode(video=0))) == 80


def focus(page: Page, element: str, most: int = 30) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(most):
        if page.evaluate("document.activeElement.id") == element:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"#{element} was not reached by {most} Tabs")


def test_it_is_used_by_the_keyboard_alone(served: Running, nights: Path) -> None:
    events = Timeline.of("nights.mp4", tubelet.stream(day_and_night(), nights)).events
    with browser(served) as page:
        focus(page, "file")
        with page.expect_file_chooser() as choosing:
            page.keyboard.press("Space")
        choosing.value.set_files(nights)
        until(page, "document.getElementById('status').textContent.endsWith('4 events')")
        until(page, "document.getElementById('video').readyState > 1")
        focus(page, "bar")
        for event in events[1:]:
            page.keyboard.press("ArrowRight")
            until(page, f"Math.abs(parseFloat(document.getElementById('clock').textContent) - {event.start}) < 0.1")
        page.keyboard.press("ArrowLeft")
        until(page, f"Math.abs(parseFloat(document.getElementById('clock').textContent) - {events[2].start}) < 0.1")
        page.keyboard.press("Home")
        until(page, "parseFloat(document.getElementById('clock').textContent) < 0.1")
        assert "night" in str(page.get_attribute("#bar", "aria-valuetext"))
        focus(page, "explain")
        page.keyboard.press("Space")
        until(page, LIT)
        focus(page, "srt")
        with page.expect_download() as waiting:
            page.keyboard.press("Enter")
        assert waiting.value.suggested_filename == "nights.srt"


def test_a_video_that_the_browser_cannot_play_is_shown_as_a_copy_and_one_that_is_none_is_refused(
    served: Running, tmp_path: Path
) -> None:
    old = tmp_path / "old.avi"
    with av.open(str(old), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 64, 48
        for number in range(20):
            picture = numpy.full((48, 64, 3), 12 * number, numpy.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    with browser(served) as page:
        drop(page, old)
        until(page, "document.getElementById('video').videoWidth === 64")
        (tmp_path / "words.mp4").write_text("words")
        drop(page, tmp_path / "words.mp4")
        until(page, "document.getElementById('status').textContent.startsWith('Refused: not a video that FFmpeg')")


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_it_fits_and_keeps_nobody_out(width: int, dark: bool, served: Running, nights: Path) -> None:
    with browser(served, width=width, dark=dark) as page:
        drop(page, nights)
        until(page, "document.getElementById('status').textContent.endsWith('4 events')")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        page.check("#explain")
        until(page, "!document.getElementById('curve').hidden")
        page.click("summary")
        assert serious(page) == []
        page.click("#tab-camera")
        assert serious(page) == []


def test_a_camera_is_watched_and_its_decisions_are_those_of_stream(served: Running, tmp_path: Path) -> None:
    levels = [20] * 40 + [235] * 40
    with av.open(str(tmp_path / "camera.y4m"), "w") as container:
        stream = container.add_stream("rawvideo", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in levels:
            picture = av.VideoFrame.from_ndarray(numpy.full((48, 64, 3), level, numpy.uint8))
            container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    with browser(served, camera=tmp_path / "camera.y4m") as page:
        page.evaluate(HEAR)
        focus(page, "tab-video")
        page.keyboard.press("ArrowRight")
        focus(page, "watch")
        page.keyboard.press("Enter")
        labels = "new Set(heard.filter(one => one.type === 'decision').map(one => one.label)).size === 2"
        until(page, labels)
        assert page.locator("#camera-classes .class").count() == 2
        assert serious(page) == []
        page.keyboard.press("Enter")
        page.wait_for_timeout(300)
        heard = page.evaluate("heard.filter(one => one.type === 'decision')")
        sent = [base64.b64decode(message) for message in page.evaluate("sent")]
    offline = list(stream_of_pictures(day_and_night(), sent))
    assert 4 <= len(heard) <= len(offline)
    for came, expected in zip(heard, offline, strict=False):
        assert came["frames"] == list(expected.frames)
        assert came["start"] == pytest.approx(expected.start)
        assert came["label"] == expected.label
        assert came["probability"] == pytest.approx(expected.probability, abs=1e-5)


def stream_of_pictures(model: ViViT, messages: list[bytes]) -> Stream:
    """The stream of a model over pictures that a page sent, with their times."""

    def frames() -> Iterator[tuple[float, Callable[[], Tensor]]]:
        for message in messages:
            pixels = numpy.array(Image.open(io.BytesIO(message[8:])))
            yield struct.unpack("<d", message[:8])[0], partial(torch.from_numpy(pixels).permute, 2, 0, 1)

    config = model.preprocessing
    assert config is not None
    preprocessing = Preprocessing(config)
    source = PulledFrames(frames(), "camera", preprocessing, rate=config.sampling_rate)
    window = Window.of(model.config, config, None, None)
    return Stream(model, preprocessing, source, window, None, 5, torch.float32)
