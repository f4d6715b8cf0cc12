"""Pages of the site out of files that stand beside `docs/`."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = {"benchmarks/LOG.md": "measurements.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def pages() -> dict[str, str]:
    """File below `reference/` -> Markdown, with links that lead from there."""
    made = {}
    for file, name in FILES.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        text = re.sub(r"\]\((?:\.\./)?docs/", "](../", text)
        made[name] = link_pages(text, "../")
    return made


def link_pages(text: str, up: str) -> str:
    """Links to these files, from a page from which `up` leads to `docs/`."""
    for file, name in FILES.items():
        text = re.sub(rf"\]\((?:\.\./)*{re.escape(file)}", f"]({up}reference/{name}", text)
    return text
