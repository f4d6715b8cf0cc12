"""Data sets that are folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from tubelet.data import read_table
from tubelet.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def shown(root: Path, **options: object) -> list[tuple[str, str, str | None]]:
    table = read_table(root, **options)
    return [(table.key(sample), *table.class_names(sample), sample.split) for sample in table.samples]


def test_each_folder_is_a_class_and_names_are_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "wave/2.mp4", "wave/1.MKV", "clap/x y.webm")
    assert shown(tmp_path) == [
        ("clap/x y.webm", "clap", None),
        ("wave/1.MKV", "wave", None),
        ("wave/2.mp4", "wave", None),
    ]
    assert read_table(tmp_path).classes == {"label": ["clap", "wave"]}


def test_folders_of_splits_under_any_of_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.mp4", "train/b/2.mp4", "Validation/a/3.mp4", "test/b/4.mp4")
    assert {key: split for key, _, split in shown(tmp_path)} == {
        "train/a/1.mp4": "train",
        "train/b/2.mp4": "train",
        "Validation/a/3.mp4": "val",
        "test/b/4.mp4": "test",
    }


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.mp4", "car/2.mp4", "bus/3.mp4")
    table = read_table(tmp_path)
    assert table.classes["label"] == ["bus", "car", "train"]
    assert any("'train' is taken for a class" in note for note in table.notes)


@pytest.mark.parametrize(
    "names",
    [
        ("train_256", "val_256"),
        ("videos_train", "videos_val"),
        ("training_set", "ValidationSet"),
        ("trainset", "devset"),
        ("trainlist01", "vallist01"),
        ("videos_train", "ValidVideos"),
    ],
)
def test_folders_of_splits_whose_names_say_more(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path, *(f"{name}/{label}/{name}.mp4" for name in names for label in ("run", "walk")))
    table = read_table(tmp_path)
    assert table.classes["label"] == ["run", "walk"]
    assert table.splits == {"train": 2, "val": 2}
    (note,) = table.notes
    assert f"'{names[0]}' for train" in note
    assert f"'{names[1]}' for val" in note


def test_classes_that_only_begin_like_splits_are_classes(tmp_path: Path) -> None:
    touch(tmp_path, "training dog/1.mp4", "test drive/2.mp4", "trains/3.mp4")
    assert read_table(tmp_path).classes["label"] == ["test drive", "training dog", "trains"]


@pytest.mark.parametrize("names", ["test/1.mp4", "testing/run/1.mp4", "val/1.mp4", "train/run/1.mp4", "test_set/1.mp4"])
def test_one_split_beside_classes_is_a_question(tmp_path: Path, names: str) -> None:
    touch(tmp_path, names, "run/2.mp4", "walk/3.mp4")
    with pytest.raises(DataError, match=f"is '{names.split('/')[0]}' a class, or the videos of a split"):
        read_table(tmp_path)


def test_two_folders_for_one_split_are_a_question(tmp_path: Path) -> None:
    touch(tmp_path, "train_256/a/1.mp4", "train_320/a/2.mp4")
    with pytest.raises(DataError, match="several folders for one split"):
        read_table(tmp_path)


def test_splits_beside_another_folder_are_a_question(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.mp4", "val/a/2.mp4", "extra/a/3.mp4")
    with pytest.raises(DataError, match="is 'extra' a class or a split"):
        read_table(tmp_path)


def test_hidden_and_other_files_are_left_out_and_counted(tmp_path: Path) -> None:
    touch(
        tmp_path, "a/1.mp4", "a/.2.mp4", ".cache/3.mp4", "a/notes.txt", "a/thumb.jpg", "readme.md", "b/4.mp4", "b/5.txt"
    )
    table = read_table(tmp_path)
    assert [table.key(sample) for sample in table.samples] == ["a/1.mp4", "b/4.mp4"]
    (note,) = table.notes
    assert "ignored 4 files" in note
    assert "2 .txt" in note


def test_folders_inside_a_class_count_to_it_unless_they_are_classes(tmp_path: Path) -> None:
    touch(tmp_path, "sport/run/1.mp4", "sport/swim/2.mp4", "rest/3.mp4")
    assert [name for _, name, _ in shown(tmp_path)] == ["rest", "sport", "sport"]
    assert any("2 folders lie inside class folders" in note for note in read_table(tmp_path).notes)
    assert read_table(tmp_path, nested=True).classes["label"] == ["rest", "sport/run", "sport/swim"]


def test_a_folder_of_frames_is_a_video(tmp_path: Path) -> None:
    touch(tmp_path, "a/clip1/0001.jpg", "a/clip1/0002.jpg", "a/clip2/0001.png", "b/1.mp4")
    assert [key for key, _, _ in shown(tmp_path)] == ["a/clip1", "a/clip2", "b/1.mp4"]


@pytest.mark.parametrize("kinds", [("rgb", "flow"), ("Depth", "colour"), ("u", "v")])
def test_frames_of_one_video_in_several_kinds_are_not_several_videos(tmp_path: Path, kinds: tuple[str, str]) -> None:
    touch(tmp_path, *(f"wave/v1/{kind}/{number}.jpg" for kind in kinds for number in range(3)), "clap/v2/1.jpg")
    with pytest.raises(DataError, match=r"wave/v1 holds the frames of a video in several kinds .*list those"):
        read_table(tmp_path)


def test_images_right_in_a_class_folder_are_explained(tmp_path: Path) -> None:
    touch(tmp_path, "a/0001.jpg", "a/0002.jpg", "b/1.mp4")
    with pytest.raises(DataError, match=r"a folder of its own below it: .*a/clip1/0001.jpg"):
        read_table(tmp_path)


def test_videos_without_a_class_folder_are_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "loose.mp4")
    with pytest.raises(DataError, match=r"1 videos lie in .* belong to no class \(loose.mp4\)"):
        read_table(tmp_path)
    assert len(read_table(tmp_path, labels=())) == 2


def test_an_empty_class_folder_is_no_class(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4")
    (tmp_path / "b").mkdir()
    table = read_table(tmp_path)
    assert table.classes["label"] == ["a"]
    assert any("'b'" in note for note in table.notes)


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no video in"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        read_table(tmp_path / "nowhere")


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path / "store", "1.mp4")
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "again").symlink_to(tmp_path / "store")
    assert [key for key, _, _ in shown(data)] == ["a/1.mp4"]


def test_a_folder_with_a_manifest_is_read_through_it(tmp_path: Path) -> None:
    touch(tmp_path, "x/1.mp4", "x/2.mp4")
    (tmp_path / "manifest.csv").write_text("path,label\nx/1.mp4,one\nx/2.mp4,two\n")
    table = read_table(tmp_path)
    assert table.classes["label"] == ["one", "two"]
    assert "manifest.csv" in table.notes[0]
    assert read_table(tmp_path, format="folder").classes["label"] == ["x"]


def test_numbers_are_in_the_order_of_their_values(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number}/1.mp4" for number in (0, 2, 10, 1)))
    assert read_table(tmp_path).classes["label"] == ["0", "1", "2", "10"]


def test_a_link_to_itself_is_a_video_that_does_not_exist(tmp_path: Path) -> None:
    touch(tmp_path, "wave/1.mp4")
    (tmp_path / "wave" / "again.mp4").symlink_to("again.mp4")
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(DataError, match=r"1 of 2 videos do not exist: .*again\.mp4"):
        shown(tmp_path)
