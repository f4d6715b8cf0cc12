"""Examples of the reference: `docs/api/of_PACKAGE.py` uses every public name of its package, and runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from _site import public_names
from own_process import run

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "api"
PACKAGES = [one for one in public_names.PACKAGES if public_names.public_names(one)]
SLOW = {"tubelet.demo"}
"""It trains twice and exports; `tests/integration/test_demo.py` proves the same."""
RUN = [pytest.param(one, marks=pytest.mark.slow) if one in SLOW else one for one in PACKAGES]


@pytest.mark.parametrize("package", RUN)
def test_the_examples_of_a_package_run(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    run(public_names.example_file(package, EXAMPLES))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_of_the_package_is_used(package: str) -> None:
    shown = {name: public_names.example(package, name, EXAMPLES) for name in public_names.public_names(package)}
    assert [name for name, text in shown.items() if not text] == []


def test_every_package_has_its_file_of_examples_and_no_file_is_left_over() -> None:
    wanted = {public_names.example_file(package, EXAMPLES) for package in PACKAGES}
    assert set(EXAMPLES.glob("*.py")) == wanted


def test_an_example_holds_what_it_needs_and_no_more() -> None:
    text = public_names.example("tubelet", "explain", EXAMPLES)
    assert "import tubelet" in text
    assert "model = tubelet.load" in text
    assert not re.search(r"tubelet\.(train|probe)\(", text)
