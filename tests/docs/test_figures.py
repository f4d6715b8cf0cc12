"""Tables of measurements are those that the stored rows give, and each row says where it comes from."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from benchmarks import figures
from benchmarks.measure import Entry

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "benchmarks" / "results").glob("*.csv"))


@pytest.mark.parametrize("page", figures.PAGES)
def test_tables_of_a_page_are_made_from_the_rows(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert figures.with_tables(text) == text
    assert len(figures.TABLE.findall(text)) == text.count("<!-- figures:")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_row_says_when_where_and_by_which_command(file: Path) -> None:
    rows = figures.read(file.stem)
    assert tuple(rows[0]) == figures.COLUMNS
    for row in rows:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["date"])
        assert re.fullmatch(r"[0-9a-f]{7,}", row["commit"])
        assert row["processor"]
        assert row["command"].startswith("python -m benchmarks")
        assert float(row["seconds"]) > 0


def test_the_speed_in_the_readme_is_among_the_rows() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [row for row in figures.read("inference") if row["commit"] == "c411192"]
    for model in "123":
        found = {row["what"]: row["seconds"] for row in rows if row["model"] == model}
        line = re.search(rf"^\| model {model} \| (.+) \|$", text, re.MULTILINE)
        assert line is not None
        assert [found["plain"], found["optimise"]] == line[1].split(" | ")[:2]
        peer = found.get("transformers") or found.get("vit-pytorch")
        assert peer is not None
        assert line[1].split(" | ")[2].startswith(peer)


def test_a_run_adds_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "inference.csv"
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--rounds", "2", "--csv", str(file)])
    for seconds in (1.0, 2.0):
        entry = Entry("tubelet.optimise model 2", lambda: None, seconds=[seconds, seconds + 1, seconds + 2])
        figures.append(file, "benchmarks", [entry], {entry.name: 3.0})
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    first, second = figures.read("inference")
    assert (first["what"], first["model"], first["seconds"], second["seconds"]) == ("optimise", "2", "2.00", "3.00")
    assert first["command"] == "python -m benchmarks --rounds 2"
    assert first["peak_gigabytes"] == "3.00"
