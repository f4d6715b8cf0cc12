"""Several labels for a video: cells that are split, lists in JSON, columns of 0 and 1."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tubelet.config import AugmentationConfig
from tubelet.data import Batch, BatchMix, assign_splits, batch_generator, class_weights, read_table, write_table
from tubelet.data.batch import collate
from tubelet.data.dataset import targets_of
from tubelet.data.items import Item
from tubelet.data.table import Table
from tubelet.data.table_file import read_splits
from tubelet.errors import DataError


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for name in "abcdef":
        (tmp_path / f"{name}.mp4").write_bytes(b"not looked into")
    return tmp_path


def read(folder: Path, text: str, name: str = "t.csv", **options: object) -> Table:
    (folder / name).write_text(text)
    return read_table(folder / name, **options)


def sets(table: Table, head: str = "label") -> list[list[str]]:
    return [[table.classes[head][index] for index in sample.shown[head]] for sample in table.samples]


TAGS = "path,tags\na.mp4,jump;run\nb.mp4,run\nc.mp4, jump ; run \nd.mp4,\ne.mp4,wave;jump\nf.mp4,wave\n"


def test_a_column_is_split_where_every_part_occurs_elsewhere_and_it_is_said(videos: Path) -> None:
    table = read(videos, TAGS, labels=("tags",))
    assert table.multi_label == ("label",)
    assert table.classes == {"label": ["jump", "run", "wave"]}
    assert sets(table) == [["jump", "run"], ["run"], ["jump", "run"], [], ["jump", "wave"], ["wave"]]
    assert "split at ';': 3 classes, 1.33 labels a video, 1 video with none; label_separator='none'" in table.notes[0]


@pytest.mark.parametrize(
    "cells",
    ["stand;sit,sit;stand,lie", "open;close,push,pull", '"put, then take","take, then put",wave'],
    ids=["the order is the meaning", "parts that occur nowhere else", "commas"],
)
def test_names_that_hold_a_separator_stay_names(videos: Path, cells: str) -> None:
    rows = [cells.split(",") if '"' not in cells else ['"put, then take"', '"take, then put"', "wave"]][0]
    table = read(videos, "path,label\n" + "".join(f"{n}.mp4,{c}\n" for n, c in zip("abc", rows, strict=True)))
    assert table.multi_label == ()
    assert table.classes["label"] == sorted(row.strip('"') for row in rows)


def test_a_separator_that_is_given_splits_and_none_does_not(videos: Path) -> None:
    text = "path,label\na.mp4,open+close\nb.mp4,open\n"
    assert sets(read(videos, text, label_separator="+")) == [["close", "open"], ["open"]]
    assert read(videos, TAGS.replace("d.mp4,\n", ""), labels=("tags",), label_separator="none").multi_label == ()
    with pytest.raises(DataError, match=r"no cell of 'label' holds label_separator='/'"):
        read(videos, text, label_separator="/")


def test_other_heads_keep_one_class(videos: Path) -> None:
    text = "path,tags,place\na.mp4,x;y,street\nb.mp4,x,park\nc.mp4,y,park\n"
    table = read(videos, text, labels=("tags", "place"))
    assert table.multi_label == ("tags",)
    assert [sample.labels for sample in table.samples] == [{"place": 1}, {"place": 0}, {"place": 0}]
    assert table.describe() == "3 samples, 2 place classes, 2 tags classes (multi-label)"
    assert table.heads == {"tags": 2, "place": 2}
    assert table.counts("tags") == [2, 2]


def test_lists_in_json_are_sets(videos: Path) -> None:
    text = '{"path": "a.mp4", "label": ["x", "y"]}\n{"path": "b.mp4", "label": []}\n'
    assert sets(read(videos, text, "t.jsonl")) == [["x", "y"], []]
    with pytest.raises(DataError, match="line 2: x is no list"):
        read(videos, '{"path": "a.mp4", "label": ["x", "y"]}\n{"path": "b.mp4", "label": "x"}\n', "t.jsonl")


def test_columns_of_0_and_1_are_classes_of_one_head(videos: Path) -> None:
    text = "path,tag_a,tag_b,tag_c\na.mp4,1,0,0\nb.mp4,0,0,0\nc.mp4,1,1,0\n"
    table = read(videos, text, labels=("tag_*",), one_hot=True)
    assert sets(table) == [["tag_a"], [], ["tag_a", "tag_b"]]
    assert "no video shows tag_c" in " ".join(table.notes)
    heads = read(videos, text, labels=("tag_a", "tag_b"))
    assert heads.multi_label == ()
    assert "one_hot=True" in " ".join(heads.notes)
    with pytest.raises(DataError, match="no label_separator"):
        read(videos, text, labels=("tag_*",), one_hot=True, label_separator=";")
    with pytest.raises(DataError, match="line 2: the column 'tag_a' holds 'yes'; one_hot=True takes 0 and 1"):
        read(videos, "path,tag_a\na.mp4,yes\n", labels=("tag_a",), one_hot=True)


def test_the_background_is_the_empty_set(videos: Path) -> None:
    text = "path,label\na.mp4,x;y\nb.mp4,none\nc.mp4,x\nd.mp4,y\n"
    table = read(videos, text, background="none")
    assert table.classes == {"label": ["x", "y"]}
    assert sets(table)[1] == []
    with pytest.raises(DataError, match=r"line 2: .*'none' .* beside y"):
        read(videos, "path,label\na.mp4,none;y\nb.mp4,none\nc.mp4,y\n", background="none")
    with pytest.raises(DataError, match="background='nothing' is no class"):
        read(videos, "path,label\na.mp4,x\nb.mp4,y\n", background="nothing")


def test_splits_csv_gives_the_table_back(videos: Path) -> None:
    table = read(videos, "path,label,split\na.mp4,x;y,train\nb.mp4,x,val\nc.mp4,y,train\nd.mp4,,val\n")
    written = write_table(table, videos / "splits.csv")
    again = read_splits(written, table.classes, table.root, table.multi_label)
    assert [(s.label_sets, s.labels, s.split) for s in again.samples] == [
        (s.label_sets, s.labels, s.split) for s in table.samples
    ]
    assert sets(read_table(written)) == sets(table)


def test_one_class_becomes_a_set_for_a_model_that_takes_sets_and_not_the_reverse(videos: Path) -> None:
    one = read(videos, "path,label\na.mp4,x\nb.mp4,y\n")
    assert sets(one.with_classes({"label": ["y", "x", "z"]}, ("label",))) == [["x"], ["y"]]
    several = read(videos, "path,label\na.mp4,x;y\nb.mp4,y\nc.mp4,x\n")
    with pytest.raises(DataError, match="several labels for a video"):
        several.with_classes({"label": ["x", "y"]}, ())


def item(table: Table, index: int) -> Item:
    targets = targets_of(table.samples[index].shown, table)
    return Item(video=torch.zeros(1, 3, 2, 2), frame_mask=None, targets=targets, index=index, frames=None)


def batch_of(table: Table) -> Batch:
    items = [item(table, index) for index in range(len(table))]
    return collate(items, tuple(table.classes), (1, 3, 2, 2), {head: table.heads[head] for head in table.multi_label})


def test_targets_are_mixed_and_smoothed_class_by_class(videos: Path) -> None:
    table = read(videos, "path,label\na.mp4,x;y\nb.mp4,x\nc.mp4,y\nd.mp4,\n")
    batch = batch_of(table)
    assert batch.targets["label"].tolist() == [[1, 1], [1, 0], [0, 1], [0, 0]]
    smooth = BatchMix(AugmentationConfig(label_smoothing=0.2), table.heads, table.multi_label)
    assert smooth.batch(batch, batch_generator(0, 0, 0)).targets["label"][1].tolist() == pytest.approx([0.9, 0.1])
    mixed = BatchMix(AugmentationConfig(mixup=1.0), table.heads, table.multi_label)
    found = mixed.batch(batch, batch_generator(0, 0, 0)).targets["label"]
    share = float(found[0, 0])
    assert 0 < share < 1
    torch.testing.assert_close(found, batch.targets["label"] * share + batch.targets["label"].flip(0) * (1 - share))


def test_a_batch_without_clips_has_targets_of_the_right_size() -> None:
    assert collate([], ("label",), (1, 3, 2, 2), {"label": 4}).targets["label"].shape == (0, 4)


def test_weights_of_a_multi_label_head_are_those_without_over_those_with(videos: Path) -> None:
    table = read(videos, "path,label\na.mp4,x;y\nb.mp4,x\nc.mp4,x\nd.mp4,x;y\ne.mp4,y\nf.mp4,x\n")
    assert class_weights(table).tolist() == pytest.approx([1 / 5, 3 / 3])


def test_splits_are_made_with_every_class_in_train(videos: Path) -> None:
    cells = ["x;y", "x", "y", "z;x", "", "y;z", "x;y;z", "x;w", "", "y"]
    for number in range(len(cells)):
        (videos / f"{number}.mp4").write_bytes(b"%d" % number)
    rows = "".join(f"{number}.mp4,{cell}\n" for number, cell in enumerate(cells))
    table = read(videos, "path,label\n" + rows, label_separator=";")
    divided = assign_splits(table, {"train": 0.6, "val": 0.4}, seed=0)
    assert set(divided.splits) == {"train", "val"}
    assert all(divided.split("train").counts("label"))


def test_a_set_that_was_not_split_says_how(videos: Path) -> None:
    table = read(videos, "path,label\na.mp4,x;y\nb.mp4,z\n")
    with pytest.raises(DataError, match=r"class 'x;y' is not among .* label_separator"):
        table.with_classes({"label": ["x", "y", "z"]}, ("label",))
