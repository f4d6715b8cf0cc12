"""The table of a run, read back as it was written, whatever its classes are called."""

from __future__ import annotations

from pathlib import Path

from tubelet.data import Sample, Table, write_table
from tubelet.data.run_table import read_splits

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
