"""Tables that are easily misread: read rightly, noted, or refused with the line and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from tubelet.data import Table, read_table, write_table
from tubelet.data.table_file import read_splits
from tubelet.errors import DataError


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4", "d e (1).mp4"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def read(folder: Path, text: str | bytes, name: str = "data.csv", **options: object) -> Table:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(folder / name, **options)


def labels(table: Table) -> list[str]:
    return [table.class_names(sample)[0] for sample in table.samples]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("t.csv", 'path,label\na.mp4,5" disk\nb.mp4,y\n', ['5" disk', "y"]),
        ("t.csv", "path,label,,\na.mp4,x,,\nb.mp4,y,,\n", ["x", "y"]),
        ("t.csv", "path,label,\na.mp4,x,\nb.mp4,y,\n", ["x", "y"]),
        ("t.csv", "path,label\na.mp4,x,,\nb.mp4,y\n", ["x", "y"]),
        ("t.csv", ";path;label\n0;a.mp4;x\n1;b.mp4;y\n", ["x", "y"]),
        ("t.csv", 'path, label\na.mp4, "x, y"\n', ["x, y"]),
        ("t.csv", "path,label\na.mp4,x\u2028y\nb.mp4,z\n", ["x\u2028y", "z"]),
        ("t.jsonl", '{"path": "a.mp4", "label": "x\u2028y"}\n{"path": "b.mp4", "label": "x\u0085z"}\n', None),
        ("t.jsonl", '{"path": "a.mp4", "label": true}\n{"path": "b.mp4", "label": false}\n', ["true", "false"]),
        ("t.csv", "path,label\na.mp4,--1\nb.mp4,2\n", ["--1", "2"]),
        ("t.csv", f"path,label\na.mp4,{'9' * 5000}\nb.mp4,2\n", ["9" * 5000, "2"]),
        ("t.csv", "path,label\na.mp4,[something]\nb.mp4,[/x]\n", ["[something]", "[/x]"]),
        ("t.txt", "a.mp4 1\nd e (1).mp4 2\n", ["1", "2"]),
        ("t.txt", "a.mp4\t1\nb.mp4\t2\n", ["1", "2"]),
        ("t.csv", "path,label\ra.mp4,x\rb.mp4,y\r", ["x", "y"]),
    ],
)
def test_odd_but_plain(videos: Path, name: str, text: str, expected: list[str] | None) -> None:
    assert labels(read(videos, text, name)) == (expected or ["x\u2028y", "x\u0085z"])


def test_a_list_of_paths_alone_is_a_table_without_labels(videos: Path) -> None:
    assert len(read(videos, "a.mp4\nd e (1).mp4\n", "list.txt", labels=())) == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", 'path,label\na.mp4,x\nb.mp4,"y\nc.mp4,x\nd.mp4,y\n', "line 3: not CSV .* unmatched quote"),
        ("t.csv", 'path,label\na.mp4,x\nb.mp4,"y\nc.mp4,x"\nd.mp4,y\n', "line 3: a cell runs over several lines"),
        ("t.tsv", 'path\tlabel\na.mp4\t"x" y\n', "line 2: not TSV"),
        ("t.csv", "path,label\na.mp4,x\0y\n", "line 2: holds a NUL"),
        ("t.csv", "path,label\na.mp4,\"['x', 'y']\"\n", "line 2: the column 'label' holds a list"),
        ("t.jsonl", '{"path": "a.mp4", "label": ["x", null]}\n', "line 1: the column 'label' holds a list"),
        ("t.jsonl", '{"path": "a.mp4", "label": {"x": true}}\n', "line 1: the column 'label' holds a dict"),
        ("t.jsonl", '{"path": "a.mp4", "label": "x", "split": ["train"]}\n', "column 'split' holds a list"),
        ("t.jsonl", '{"path": "a.mp4", "label": NaN}\n', "line 1: not JSON .NaN is no JSON"),
        ("t.jsonl", '{"path": "a.mp4", "label": "x", "label": "y"}\n', "line 1: .* the key 'label' twice"),
        ("t.jsonl", '{"path": "a.mp4", "label": ' + "9" * 10_000 + "}\n", "line 1: not JSON"),
        ("t.json", "[" * 100_000, "nested too deeply"),
        ("t.json", '[{"path": "a.mp4", "label": "café"}]'.encode("latin-1"), "line 1 is not UTF-8"),
        ("t.csv", "path,label\na.mp4,x\nb.mp4,café\n".encode("latin-1"), r"line 3 is not UTF-8 text \(byte 0xe9\)"),
        ("t.csv", "path,label\na.mp4,x\n".encode("utf-16"), "is UTF-16 text"),
        ("t.csv", "path,label\na.mp4,cafe\u0301\nb.mp4,caf\u00e9\n", "look the same"),
        ("t.csv", "path,label\na.mp4,run\u200b\nb.mp4,run\n", r"look the same.*\\u200b"),
        ("t.csv", "a.mp4,x,0,1\nb.mp4,y,0,1\n", "4 columns .* write a first line"),
        ("t.txt", "a.mp4 1\nd e 2\n", "line 2: expected a path and one word as its label"),
        ("t.csv", "path,label,start,end\na.mp4,x,0,1_0\n", "'1_0' is no time"),
        ("t.csv", "path,label,start,end\na.mp4,x,0:00,0:75\n", "'0:75' is no time"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(videos: Path, name: str, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(videos, text, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.mp4,Run\nb.mp4,run\n", "spelling alone: 'Run' / 'run'"),
        ("path,label\na.mp4,to run\nb.mp4,to  run\n", "spelling alone"),
        ("path,label\na.mp4,1\nb.mp4,01\nc.mp4,1.0\n", "'01' / '1' / '1.0'"),
        ("path,label\na.mp4,0.5\nb.mp4,1.5\nc.mp4,0.5\n", "numbers with decimals"),
        ("path,label\na.mp4,x|y\nb.mp4,x\nc.mp4,y\n", "the column 'label' is split at '|': 2 classes"),
        ('path,label\na.mp4,"x,y"\nb.mp4,x\nc.mp4,y\n', "several labels in one cell: 'x,y'"),
        ("path,label,split\na.mp4,x,train\nb.mp4,y,\n", "1 of 2 samples have no split"),
        ("path,label,start_ms,end_ms\na.mp4,x,5,15\n", "columns start_ms, end_ms, .* not in seconds: whole videos"),
        ("path,label,Frame Start,Frame End\na.mp4,x,5,15\n", "Frame Start, Frame End, .* whole videos are used"),
    ],
)
def test_what_may_not_be_meant_is_noted(videos: Path, text: str, message: str) -> None:
    notes = read(videos, text).notes
    assert any(re.search(message, note) for note in notes), notes


def test_plain_names_need_no_note(videos: Path) -> None:
    text = "path,label\na.mp4,swipe left\nb.mp4,swipe right\nc.mp4,10\nd.mp4,9\n"
    assert read(videos, text).notes == ()


def test_seconds_count_before_frames(videos: Path) -> None:
    text = '[{"file": "a.mp4", "label": "x", "start": 3, "end": 14, "start_time": 0.12, "end_time": 0.56, "fps": 25.0}]'
    table = read(videos, text, "MSASL.json")
    assert [(sample.start, sample.end) for sample in table.samples] == [(0.12, 0.56)]
    assert any("'start_time'; start could be meant" in note for note in table.notes)


def test_seconds_of_a_folder_of_frames_follow_its_frame_rate(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    for number in range(120):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "v" / f"{number:04}.png")
    from tubelet import read_video

    table = read(tmp_path, "path,label,start,end,fps\nv,x,1,1.5,50\n")
    clip = read_video(table.samples[0].path, start=table.samples[0].start, end=table.samples[0].end)
    assert torch.equal(clip.frames[:, 0, 0, 0], torch.arange(50, 75, dtype=torch.uint8))
    assert table.notes == ()
    assert "counted at 25 a second" in read(tmp_path, "path,label,start,end\nv,x,1,1.5\n").notes[-1]
    with pytest.raises(DataError, match="line 2: '-1' is no frame rate"):
        read(tmp_path, "path,label,start,end,fps\nv,x,1,1.5,-1\n")


def test_files_of_other_programs_beside_class_folders_change_nothing(videos: Path, tmp_path: Path) -> None:
    root = tmp_path / "clips"
    for name in ("x/1.mp4", "y/1.mp4"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(b"")
    (root / "notes.json").write_bytes('{"note": "café"}'.encode("latin-1"))
    (root / "package.json").write_text('{"name": "x", "template": "vite", "id": 3}')
    (root / "coco.json").write_text('{"images": [{"id": 1}], "annotations": []}')
    (root / "embeddings.csv").write_text("0.1," * 50_000)
    (root / "quote.csv").write_text('"' + "x" * 200_000)
    (root / "sheet.csv").write_text("youtube_id,title\nabc,x\n")
    (root / "list.csv").write_text("x/1.mp4,x,0,1\n")
    assert read_table(root).classes == {"label": ["x", "y"]}


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    root = tmp_path / "clips"
    for name in (b"x/caf\xe9.mp4", b"y/1.mp4"):
        path = Path(str(root)) / Path(name.decode("utf-8", "surrogateescape"))
        path.parent.mkdir(parents=True)
        try:
            path.write_bytes(b"1")
        except OSError:
            pytest.skip("this file system has no such names")
    table = read_table(root)
    written = write_table(table, tmp_path / "splits.csv")
    assert read_splits(written, table.classes, table.root).samples == table.samples
