"""docs/architecture.md beside the code: packages, direction of imports, and files that the documents name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "tubelet"
MADE = "reference/"
"""Pages that `make docs` writes, and whose links it follows."""

PAGES = [
    page
    for page in sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    if not page.startswith(f"docs/{MADE}")
]
CURRENT = ["docs/architecture.md", "docs/decisions.md", "docs/glossary.md", "docs/performance.md", "CONTRIBUTING.md"]
"""Pages that describe the code as it is; the changelog names files that were."""


def diagram() -> list[set[str]]:
    """The names in each line of the diagram, from the top."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = re.search(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    return [set(re.split(" · ", line[:48].strip())) for line in block[1].splitlines()]


def modules() -> set[str]:
    """Packages and modules of `tubelet`."""
    files = {path.stem for path in SOURCE.glob("*.py")} - {"__init__"}
    return files | {path.parent.name for path in SOURCE.glob("*/__init__.py")}


def test_diagram_lists_every_module_once() -> None:
    assert sorted(name for line in diagram() for name in line) == sorted(modules())


def test_diagram_has_the_layers_of_the_import_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(contract["layers"] for contract in settings["contracts"] if contract["id"] == "direction")
    existing = [set(re.findall(r"\w+", layer)) & modules() for layer in layers]
    assert diagram() == [layer for layer in existing if layer]


@pytest.mark.parametrize("page", CURRENT)
def test_files_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)+\w+\.(?:py|toml|md)|\w+\.(?:py|toml))`", text)
    places = (ROOT, SOURCE, SOURCE / "recipes")
    assert [name for name in named if not any((place / name).is_file() for place in places)] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    links = [link for link in links if link and not (page.startswith("docs/") and link.startswith(MADE))]
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
