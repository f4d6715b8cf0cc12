"""The loop of a project: what is wrong, which videos to label next, and a table that training reads."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import tubelet
from tubelet.cli.main import main
from tubelet.corpus import compare_labels, select
from tubelet.data import read_table
from tubelet.errors import ConfigError, DataError


@pytest.fixture
def known(lake: Path, tmp_path: Path) -> Path:
    """0, 1, 2 are night, 3, 4, 5 day; one label is wrong, one is of a broken file, one of no video of the corpus."""
    rows = [(lake / "0.mp4", "night"), (lake / "5.mp4", "day"), (lake / "4.mp4", "night")]
    rows += [(lake / "broken.mp4", "day"), (tmp_path / "elsewhere.mp4", "day")]
    table = tmp_path / "known.csv"
    table.write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    return table


def test_predictions_are_compared_with_labels(finished: Path, known: Path, lake: Path, tmp_path: Path) -> None:
    found = compare_labels(finished, known)
    assert (found.compared, found.right, found.failed, found.unknown, found.learned) == (3, 2, 1, 1, 0)
    assert found.confusions == {("night", "day"): 1}
    out = tmp_path / "wrong.csv"
    assert main(["corpus", "label", str(finished), "--against", str(known), "--disagreements", str(out)]) == 0
    (row,) = csv.DictReader(out.read_text().splitlines())
    assert (row["path"], row["known"], row["predicted"]) == (str(lake / "4.mp4"), "night", "day")


def test_labels_of_other_videos_are_an_error(finished: Path, tmp_path: Path) -> None:
    table = tmp_path / "other.csv"
    table.write_text("path,label\nx.mp4,day\n")
    with pytest.raises(DataError, match="none of its 1 videos is in the corpus"):
        compare_labels(finished, table)
    with pytest.raises(ConfigError, match="no head 'verb'"):
        compare_labels(finished, table, head="verb")


def test_the_least_certain_come_first(finished: Path, known: Path, lake: Path) -> None:
    rows = select(finished, 9)
    certain = [row["probability"] for row in rows]
    assert len(rows) == 9
    assert certain == sorted(certain)
    fewer = {row["path"] for row in select(finished, 9, without=[known])}
    assert {row["path"] for row in rows} - fewer == {str(lake / f"{number}.mp4") for number in (0, 4, 5)}


def test_diverse_ones_differ(finished: Path) -> None:
    labels = {row["label"] for row in select(finished, 2, diverse=True)}
    assert labels == {"day", "night"}


def test_training_reads_what_was_selected(finished: Path, model: Path, tmp_path: Path) -> None:
    table = tmp_path / "next.csv"
    assert main(["corpus", "select", str(finished), "--csv", str(table), "--uncertain", "5", "--diverse"]) == 0
    samples = read_table(table)
    assert len(samples) == 5
    assert set(samples.classes["label"]) <= set(tubelet.load(model).labels["label"])
    assert main(["corpus", "select", str(finished), "--csv", str(table)]) == 2
