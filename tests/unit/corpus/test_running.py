"""Every video has its row: as `tubelet predict` says, or why not. A run goes on where it was, and mixes nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy
import pyarrow.dataset
import pytest
from pyarrow import parquet

import tubelet
from tubelet.corpus import check, run
from tubelet.corpus.parts import name_of
from tubelet.corpus.sources import list_videos
from tubelet.errors import ConfigError, DataError, StorageError


def rows_of(out: Path) -> list[dict[str, object]]:
    parts = [str(path) for path in sorted(out.glob("part-*.parquet"))]
    return pyarrow.dataset.dataset(parts).to_table().to_pylist()


def without_times(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name not in ("seconds", "waited")} for row in rows]


def test_rows_are_what_predict_says(finished: Path, model: Path) -> None:
    rows = rows_of(finished)
    assert [row["id"] for row in rows] == list(range(11))
    good = [row for row in rows if row["status"] == "ok"]
    openable = [row for row in good if os.path.exists(str(row["path"]))]
    assert len(good) - len(openable) == 1  # the name that is not UTF-8 is written out
    results = tubelet.predict(str(model), [str(row["path"]) for row in openable])
    for row, result in zip(openable, results, strict=True):
        assert row["label"] == result.label
        assert row["probability"] == pytest.approx(result.probability, abs=1e-6)
        assert numpy.allclose(row["logits"], result.logits.numpy(), atol=1e-5)
        assert numpy.linalg.norm(numpy.asarray(row["embedding"], float)) == pytest.approx(1.0, abs=1e-3)
    assert {row["label"] for row in good} == {"day", "night"}


def test_failures_are_rows_with_the_reason(finished: Path) -> None:
    failed = {os.path.basename(str(row["path"])): row for row in rows_of(finished) if row["status"] != "ok"}
    assert set(failed) == {"broken.mp4", "empty.mp4"}
    assert "not a video" in str(failed["broken.mp4"]["reason"])
    assert failed["broken.mp4"]["label"] is failed["broken.mp4"]["embedding"] is None


def test_names_that_are_not_utf8_are_kept_in_bytes(finished: Path, lake: Path) -> None:
    rows = parquet.read_table(finished / "videos.parquet").to_pylist()
    exact = [row["path_bytes"] for row in rows if row["path_bytes"] is not None]
    assert exact == [os.fsencode(lake) + b"/odd\xff.mp4"]
    assert any(row["path"].endswith("odd\\xff.mp4") for row in rows)
    assert any(row["path"].endswith("a\nb.mp4") for row in rows)


def test_shards_together_are_one_run_and_lost_parts_are_done_again(
    finished: Path, model: Path, lake: Path, tmp_path: Path
) -> None:
    out, how = tmp_path / "out", {"embed": True, "logits": True, "task_size": 4, "workers": 0}
    run(model, lake, out, shard="1/2", **how)
    assert [path.name for path in sorted(out.glob("part-*"))] == [name_of(1)]
    assert not check(str(out), page=False).ok
    seen: list[dict[str, object]] = []
    run(model, lake, out, shard="0/2", on_event=seen.append, **how)
    assert [event["task"] for event in seen if event["event"] == "task"] == [0, 2]
    assert seen[-1]["done"] == seen[-1]["to_do"] == 7
    assert check(str(out), page=False).ok
    assert without_times(rows_of(out)) == without_times(rows_of(finished))
    assert run(model, lake, out, **how) == {}


def test_another_plan_in_the_same_folder_is_an_error_that_names_what_differs(
    corpus: Path, model: Path, lake: Path, tmp_path: Path
) -> None:
    how = {"embed": True, "logits": True, "task_size": 4}
    with pytest.raises(ConfigError, match="embed is True there, and here False"):
        run(model, lake, corpus, task_size=4)
    with pytest.raises(ConfigError, match="tasks have 4 videos, not 5"):
        run(model, lake, corpus, **{**how, "task_size": 5})
    other = tubelet.load(model)
    other.head.bias.data += 0.5
    tubelet.save(other, tmp_path / "other")
    with pytest.raises(ConfigError, match="its model is"):
        run(tmp_path / "other", lake, corpus, **how)
    fewer = tmp_path / "lake"
    shutil.copytree(lake, fewer, symlinks=True)
    with pytest.raises(ConfigError, match="11 are gone"):
        run(model, fewer, corpus, **how)


def test_a_video_that_vanished_after_planning_is_a_row(model: Path, lake: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for name in ("0.mp4", "5.mp4"):
        shutil.copy(lake / name, source)
    run(model, source, out, task_size=1, workers=0)
    (source / "5.mp4").unlink()
    (out / name_of(1)).unlink()
    with pytest.raises(ConfigError, match=r"1 are gone \(.*5.mp4\).*--keep-plan"):
        run(model, source, out, task_size=1, workers=0)
    assert run(model, source, out, task_size=1, workers=0, keep_plan=True) == {"unreadable": 1}
    assert check(str(out), page=False).ok
    assert "exist" in str(rows_of(out)[1]["reason"])


def test_a_table_keeps_repeated_and_missing_videos_and_parts_of_videos(lake: Path, tmp_path: Path) -> None:
    table = tmp_path / "videos.csv"
    first = lake / "0.mp4"
    table.write_text(f"path,start,end\n{first},,\n{first},0,0.4\n{first},,\nmissing.mp4,,\ns3://bucket/a.mp4,,\n")
    videos = list_videos(table)
    assert [video.id for video in videos] == [0, 1, 2, 3, 4]
    assert [video.path for video in videos[:3]] == [str(first)] * 3
    assert (videos[1].start, videos[1].end) == (0.0, 0.4)
    assert videos[3].path == str(tmp_path / "missing.mp4")
    assert videos[4].path == "s3://bucket/a.mp4"
    parquet.write_table(pyarrow.table({"path": ["x.mp4", "y.mp4"], "start": [None, 1.5]}), tmp_path / "videos.parquet")
    assert [(video.path, video.start) for video in list_videos(tmp_path / "videos.parquet")] == [
        (str(tmp_path / "x.mp4"), None),
        (str(tmp_path / "y.mp4"), 1.5),
    ]


def test_a_source_without_videos_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a folder, a pattern, a table or a URL"):
        list_videos(tmp_path / "nothing")
    (tmp_path / "a.csv").write_text("name,size\nx,1\n")
    with pytest.raises(DataError, match="no column for the path"):
        list_videos(tmp_path / "a.csv")


def test_a_folder_that_cannot_be_made_is_one_error(model: Path, lake: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a part of the path is a file"):
        run(model, lake, tmp_path / "file" / "out")


@pytest.mark.parametrize("words", ["3/3", "1", "-1/2"])
def test_a_shard_is_k_of_n(words: str, model: Path, lake: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the first of three is 0/3"):
        run(model, lake, tmp_path / "out", shard=words)
