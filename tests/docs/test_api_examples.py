"""Examples of the reference: `docs/api/of_PACKAGE.py` uses every public name of its package, and runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from _site import public_names
from own_process import run

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "api"
PACKAGES = [one for one in public_names.PACKAGES if public_names.example_file(one, EXAMPLES).is_file()]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_examples_of_a_package_run(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    run(public_names.example_file(package, EXAMPLES))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_of_the_package_is_used(package: str) -> None:
    shown = {name: public_names.example(package, name, EXAMPLES) for name in public_names.public_names(package)}
    assert [name for name, text in shown.items() if not text] == []


def test_no_file_of_examples_is_left_over() -> None:
    assert "tubelet" in PACKAGES
    assert len(PACKAGES) == len(list(EXAMPLES.glob("*.py")))


def test_an_example_holds_what_it_needs_and_no_more() -> None:
    text = public_names.example("tubelet", "explain", EXAMPLES)
    assert "import tubelet" in text
    assert "model = tubelet.load" in text
    assert not re.search(r"tubelet\.(train|probe)\(", text)
