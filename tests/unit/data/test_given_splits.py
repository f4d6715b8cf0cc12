"""Splits that the data came with: what they may share, and what not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tubelet.config.shards import ShardConfig
from tubelet.data import Table, assign_splits, prepare, read_table
from tubelet.errors import DataError


@pytest.fixture
def videos(folder: Path, tmp_path: Path) -> Path:
    """a.mp4 to f.mp4, all different."""
    for name, video in zip("abcdef", sorted(folder.glob("*/*.mp4")), strict=False):
        shutil.copy(video, tmp_path / f"{name}.mp4")
    return tmp_path


def read(folder: Path, text: str, **options: object) -> Table:
    (folder / "table.csv").write_text(text)
    return read_table(folder / "table.csv", **options)


@pytest.mark.parametrize(
    "rows",
    [
        "a.mp4,0,2,train\na.mp4,1,3,test",
        "a.mp4,,,train\na.mp4,1,3,test",
        "a.mp4,5,,val\na.mp4,,,train",
        "a.mp4,0,9,train\na.mp4,1,2,train\na.mp4,3,4,test",
        "a.mp4,0,2,train\nlink.mp4,1,3,test",
        "a.mp4,,,train\nlink.mp4,,,test",
        "a.mp4,,,train\nhard.mp4,,,test",
        "a.mp4,,,train\ncopy.mp4,,,test",
        "a.mp4,0,2,train\ncopy.mp4,1,3,test",
        "a.mp4,,,train\nfolder/a.mp4,,,test",
    ],
)
def test_the_same_frames_in_two_splits_are_refused_with_a_list(videos: Path, rows: str) -> None:
    (videos / "link.mp4").symlink_to(videos / "a.mp4")
    (videos / "folder").symlink_to(videos)
    os.link(videos / "a.mp4", videos / "hard.mp4")
    shutil.copy(videos / "a.mp4", videos / "copy.mp4")
    labelled = "\n".join(f"{row},{'xy'[number % 2]}" for number, row in enumerate(rows.splitlines()))
    text = f"path,start,end,split,label\n{labelled}\n"
    with pytest.raises(DataError, match=r"1 videos are in two splits: .*a\.mp4.*line \d.* and .*line \d.*keep one"):
        read(videos, text)
    looked_at = read(videos, text, allow_leaks=True)
    assert any("1 videos are in two splits" in note for note in looked_at.notes)


def test_parts_that_do_not_overlap_are_taken_and_it_is_said(videos: Path) -> None:
    rows = "path,label,start,end,split\na.mp4,x,0,1.0004,train\na.mp4,y,1,2,test\nb.mp4,y,0,1,train\nb.mp4,x,3,4,val\n"
    table = read(videos, f"{rows}c.mp4,x,0,2,train\nc.mp4,x,1,3,train\n")
    assert table.splits == {"train": 4, "test": 1, "val": 1}
    (note,) = table.notes
    assert "2 files have parts in several splits" in note
    assert "not independent" in note


def test_copies_in_one_split_are_a_note(videos: Path) -> None:
    for name in ("copy", "again"):
        shutil.copy(videos / "a.mp4", videos / f"{name}.mp4")
    rows = "path,label,split\na.mp4,x,train\ncopy.mp4,x,train\nagain.mp4,x,train\nb.mp4,y,train\nc.mp4,x,test\n"
    (note,) = read(videos, rows).notes
    assert "2 files are copies of others or links to them" in note
    without = assign_splits(read(videos, rows.replace(",train", ",").replace(",test", ",") + "d.mp4,y,\n"))
    assert any("2 files are copies of others" in note for note in without.notes)


def test_published_splits_may_cut_groups_and_it_is_said_which(videos: Path) -> None:
    rows = "path,label,split,group\na.mp4,x,train,ann\nb.mp4,y,train,bob\nc.mp4,x,test,ann\nd.mp4,y,test,cem\n"
    (note,) = read(videos, rows).notes
    assert "1 groups are in several of the splits" in note
    assert "(ann)" in note


def test_files_that_hold_the_same_and_no_video_are_no_copies(videos: Path) -> None:
    """As the error page that a download left in place of many videos."""
    for name in ("gone", "lost"):
        (videos / f"{name}.mp4").write_bytes(b"<html>this video is not available</html>")
    table = read(videos, "path,label,split\na.mp4,x,train\ngone.mp4,x,train\nlost.mp4,y,test\n")
    assert table.notes == ()


def test_shards_whose_splits_share_frames_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data" / "train")
    shutil.copytree(folder, tmp_path / "data" / "val")
    prepare(read_table(tmp_path / "data", allow_leaks=True), tmp_path / "shards", ShardConfig(copy=True), workers=1)
    with pytest.raises(DataError, match="12 videos are in two splits"):
        read_table(tmp_path / "shards")


def test_whoever_has_no_split_follows_the_file_and_the_group(videos: Path) -> None:
    rows = (
        "path,label,start,end,split,group\na.mp4,x,0,1,test,\na.mp4,y,1,2,,\nb.mp4,x,,,test,ann\nc.mp4,y,,,,ann\n"
        "d.mp4,x,,,train,bob\ne.mp4,y,,,,bob\nf.mp4,x,,,,cem\nf.mp4,y,0,1,train,\n"
    )
    table = assign_splits(read(videos, rows))
    assert [sample.split for sample in table.samples] == ["test"] * 4 + ["train"] * 4


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ("a.mp4,x,,,train,ann\nb.mp4,x,,,test,ann\nc.mp4,x,,,,ann\n", "group ann is in test and train, and 1 more"),
        ("a.mp4,x,0,1,train,\na.mp4,x,1,2,test,\na.mp4,x,2,3,,\n", r"a\.mp4 is in test and train, and 1 more"),
    ],
)
def test_whoever_could_follow_two_is_an_error(videos: Path, rows: str, named: str) -> None:
    table = read(videos, f"path,label,start,end,split,group\n{rows}f.mp4,x,,,,\n")
    with pytest.raises(DataError, match=named):
        assign_splits(table)


def test_a_split_that_nobody_uses_is_named_with_the_nearest(videos: Path) -> None:
    table = read(videos, "path,label,split\na.mp4,x,trian\nb.mp4,y,train\nc.mp4,x,Validation\nd.mp4,x,1\n")
    first, second = table.notes
    assert "1 samples are in the split '1', which nothing uses unless it is named" in first
    assert "1 samples are in the split 'trian'" in second
    assert "did you mean 'train'?" in second


def test_columns_that_nobody_reads_are_named(videos: Path) -> None:
    rows = "path,label,subject,fold\na.mp4,x,s0,0\nb.mp4,y,s1,1\n"
    (note,) = read(videos, rows).notes
    assert "not read: the columns subject, fold" in note
    assert "--group-column" in note
    (fewer,) = read(videos, rows, group_column="subject").notes
    assert "not read: the columns fold" in fewer
