"""What a real browser makes of a page; tests that need one are skipped by name where there is none."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: pages are not measured")

PHONE = 390
MEASURE = """<script>
addEventListener("load", () => {
  const smallest = Math.min(...[...document.querySelectorAll("figure svg")].flatMap(svg => {
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return [...svg.querySelectorAll("text")].map(text => scale * parseFloat(getComputedStyle(text).fontSize));
  }), 1000);
  document.title = `measured ${document.scrollingElement.scrollWidth} ${innerWidth} ${smallest}`;
});
</script></body>"""


def measured(page: Path, width: int) -> tuple[float, float, float]:
    """How wide a page is, how wide its window, and how large the smallest type of its plots, in pixels.

    The page is put into a frame of the width that is asked for: the window of a headless browser cannot be as narrow as
    a phone.
    """
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / "page.html"
        inner.write_text(page.read_text(encoding="utf-8").replace("</body>", MEASURE), encoding="utf-8")
        outer = Path(folder) / "outer.html"
        outer.write_text(
            f'<!doctype html><title>outer</title><iframe id="f" src="page.html" width="{width}" height="900" '
            'style="border:0"></iframe><script>onload = () => '
            'document.title = document.getElementById("f").contentDocument.title</script>'
        )
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command += ["--allow-file-access-from-files", f"--user-data-dir={folder}/profile", "--virtual-time-budget=4000"]
        done = subprocess.run(
            [*command, "--dump-dom", outer.as_uri()], capture_output=True, text=True, timeout=120, check=False
        )
    found = re.search(r"<title>measured ([\d.]+) ([\d.]+) ([\d.]+)</title>", done.stdout)
    assert found, f"chromium measured nothing: {done.stderr[-500:]}"
    page_width, window, type_size = map(float, found.groups())
    return page_width, window, type_size
