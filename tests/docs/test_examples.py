"""Every script and notebook in `examples/` runs by itself, on generated videos and the packaged model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from own_process import run

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
NOTEBOOKS = {
    "first_look": ["left-slow-rgb", "data:image/jpeg", "right-slow-rbg", "data:image/png", "logit 5.", "clip.html"],
    "train_and_look": ["finished", "image/png", "top-1", "image/png"],
}
"""What the cells of each notebook show, in this order."""

EXECUTE = """
import json, sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
json.dump([cell["outputs"] for cell in notebook.cells if cell.cell_type == "code"], open(sys.argv[2], "w"))
"""
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


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent / "src"))
    run("-c", EXECUTE, EXAMPLES / f"{name}.ipynb", "outputs.json")
    shown, position = Path("outputs.json").read_text(), 0
    for words in NOTEBOOKS[name]:
        position = shown.find(words, position + 1)
        assert position > 0, words


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_outputs(name: str) -> None:
    """They would be changed by every run, and show the folders of whoever ran it."""
    cells = json.loads((EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_the_list_of_examples_is_complete() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert {notebook.stem for notebook in EXAMPLES.glob("*.ipynb")} == set(NOTEBOOKS)
    assert [name for name in NOTEBOOKS if f"`{name}.ipynb`" not in text] == []
    assert [script.name for script in SCRIPTS if f"`{script.name}`" not in text] == []
    assert {script.stem for script in SCRIPTS} == set(SAYS)
