"""The table of a run, read back as it was written, whatever its classes are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tubelet.data import Sample, Table, write_table
from tubelet.data.run_table import run_table
from tubelet.data.table_file import read_splits
from tubelet.errors import DataError

NAMES = ["a", "a ", " a", 'say "b", c', "two\nlines", "[/red]", "01", "1", "Stra\u00dfe\u2028end", "nan", "label"]


def test_a_run_reads_back_the_names_that_it_was_trained_with(tmp_path: Path) -> None:
    samples = [
        Sample(
            str(tmp_path / f"{number}.mp4"),
            {"label": number, "kind of": number % 2},
            None,
            None,
            "train" if number else "val",
        )
        for number in range(len(NAMES))
    ]
    samples.append(Sample(samples[0].path, {"label": 3, "kind of": 1}, 1.5, 2.25, "train", "somebody"))
    samples.append(Sample(samples[0].path, {"label": 4, "kind of": 0}, 1.5, 2.25, "val", "somebody"))
    table = Table(tuple(samples), {"label": NAMES, "kind of": ["x ", "x"]}, str(tmp_path))
    write_table(table, tmp_path / "splits.csv")
    again = read_splits(tmp_path / "splits.csv", table.classes, table.root)
    assert again.samples == table.samples, "a video that is listed with two labels stays so"
    assert again.classes == table.classes


@pytest.fixture
def run(tmp_path: Path) -> Path:
    samples = [
        Sample(str(tmp_path / f"{number}.mp4"), {"label": number % 2}, None, None, "val" if number > 3 else "train")
        for number in range(6)
    ]
    table = Table(tuple(samples), {"label": ["run", "walk"]}, str(tmp_path))
    write_table(table, tmp_path / "splits.csv")
    described = {"labels": table.classes, "data": {"root": table.root, "splits": table.splits}, "config": {}}
    (tmp_path / "run.json").write_text(json.dumps(described))
    assert run_table(tmp_path).samples == table.samples
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ROOT/5.mp4,walk,val\n", "", r"splits.csv lists 4 train, 1 val, and the run was given 4 train, 2 val: rows"),
        ("5.mp4,walk,val", "5.mp4,wolk,val", "splits.csv line 7: .* is called 'wolk'"),
        ("5.mp4,walk,val", '5.mp4,"walk,val', "splits.csv line 6: damaged"),
        ("5.mp4,walk,val", "5.mp4,walk", "splits.csv line 7: damaged .another number of cells"),
        ("path,", "pith,", "splits.csv line 2: no column, or no class, is called 'path'"),
    ],
)
def test_a_damaged_list_of_videos_is_named_with_its_line(run: Path, old: str, new: str, message: str) -> None:
    text = (run / "splits.csv").read_text()
    old = old.replace("ROOT", str(run))
    assert old in text
    (run / "splits.csv").write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message + r"(?s:.*); restore the file from a copy"):
        run_table(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "run.json: not JSON"),
        ("[]", "run.json: expected a JSON object, got list"),
        ('{"labels": null}', "run.json: no data"),
        ('{"labels": 3, "data": {"root": "x"}}', "run.json: labels: expected"),
        ('{"labels": null, "data": {"root": 3}}', "run.json: data.root: expected str, got 3"),
        ('{"labels": null, "data": ' + "9" * 10_000 + "}", "run.json: not JSON"),
    ],
)
def test_a_damaged_description_of_a_run_is_named(run: Path, text: str, message: str) -> None:
    (run / "run.json").write_text(text)
    with pytest.raises(DataError, match=message + r"(?s:.*); restore the file from a copy"):
        run_table(run)
