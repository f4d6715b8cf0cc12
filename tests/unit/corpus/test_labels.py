"""The loop of a project: what is wrong, which videos to label next, and a table that training reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy
import pytest
from sklearn.metrics import average_precision_score

import tubelet
from tubelet.cli.main import main
from tubelet.corpus import compare_labels, retrieval, select
from tubelet.corpus.embeddings import open_embeddings
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
    assert len(rows) == 7  # of nine, two have names that no table can hold
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


def test_retrieval_is_the_mean_of_average_precisions(
    corpus: Path, lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"0": "night", "1": "day", "2": "night", "3": "night", "4": "day", "5": "alone"}
    table = tmp_path / "known.jsonl"
    rows = [{"path": str(lake / f"{name}.mp4"), "label": label} for name, label in labels.items()]
    table.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    stored = open_embeddings(str(corpus))
    drawn = numpy.random.default_rng(0).standard_normal(stored.vectors.shape)
    drawn /= numpy.linalg.norm(drawn, axis=1, keepdims=True)
    (corpus / "embeddings.f16").write_bytes(drawn.astype(numpy.float16).tobytes())
    found = retrieval(corpus, table)
    assert (found.queries, found.videos, found.learned) == (5, 6, 0)
    stored = open_embeddings(str(corpus))
    names = [Path(video.path).stem for video, _ in stored.rows(stored.ids.tolist())]
    vectors = numpy.stack([stored.vectors[names.index(name)] for name in labels]).astype(float)
    truth = numpy.array(list(labels.values()))
    wanted = []
    for query in range(5):
        others = numpy.arange(6) != query
        wanted.append(average_precision_score(truth[others] == truth[query], vectors[others] @ vectors[query]))
    assert found.mean_average_precision == pytest.approx(numpy.mean(wanted), abs=1e-6)
    assert main(["corpus", "label", str(corpus), "--against", str(table), "--retrieval"]) == 0
    assert f"mean average precision of {found.mean_average_precision:.1%}" in capsys.readouterr().out


def test_retrieval_needs_two_videos_of_a_class(finished: Path, lake: Path, tmp_path: Path) -> None:
    table = tmp_path / "known.csv"
    table.write_text(f"path,label\n{lake / '0.mp4'},night\n{lake / '5.mp4'},day\n")
    with pytest.raises(DataError, match=r"no two videos of a class .*2 labelled"):
        retrieval(finished, table)
