"""The proof is green for a whole corpus, and red, naming it, for whatever was lost, doubled, mixed or damaged."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import datasets
import duckdb
import polars
import pyarrow
import pytest
from pyarrow import parquet

from tubelet.cli.main import main
from tubelet.corpus import check
from tubelet.corpus.parts import name_of
from tubelet.errors import DataError


def rewrite(part: Path, table: pyarrow.Table, metadata: dict[bytes, bytes] | None = None) -> None:
    parquet.write_table(table.replace_schema_metadata({**table.schema.metadata, **(metadata or {})}), part)


def problems(corpus: Path) -> list[str]:
    summary = check(str(corpus), page=False)
    assert summary.ok == (not summary.problems) == (corpus / "_SUCCESS").exists()
    return summary.problems


def test_a_whole_corpus_is_proven(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "check", str(corpus), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["ok"]
    assert summary["statuses"] == {"ok": 9, "unreadable": 2, "crashed": 0, "timed_out": 0}
    assert sum(summary["classes"]["label"].values()) == 9
    assert (corpus / "_SUCCESS").exists()
    assert json.loads((corpus / "summary.json").read_text()) == summary
    page = (corpus / "index.html").read_text()
    assert page.count("data:image/jpeg") >= 9
    assert {"Least certain", "Failures", "day", "night"} <= set(re.findall(r"<h2>(.*?)</h2>", page))
    assert "odd\\xff.mp4" in page


def test_a_deleted_row(corpus: Path) -> None:
    part = corpus / name_of(1)
    rewrite(part, parquet.read_table(part).filter(pyarrow.compute.not_equal(parquet.read_table(part)["id"], 6)))
    assert problems(corpus) == ["part-000001.parquet: has no row for id 6"]


def test_a_repeated_row(corpus: Path) -> None:
    part = corpus / name_of(0)
    table = parquet.read_table(part)
    rewrite(part, pyarrow.concat_tables([table, table.slice(2, 1)]))
    assert problems(corpus) == ["part-000000.parquet: has several rows for id 2"]


def test_a_part_under_the_name_of_another(corpus: Path) -> None:
    shutil.copy(corpus / name_of(0), corpus / name_of(2))
    assert problems(corpus) == ["part-000002.parquet: is the part of task 0 under another name"]


def test_a_part_twice(corpus: Path) -> None:
    shutil.copy(corpus / name_of(0), corpus / "part-000000 (copy).parquet")
    shutil.copy(corpus / name_of(0), corpus / name_of(7))
    found = problems(corpus)
    assert [problem.split(":")[0] for problem in found] == ["part-000000 (copy).parquet", "part-000007.parquet"]


def test_a_part_of_another_model(corpus: Path) -> None:
    part = corpus / name_of(1)
    rewrite(part, parquet.read_table(part), {b"tubelet.model": b"0" * 32})
    assert problems(corpus) == ["part-000001.parquet: is of another model; delete it, and run again"]


@pytest.mark.parametrize("kept", [0, 10, 3000])
def test_a_part_that_was_cut_off(corpus: Path, kept: int) -> None:
    part = corpus / name_of(1)
    part.write_bytes(part.read_bytes()[:kept])
    (problem,) = problems(corpus)
    assert problem.startswith("part-000001.parquet: cannot be read, it is cut off or damaged")


def test_a_byte_that_was_changed(corpus: Path) -> None:
    part = corpus / name_of(1)
    data = bytearray(part.read_bytes())
    place = data.index(b"\x28\xb5\x2f\xfd") + 9  # inside the first compressed page
    data[place] ^= 1
    part.write_bytes(data)
    (problem,) = problems(corpus)
    assert problem.startswith("part-000001.parquet: cannot be read")


def test_a_part_that_is_not_there(corpus: Path) -> None:
    (corpus / name_of(2)).unlink()
    assert problems(corpus) == ["part-000002.parquet: is not there yet"]


def test_rows_that_say_two_things(corpus: Path) -> None:
    part = corpus / name_of(0)
    table = parquet.read_table(part)
    rewrite(part, table.set_column(table.schema.get_field_index("label"), "label", pyarrow.nulls(4, pyarrow.string())))
    assert problems(corpus) == [
        "part-000000.parquet: label is there for a video that failed, or missing for one that did not"
    ]


def test_a_changed_plan(corpus: Path) -> None:
    plan = corpus / "plan.json"
    plan.write_text(plan.read_text().replace('"videos": 11', '"videos": 10'))
    with pytest.raises(DataError, match=r"plan.json: was changed since it was written"):
        check(str(corpus))


def test_a_changed_list(corpus: Path) -> None:
    table = parquet.read_table(corpus / "videos.parquet")
    parquet.write_table(table.slice(0, 10), corpus / "videos.parquet", row_group_size=4)
    with pytest.raises(DataError, match=r"videos.parquet was changed"):
        check(str(corpus))


def test_other_programs_read_the_rows(finished: Path) -> None:
    parts = str(finished / "part-*.parquet")
    counted = duckdb.sql(f"select status, count(*), min(len(embedding)) from '{parts}' group by status order by 1")
    assert counted.fetchall() == [("ok", 9, 16), ("unreadable", 2, None)]
    frame = polars.read_parquet(parts)
    assert frame["id"].to_list() == list(range(11))
    assert len(frame.filter(polars.col("status") == "ok")["embedding"][0]) == 16


def test_hugging_face_datasets_reads_the_rows(finished: Path, tmp_path: Path) -> None:
    files = [str(path) for path in sorted(finished.glob("part-*.parquet"))]
    rows = datasets.Dataset.from_parquet(files, cache_dir=str(tmp_path / "cache"))
    assert rows["id"][:] == list(range(11))
    assert len(rows.filter(lambda row: row["status"] == "ok")[0]["embedding"]) == 16
