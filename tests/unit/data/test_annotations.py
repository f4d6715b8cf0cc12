"""The annotation files of published data sets, as their authors write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tubelet.data import Table, read_table
from tubelet.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def rows(table: Table) -> list[tuple[object, ...]]:
    return [(table.key(sample), *table.class_names(sample), sample.split, sample.group) for sample in table.samples]


def test_kinetics(tmp_path: Path) -> None:
    videos = touch(
        tmp_path / "videos",
        "train/abseiling/0a-b_000020_000030.mp4",
        "val/air drumming/CDE_000005_000015.mkv",
        "FGH.webm",
    )
    train = tmp_path / "train.csv"
    train.write_text(
        "label,youtube_id,time_start,time_end,split,is_cc\n"
        'abseiling,0a-b,20,30,train,0\n"air drumming",FGH,7,17,train,0\n'
    )
    validate = tmp_path / "validate.csv"
    validate.write_text("label,youtube_id,time_start,time_end,split\nair drumming,CDE,5,15,validate\n")
    table = read_table(train, video_root=videos)
    assert rows(table) == [
        ("train/abseiling/0a-b_000020_000030.mp4", "abseiling", "train", "0a-b"),
        ("FGH.webm[7.000-17.000]", "air drumming", "train", "FGH"),
    ]
    assert "annotations of Kinetics" in table.notes[0]
    both = read_table(tmp_path, format="kinetics", video_root=videos)
    assert both.splits == {"train": 2, "val": 1}
    found = read_table(tmp_path, video_root=videos)
    assert found.samples == both.samples
    assert "annotations of Kinetics; format='folder'" in found.notes[0]


def test_kinetics_videos_that_are_gone(tmp_path: Path) -> None:
    videos = touch(tmp_path / "videos", "a_000000_000010.mp4")
    (tmp_path / "val.csv").write_text("label,youtube_id,time_start,time_end,split\nx,a,0,10,val\nx,b,0,10,val\n")
    with pytest.raises(DataError, match=r"1 of 2 videos do not exist: .*b_000000_000010.mp4 \(val.csv line 3\)"):
        read_table(tmp_path / "val.csv", video_root=videos)
    assert len(read_table(tmp_path / "val.csv", video_root=videos, allow_missing=True)) == 1


def test_something_something(tmp_path: Path) -> None:
    videos = touch(tmp_path / "20bn", "1.webm", "2.webm", "3.webm")
    names = {"Holding [something]": "Holding something", "Pushing [something] left": "Pushing something left"}
    (tmp_path / "labels.json").write_text(
        json.dumps({"Pushing something left": "0", "Holding something": "1", "Never": "2"})
    )
    for name, ids in (("train.json", "12"), ("validation.json", "3")):
        entries = [
            {
                "id": number,
                "label": "holding a cup",
                "template": list(names)[int(number) % 2],
                "placeholders": ["a cup"],
            }
            for number in ids
        ]
        (tmp_path / name).write_text(json.dumps(entries))
    table = read_table(tmp_path / "train.json", video_root=videos)
    assert table.classes["label"] == ["Pushing something left", "Holding something", "Never"]
    assert rows(table) == [
        ("1.webm", "Pushing something left", "train", None),
        ("2.webm", "Holding something", "train", None),
    ]
    assert read_table(tmp_path, format="something", video_root=videos).splits == {"train": 2, "val": 1}
    assert read_table(tmp_path, video_root=videos).splits == {"train": 2, "val": 1}


EPIC_HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)


def test_epic_kitchens(tmp_path: Path) -> None:
    videos = touch(tmp_path / "EPIC", "P01/videos/P01_01.MP4")
    (tmp_path / "EPIC_100_train.csv").write_text(
        EPIC_HEADER
        + "P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:03.37,8,202,open door,open,1,door,0,['door'],[0]\n"
        + '"P01_01_1",P01,P01_01,00:00:02.629,00:00:04.37,00:01:06.17,262,370,"turn on, light",turn-on,0,light,2,'
        + "\"['a', 'b']\",\"[2, 3]\"\n"
    )
    assert read_table(tmp_path / "EPIC_100_train.csv", video_root=videos).classes == {
        "verb": ["0", "1"],
        "noun": ["0", "2"],
    }
    (tmp_path / "EPIC_100_verb_classes.csv").write_text("id,key,instances,category\n0,turn-on,[],x\n1,open,[],x\n")
    (tmp_path / "EPIC_100_noun_classes.csv").write_text(
        "id,key,instances,category\n0,door,[],x\n1,cup,[],x\n2,light,[],x\n"
    )
    table = read_table(tmp_path / "EPIC_100_train.csv", video_root=videos)
    assert table.heads == {"verb": 2, "noun": 3}
    assert rows(table) == [
        ("P01/videos/P01_01.MP4[0.140-3.370]", "open", "door", "train", "P01"),
        ("P01/videos/P01_01.MP4[4.370-66.170]", "turn-on", "light", "train", "P01"),
    ]


@pytest.mark.parametrize(("video", "rate"), [("P01_101", 50), ("P01_01", 60)])
def test_frames_of_epic_kitchens_have_the_rate_of_their_video(tmp_path: Path, video: str, rate: int) -> None:
    frames = touch(tmp_path, *(f"P01/{video}/frame_{number:010}.jpg" for number in range(1, 4))) / "P01" / video
    row = f"{video}_0,P01,{video},0,00:00:01.00,00:00:01.50,{rate},{rate * 3 // 2},open,open,0,door,0,['door'],[0]\n"
    (tmp_path / "EPIC_100_train.csv").write_text(EPIC_HEADER + row)
    (sample,) = read_table(tmp_path).samples
    assert (sample.path, sample.start, sample.end) == (str(frames), rate / 25, pytest.approx(rate * 1.5 / 25))
    (tmp_path / "EPIC_100_train.csv").write_text(EPIC_HEADER + row.replace(f",{rate},{rate * 3 // 2},", ",,,"))
    with pytest.raises(DataError, match="is a folder of frames, and nothing says how many"):
        read_table(tmp_path)


def test_a_list_with_times_is_not_moments_in_time(tmp_path: Path) -> None:
    touch(tmp_path, "clapping/a.mp4")
    (tmp_path / "train.csv").write_text("clapping/a.mp4,clapping,0,1\n")
    with pytest.raises(DataError, match="4 columns where path and label were expected"):
        read_table(tmp_path / "train.csv")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.json", '{"Holding something": "first"}', "labels.json: the class 'Holding something' has the number"),
        ("labels.json", '["Holding something"]', "labels.json: expected a JSON dict, got list"),
        ("labels.json", '{"Holding something": "0", "Never": "0"}', "labels.json: the class 'Never'"),
        ("labels.json", '{"Holding something": "' + "9" * 5000 + '"}', "labels.json: the class 'Holding something'"),
        ("train.json", '[{"id": "1", "template": 3}]', "train.json entry 0: expected id, label and template"),
        ("train.json", '[{"id": "1", "template": "[]"}]', "train.json entry 0: the template is empty"),
    ],
)
def test_broken_files_of_something_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    touch(tmp_path, "1.webm")
    (tmp_path / "train.json").write_text('[{"id": "1", "template": "Holding [something]"}]')
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "train.json", format="something")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("moments_categories.txt", "clapping,zero\n", "moments_categories.txt: the class 'clapping' has the number"),
        ("moments_categories.txt", "clapping\n", "moments_categories.txt line 1: expected class,number"),
        ("trainingSet.csv", "clapping/a.mp4,,5,1\n", "trainingSet.csv line 1: expected path,label"),
    ],
)
def test_broken_files_of_moments_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    touch(tmp_path, "clapping/a.mp4")
    (tmp_path / "trainingSet.csv").write_text("clapping/a.mp4,clapping,5,1\n")
    (tmp_path / "moments_categories.txt").write_text("clapping,0\n")
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path, format="moments")


def test_moments_in_time(tmp_path: Path) -> None:
    touch(tmp_path, "training/clapping/a.mp4", "training/b/c.mp4", "validation/clapping/d.mp4")
    (tmp_path / "trainingSet.csv").write_text("clapping/a.mp4,clapping,5,1\nb/c.mp4,b,3,0\n")
    (tmp_path / "validationSet.csv").write_text("clapping/d.mp4,clapping,5,1\n")
    (tmp_path / "moments_categories.txt").write_text("clapping,0\nb,1\nzooming,2\n")
    table = read_table(tmp_path / "trainingSet.csv")
    assert table.classes["label"] == ["clapping", "b", "zooming"]
    assert [table.key(sample) for sample in table.samples] == ["training/clapping/a.mp4", "training/b/c.mp4"]
    assert read_table(tmp_path, format="moments").splits == {"train": 2, "val": 1}
    assert read_table(tmp_path).classes["label"] == ["clapping", "b", "zooming"]


def test_a_video_with_two_published_labels_is_kept_and_told(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4")
    (tmp_path / "trainingSet.csv").write_text("a/1.mp4,a,5,1\na/1.mp4,b,5,1\n")
    table = read_table(tmp_path / "trainingSet.csv")
    assert len(table) == 2
    assert any("1 videos are listed with two labels, and were kept with both" in note for note in table.notes)


def test_a_folder_of_videos_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('[{"id": "1", "template": "Holding [something]"}]')
    with pytest.raises(DataError, match="nowhere is no folder; name the one that the videos lie in"):
        read_table(tmp_path / "train.json", video_root=tmp_path / "nowhere")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    with pytest.raises(DataError, match="holds no annotations of EPIC-Kitchens; expected files such as EPIC_"):
        read_table(tmp_path, format="epic")
    (tmp_path / "test.csv").write_text("youtube_id,time_start,time_end,split\na,0,10,test\n")
    with pytest.raises(DataError, match="no column label"):
        read_table(tmp_path / "test.csv")
    with pytest.raises(DataError, match="unknown format 'kinetic'"):
        read_table(tmp_path, format="kinetic")
    with pytest.raises(DataError, match="settles the columns itself"):
        read_table(tmp_path / "test.csv", labels=("label",))
