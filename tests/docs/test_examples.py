"""Every script in `examples/` runs by itself, on generated videos and the model that comes with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from own_process import run

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
SAYS = {
    "predict": "left-slow-rgb",
    "train": "runs/example/report.html",
    "fine_tune": "left",
    "multi_label": "average precision",
    "stream": "left-slow-rgb",
    "explain": "explained/clip.html",
    "export": "left-slow-rgb",
    "serve": '"label": "left-slow-rgb"',
    "corpus": "left-slow-rgb",
    "own_attention": "2 blocks replaced",
}
"""Words of what each prints that it prints only if it came to its end and computed the right thing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_runs(script: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent / "src"))
    assert SAYS[script.stem] in run(script).stdout


def test_the_list_of_examples_is_complete() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [script.name for script in SCRIPTS if f"`{script.name}`" not in text] == []
    assert {script.stem for script in SCRIPTS} == set(SAYS)
