"""Data sets that are CSV, TSV or JSONL files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tubelet.data import Table, read_table, write_table
from tubelet.errors import DataError


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.mp4", "c.mp4", "d e.mp4"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def read(folder: Path, text: str, name: str = "data.csv", **options: object) -> Table:
    (folder / name).write_text(text, encoding="utf-8")
    return read_table(folder / name, **options)


def test_a_table_with_everything(videos: Path) -> None:
    table = read(
        videos, "path,label,start,end,split\na.mp4,x,1.5,3,train\na.mp4,y,3,00:00:04.25,valid\nb.mp4,x,,,test\n"
    )
    assert [(s.start, s.end, s.split) for s in table.samples] == [
        (1.5, 3.0, "train"),
        (3.0, 4.25, "val"),
        (None, None, "test"),
    ]
    assert [table.key(s) for s in table.samples] == ["a.mp4[1.500-3.000]", "a.mp4[3.000-4.250]", "b.mp4"]
    assert [table.class_names(s) for s in table.samples] == [["x"], ["y"], ["x"]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tolerant.csv", "Video Path,Class_Name\na.mp4,x\nb.mp4,y\n"),
        ("semicolon.csv", "\ufefffile;label\na.mp4;x\nb.mp4;y\n"),
        ("tabs.tsv", "filename\tlabel\na.mp4\tx\nb.mp4\ty\n"),
        ("lines.jsonl", '{"path": "a.mp4", "label": "x"}\n\n{"path": "b.mp4", "label": "y"}\n'),
        ("list.json", '[{"path": "a.mp4", "label": "x"},\n {"path": "b.mp4", "label": "y"}]'),
        ("no_header.csv", "a.mp4,x\nb.mp4,y\n"),
        ("list.txt", "a.mp4 x\nb.mp4 y\n"),
        ("spaces.csv", " path , label \n a.mp4 , x \n b.mp4 , y \n\n"),
    ],
)
def test_one_data_set_written_in_many_ways(videos: Path, name: str, text: str) -> None:
    table = read(videos, text, name)
    assert [(Path(s.path).name, *table.class_names(s)) for s in table.samples] == [("a.mp4", "x"), ("b.mp4", "y")]


def test_numbers_keep_their_names_in_the_order_of_their_values(videos: Path) -> None:
    table = read(videos, "path,label\na.mp4,10\nb.mp4,9\nc.mp4,0\n")
    assert table.classes["label"] == ["0", "9", "10"]
    assert [s.labels["label"] for s in table.samples] == [2, 1, 0]
    lines = read(videos, '{"path": "a.mp4", "label": 10}\n{"path": "b.mp4", "label": 9}\n', "n.jsonl")
    assert lines.classes["label"] == ["9", "10"]


def test_several_label_columns_are_several_heads(videos: Path) -> None:
    text = "path,verb,noun,verb class\na.mp4,cut,onion,1\nb.mp4,peel,onion,2\n"
    table = read(videos, text, labels=("verb", "noun"))
    assert table.heads == {"verb": 2, "noun": 1}
    assert read(videos, text, labels={"action": "verb class"}).classes == {"action": ["1", "2"]}
    assert read(videos, text, labels=("noun",)).classes == {"label": ["onion"]}


def test_the_label_column_is_found_and_doubt_is_said(videos: Path) -> None:
    text = "path,class,label\na.mp4,walk,0\nb.mp4,run,1\n"
    table = read(videos, text)
    assert table.classes["label"] == ["0", "1"]
    assert "class could be meant as well" in table.notes[0]
    assert read(videos, text, labels=("class",)).notes == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.mp4,x\nb.mp4,\n", "data.csv line 3: the label in column 'label' is empty"),
        ("path,label\n,x\n", "data.csv line 2: the path is empty"),
        ("path,what\na.mp4,x\n", "out of: path, what"),
        ("name,label\nx,y\n", "no column is called path"),
        ("path,label,start,end\na.mp4,x,5,4\n", r"line 2: the end \(4 s\) is not after the start"),
        ("path,label,start\na.mp4,x,soon\n", "'soon' is no time"),
        ("path,label,start,end\na.mp4,x,nan,4\n", "'nan' is no time"),
        ('path,label\na.mp4,"x\ny"\nb.mp4,x,z\n', "line 2: a cell runs over several lines"),
        ("path,path\na.mp4,x\n", "two columns have the same name"),
        ("path,label\n", "no rows"),
        ("", "is empty"),
        ("a.mp4,x,y\n", "the first line is no header"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(videos: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(videos, text)


def test_missing_files_are_named_together(videos: Path) -> None:
    text = "path,label\na.mp4,x\ngone.mp4,x\naway.mp4,y\n"
    with pytest.raises(DataError, match=r"2 of 3 videos do not exist: .*gone.mp4 \(data.csv line 3\); .*away.mp4"):
        read(videos, text)
    table = read(videos, text, allow_missing=True)
    assert [Path(s.path).name for s in table.samples] == ["a.mp4"]
    assert "left out 2 of 3 samples" in table.notes[0]
    with pytest.raises(DataError, match="3 of 3 videos do not exist"):
        read(videos, text, video_root=videos / "elsewhere", allow_missing=True)


def test_repeats_are_left_out_and_contradictions_are_errors(videos: Path) -> None:
    table = read(videos, "path,label\na.mp4,x\n./a.mp4,x\nb.mp4,y\n")
    assert len(table) == 2
    assert table.notes == ("left out 1 rows that repeat an earlier one",)
    with pytest.raises(DataError, match=r"a.mp4: x \(data.csv line 2\) and y \(data.csv line 4\)"):
        read(videos, "path,label\na.mp4,x\nb.mp4,x\na.mp4,y\n")
    with pytest.raises(DataError, match="1 videos are in two splits"):
        read(videos, "path,label,split\na.mp4,x,train\na.mp4,x,test\n")


def test_a_column_that_is_not_there_names_the_nearest(videos: Path) -> None:
    with pytest.raises(DataError, match="no column 'lable'; did you mean 'label'"):
        read(videos, "path,label\na.mp4,x\n", labels=("lable",))
    with pytest.raises(DataError, match="no column 'folds'; did you mean 'fold'"):
        read(videos, "path,label,fold\na.mp4,x,1\n", split_column="folds")


def test_the_classes_of_a_model_settle_the_numbers(videos: Path) -> None:
    text = "path,label\na.mp4,x\nb.mp4,z\n"
    table = read(videos, text, classes={"label": ["z", "y", "x"]})
    assert [s.labels["label"] for s in table.samples] == [2, 0]
    assert read(videos, text).with_classes({"label": ["z", "y", "x"]}).samples == table.samples
    with pytest.raises(DataError, match="line 3: class 'z' is not among"):
        read(videos, text, classes={"label": ["x", "y"]})
    with pytest.raises(DataError, match="expected verb"):
        read(videos, text, classes={"verb": ["x", "z"]})


def test_a_table_without_labels(videos: Path) -> None:
    table = read(videos, "path\na.mp4\nd e.mp4\n", labels=())
    assert table.classes == {}
    assert len(table) == 2


def test_splits_are_taken_apart_by_any_of_their_names(videos: Path) -> None:
    table = read(videos, "path,label,my fold\na.mp4,x,Training\nb.mp4,y,dev\nc.mp4,y,dev\n", split_column="my fold")
    assert table.splits == {"train": 1, "val": 2}
    assert len(table.split("validation")) == 2
    assert table.split("train").classes == table.classes
    with pytest.raises(DataError, match=r"no sample in the split 'test'; there are: train \(1\), val \(2\)"):
        table.split("test")


def test_a_written_table_reads_the_same(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    table = read(
        videos,
        "path,verb,noun,start,end,split,group\na.mp4,1,x,0.1,0.30000000000000004,train,p1\nd e.mp4,2,y,,,,\n",
        labels=("verb", "noun"),
    )
    copy = write_table(table, tmp_path_factory.mktemp("elsewhere") / "splits.csv")
    again = read_table(copy, labels=("verb", "noun"))
    assert again.samples == table.samples
    assert again.classes == table.classes


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("d.jsonl", '{"path": "a.mp4", "label": "x"}\n{"path": ', "d.jsonl line 2: not JSON"),
        ("d.jsonl", '["a.mp4", "x"]', "d.jsonl line 1: expected an object"),
        (
            "d.jsonl",
            '{"path": "a.mp4", "label": "x"}\n{"path": "b.mp4"}',
            "line 2: the label in column 'label' is empty",
        ),
        ("d.json", '{"path": "a.mp4"}', "expected a list of objects"),
        ("d.json", '[{"path": "a.mp4", "label": "x"}, {"path": "b.mp4", "label": null}]', "d.json entry 2: the label"),
    ],
)
def test_json_that_is_not_a_table(videos: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(videos, text, name)


def test_a_split_column_may_have_a_first_name_of_its_own(videos: Path) -> None:
    table = read(videos, "path,label,cross_subject_split\na.mp4,x,train\nb.mp4,x,test\n")
    assert [sample.split for sample in table.samples] == ["train", "test"]
    two = read(videos, "path,label,subject_split,view_split\na.mp4,x,train,test\nb.mp4,x,test,train\n", "two.csv")
    assert [sample.split for sample in two.samples] == [None, None], "nobody can tell which of two is meant"
