"""The page about several runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tubelet.errors import DataError
from tubelet.evaluation import Evaluation, compare
from tubelet.evaluation.stored import evaluate_stored
from tubelet.report import write_comparison
from unit.report.html_page import Page


@pytest.fixture
def runs(run_folder: Path) -> dict[str, Path]:
    """The run of the fixture, and one that gets its surest mistake right and was trained with another seed."""
    other = run_folder.with_name("other <run>")
    shutil.copytree(run_folder, other)
    lines = [json.loads(line) for line in (other / "predictions.jsonl").read_text().splitlines()]
    lines[1]["logits"]["label"] = [6.0, 0.0, 0.0]
    (other / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = json.loads((other / "run.json").read_text())
    run["config"]["seed"] = 78
    run["id"] = "749844688a427ece"
    (other / "run.json").write_text(json.dumps(run))
    for folder in (run_folder, other):
        evaluate_stored(folder).save(folder)
    return {"first": run_folder, "other <run>": other}


def compared(runs: dict[str, Path], out: Path) -> Path:
    comparison = compare({name: Evaluation.load(folder) for name, folder in runs.items()})
    return write_comparison(runs, comparison.to_dict(), out=out)


def test_it_shows_what_was_compared(runs: dict[str, Path], tmp_path: Path) -> None:
    page = Page(compared(runs, tmp_path / "page.html"))
    assert page.headings == [
        "What is compared",
        "Results",
        "Pairwise",
        "Learning curves",
        "Every class",
        "Videos that only one gets right",
        "Settings that differ",
    ]
    for words in ("2 runs, 6 videos", "66.7%", "83.3%", "+16.7 points", "0 : 1", "training: seed 77 78", "video1.mp4"):
        assert words in page.text
    assert "not significantly different" in page.text
    assert "749844688a427ece" not in page.text  # no setting: it differs in any two runs


def test_it_needs_nothing_but_itself_and_names_are_escaped(runs: dict[str, Path], tmp_path: Path) -> None:
    path = compared(runs, tmp_path / "page.html")
    page, html = Page(path), path.read_text(encoding="utf-8")
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert not re.search(r"@import|url\((?!#)", html)
    assert "<run>" not in html
    assert len(page.ids) == len(set(page.ids))


def test_it_does_without_videos_and_curves(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "videos")
    for folder in runs.values():
        (folder / "metrics.jsonl").unlink()
        (folder / "run.json").unlink()
    page = Page(compared(runs, tmp_path / "page.html"))
    assert "Learning curves" not in page.headings
    assert "the video is no longer there" in page.text


def test_accuracy_is_plotted_against_cost_where_costs_differ(runs: dict[str, Path], tmp_path: Path) -> None:
    comparison = compare({name: Evaluation.load(folder) for name, folder in runs.items()}).to_dict()
    comparison["multiply_adds"] = {"first": 1e9, "other <run>": 8e9}
    path = write_comparison(runs, comparison, out=tmp_path / "page.html")
    assert 'aria-label="Accuracy and cost"' in path.read_text(encoding="utf-8")
    assert "8 G" in Page(path).text


def test_a_page_that_cannot_be_written_is_an_error(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        compared(runs, tmp_path / "gone" / "page.html")
