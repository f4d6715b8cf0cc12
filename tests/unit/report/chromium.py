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
SIZES = """
  const smallest = Math.min(...[...document.querySelectorAll("figure svg")].flatMap(svg => {
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return [...svg.querySelectorAll("text")].map(text => scale * parseFloat(getComputedStyle(text).fontSize));
  }), 1000);
  return [document.scrollingElement.scrollWidth, innerWidth, smallest].join(" ");
"""


def measured(page: Path, *widths: int) -> list[tuple[float, float, float]]:
    """How wide a page is, how wide its window, and how large the smallest type of its plots, each in pixels."""
    found = [tuple(map(float, said.split())) for said in said_by(page, SIZES, *widths)]
    return [(page_width, window, type_size) for page_width, window, type_size in found]


def said_by(page: Path, script: str, *widths: int) -> list[str]:
    """What the body of a function of JavaScript returns in a page, a text without markup, at each width.

    The page is put into frames of the widths that are asked for: the window of a headless browser cannot be as narrow
    as a phone.
    """
    assert CHROMIUM is not None
    asked = f'<script>addEventListener("load", () => {{ document.title = (() => {{ {script} }})(); }});</script></body>'
    frames = [f'<iframe src="page.html" width="{width}" height="900" style="border:0"></iframe>' for width in widths]
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / "page.html"
        inner.write_text(page.read_text(encoding="utf-8").replace("</body>", asked), encoding="utf-8")
        outer = Path(folder) / "outer.html"
        outer.write_text(
            f"<!doctype html><title>nothing</title>{''.join(frames)}<script>onload = () => {{ document.title = "
            '"said: " + [...document.querySelectorAll("iframe")].map(f => f.contentDocument.title).join("|"); }'
            "</script>"
        )
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command += ["--allow-file-access-from-files", f"--user-data-dir={folder}/profile", "--virtual-time-budget=4000"]
        done = subprocess.run(
            [*command, "--dump-dom", outer.as_uri()], capture_output=True, text=True, timeout=120, check=False
        )
    found = re.search(r"<title>said: ([^<]*)</title>", done.stdout)
    assert found, f"chromium said nothing: {done.stderr[-500:]}"
    return found.group(1).split("|")
