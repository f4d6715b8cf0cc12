"""The page of a run: what is on it, what it does without, and that it needs nothing but itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tubelet.errors import DataError
from tubelet.report import Section, write_report
from unit.report.html_page import Page


def test_it_shows_everything_that_the_run_knows(run_folder: Path) -> None:
    page = Page(write_report(run_folder))
    assert page.headings == [
        "Learning curves",
        "Classes",
        "Confusion",
        "Every class",
        "Most confident mistakes",
        "Data",
        "How it was measured",
        "Videos that could not be read",
        "Configuration",
        "Environment",
    ]
    for words in (
        "66.7%",
        "factorised encoder, 8 frames of 32×32 pixels, 1.23 M parameters",
        "4×3 views each",
        "seed 77",
        "two videos were left out",
        "tubelet train clips",
        "is empty (0 bytes)",
    ):
        assert words in page.text


def test_the_surest_mistake_comes_first_with_its_frames(run_folder: Path) -> None:
    html = write_report(run_folder).read_text(encoding="utf-8")
    part = html[html.index("Most confident mistakes") :]
    assert part.index("video1.mp4") < part.index("video5.mp4")
    assert "video0.mp4" not in part[: part.index("<h2>Data")]
    assert part[part.index("video1.mp4") : part.index("video5.mp4")].count("data:image/jpeg") == 8


def test_it_needs_nothing_but_itself(run_folder: Path) -> None:
    path = write_report(run_folder)
    page = Page(path)
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert any(link.startswith("data:video/mp4") for link in page.links)
    html = path.read_text(encoding="utf-8")
    assert not re.search(r"@import|url\((?!#)", html)
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", html)


def test_names_are_escaped_and_ids_are_there_once(run_folder: Path) -> None:
    path = write_report(run_folder, title="a <b> & c")
    html = path.read_text(encoding="utf-8")
    assert "<hide>" not in html
    assert "run &amp; &lt;hide&gt;" in html
    assert "<h1>a &lt;b&gt; &amp; c</h1>" in html
    page = Page(path)
    assert len(page.ids) == len(set(page.ids))
    references = {link for link in page.links if link.startswith("#")} | {
        f"#{name}" for name in re.findall(r"url\(#([^)]+)\)", html)
    }
    assert references <= {f"#{name}" for name in page.ids}


@pytest.mark.parametrize(
    "missing", ["config.json", "run.json", "metrics.jsonl", "evaluation.json", "predictions.jsonl", "splits.csv"]
)
def test_it_does_without_any_of_the_files(run_folder: Path, missing: str) -> None:
    (run_folder / missing).unlink()
    page = Page(write_report(run_folder))
    gone = {
        "metrics.jsonl": "Learning curves",
        "evaluation.json": "Confusion",
        "splits.csv": "Data",
        "predictions.jsonl": "Most confident mistakes",
    }
    assert gone.get(missing) not in page.headings
    assert len(page.headings) >= 5


def test_it_does_without_the_videos(run_folder: Path) -> None:
    shutil.rmtree(run_folder.parent / "videos")
    page = Page(write_report(run_folder))
    assert "the video is no longer there" in page.text
    assert not any(link.startswith("data:image") for link in page.links)


def test_a_broken_file_is_named_and_the_rest_is_shown(run_folder: Path) -> None:
    (run_folder / "evaluation.json").write_text('{"top1": 0.5, "metr')
    page = Page(write_report(run_folder))
    assert "evaluation.json cannot be read" in page.text
    assert "Learning curves" in page.headings


def test_a_last_line_that_a_killed_training_left_unfinished_is_left_out(run_folder: Path) -> None:
    with (run_folder / "metrics.jsonl").open("a") as file:
        file.write('{"event": "train", "step": 41, "lo')
    assert "cannot be read" not in Page(write_report(run_folder)).text


def test_a_training_that_just_began_has_a_page(run_folder: Path) -> None:
    for name in ("evaluation.json", "predictions.jsonl"):
        (run_folder / name).unlink()
    (run_folder / "metrics.jsonl").write_text(
        json.dumps({"event": "train", "step": 1, "epoch": 1, "loss": 2.0, "lr": 0.0}) + "\n"
    )
    assert Page(write_report(run_folder)).headings[0] == "Learning curves"


def test_numbers_that_are_none_do_not_end_it(run_folder: Path) -> None:
    evaluation = json.loads((run_folder / "evaluation.json").read_text())
    metrics = evaluation["metrics"]["label"]
    metrics.update(loss=None, calibration_error=None, confusion=[[0, 0, 0]] * 3)
    for row in metrics["per_class"]:
        row.update(recall=None, precision=None)
    (run_folder / "evaluation.json").write_text(json.dumps(evaluation))
    assert "Confusion" not in Page(write_report(run_folder)).headings


def test_many_classes_have_a_picture_of_the_confusion(run_folder: Path) -> None:
    evaluation = json.loads((run_folder / "evaluation.json").read_text())
    names = [f"class {number}" for number in range(60)]
    evaluation["classes"] = {"label": names}
    confusion = [[int(i == j) + int((i + 1) % 60 == j) for j in range(60)] for i in range(60)]
    evaluation["metrics"]["label"].update(
        confusion=confusion, per_class=[{"name": name, "support": 2, "recall": 0.5, "precision": 0.5} for name in names]
    )
    (run_folder / "evaluation.json").write_text(json.dumps(evaluation))
    page = write_report(run_folder)
    html = page.read_text(encoding="utf-8")
    assert '<table class="confusion">' not in html
    assert "data:image/png;base64" in html[html.index("<h2>Confusion") : html.index("Confused most")]
    Page(page)


def test_several_heads_have_sections_of_their_own(run_folder: Path) -> None:
    evaluation = json.loads((run_folder / "evaluation.json").read_text())
    metrics = evaluation["metrics"]["label"]
    evaluation.update(
        classes={"verb": ["a", "b", "c"], "noun": ["x", "y", "z"]},
        metrics={"verb": metrics, "noun": metrics},
        joint={"top1": 0.25, "top5": None},
    )
    (run_folder / "evaluation.json").write_text(json.dumps(evaluation))
    page = Page(write_report(run_folder))
    assert {"Confusion: verb", "Confusion: noun", "Every class: verb", "Every class: noun"} <= set(page.headings)
    assert "25.0%" in page.text


def test_the_caller_can_put_sections_first(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert write_report(run_folder, out=out, extra=[Section("A <story>", "<p>Once <b>upon</b></p>")]) == out
    assert Page(out).headings[0] == "A <story>"
    assert not (run_folder / "report.html").exists()


def test_a_page_is_replaced_as_a_whole(run_folder: Path) -> None:
    first = write_report(run_folder)
    first.write_text("old")
    assert write_report(run_folder).read_text().startswith("<!doctype html>")
    assert not [entry for entry in run_folder.iterdir() if "unfinished" in entry.name]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        write_report(tmp_path / "gone")
    with pytest.raises(DataError, match="holds no run"):
        write_report(tmp_path)


def test_it_loads_no_model() -> None:
    code = (
        "import sys, tubelet.report; rooms = ('tubelet.model', 'tubelet.nn', 'tubelet.weights');"
        "sys.exit(any(name in sys.modules for name in rooms))"
    )
    source = Path(__file__).resolve().parents[3] / "src"
    assert subprocess.run([sys.executable, "-c", code], cwd=source, check=False).returncode == 0
