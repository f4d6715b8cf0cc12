"""The pictures of docs/serving.md: the page in Chromium, with a model and clips, one after the other.

    tubelet demo --out demo
    python tests/docs/screenshots.py demo/runs/factorised-encoder demo/clips/test/*fast*/000.mp4 --out docs/images

It needs the extra `test`, and Chromium.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import httpx
import torch
from PIL import Image
from playwright.sync_api import Page, sync_playwright

import tubelet
from tubelet.video import read_video

LARGEST = 150_000
"""Bytes of a picture."""


def main() -> None:
    """Serve, open, save."""
    parser = argparse.ArgumentParser(description="The pictures of docs/serving.md.")
    parser.add_argument("model")
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        video, camera = _joined(options.clips, Path(folder))
        words = [sys.executable, "-m", "tubelet", "serve", options.model, "--port", "0", "--json", "--quiet"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            address = json.loads(process.stdout.readline())["address"]
            while httpx.get(f"{address}readyz").status_code != 200:
                time.sleep(0.2)
            for name, width, dark in (("page", 1200, False), ("page-narrow", 420, True)):
                with sync_playwright() as playwright:
                    _save(_video_page(playwright, address, video, width, dark), options.out / f"{name}.webp")
            with sync_playwright() as playwright:
                _save(_camera_page(playwright, address, camera), options.out / "camera.webp")
        finally:
            process.terminate()
            process.wait()


def _joined(clips: list[Path], folder: Path) -> tuple[Path, Path]:
    """One video of all clips, twice as large, and the same for a camera."""
    read = [read_video(clip) for clip in clips]
    rate = 1 / float(read[0].timestamps.diff().median())
    frames = torch.cat([clip.frames for clip in read]).repeat_interleave(2, 2).repeat_interleave(2, 3)
    video = tubelet.write_video(folder / "clips.mp4", frames, rate)
    camera = folder / "camera.y4m"
    with av.open(str(camera), "w") as container:
        stream = container.add_stream("rawvideo", rate=round(rate))
        stream.height, stream.width, stream.pix_fmt = *frames.shape[2:], "yuv420p"
        for frame in frames.permute(0, 2, 3, 1).numpy():
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return video, camera


def _opened(playwright: object, address: str, width: int, dark: bool, flags: list[str]) -> Page:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *flags])  # type: ignore[attr-defined]
    scheme = "dark" if dark else "light"
    context = browser.new_context(viewport={"width": width, "height": 760}, color_scheme=scheme, permissions=["camera"])
    page: Page = context.new_page()
    page.goto(address)
    _until(page, "document.getElementById('about').textContent")
    return page


def _video_page(playwright: object, address: str, video: Path, width: int, dark: bool) -> Page:
    page = _opened(playwright, address, width, dark, [])
    page.set_input_files("#file", video)
    _until(page, "/events?$/.test(document.getElementById('status').textContent)")
    page.check("#explain")
    _until(page, "!document.getElementById('curve').hidden")
    bar = page.locator("#bar").bounding_box()
    assert bar is not None
    page.mouse.click(bar["x"] + 0.54 * bar["width"], bar["y"] + bar["height"] / 2)  # in the clip that was looked at
    page.wait_for_timeout(2000)
    return page


def _camera_page(playwright: object, address: str, camera: Path) -> Page:
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    page = _opened(playwright, address, 1200, False, [*flags, f"--use-file-for-fake-video-capture={camera}"])
    page.click("#tab-camera")
    page.click("#watch")
    _until(page, "document.querySelectorAll('#camera-classes .class').length > 1")
    page.wait_for_timeout(8000)
    return page


def _until(page: Page, script: str) -> None:
    """Wait; the page's policy forbids playwright's own way."""
    for _ in range(2400):
        if page.evaluate(script):
            return
        page.wait_for_timeout(50)
    raise SystemExit(f"{script} did not become true; the page says {page.inner_text('body')}")


def _save(page: Page, path: Path) -> None:
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    picture.save(path, quality=80)
    size = path.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{path} has {size} bytes, more than {LARGEST}")
    print(f"{path}  {picture.width}x{picture.height}, {size} bytes")


if __name__ == "__main__":
    main()
