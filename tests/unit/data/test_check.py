"""A look at a whole data set."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

from tubelet.config import PreprocessingConfig
from tubelet.data import assign_splits, check, read_table


def test_a_healthy_data_set(folder: Path) -> None:
    report = check(assign_splits(read_table(folder)))
    assert report.ok
    assert (report.samples, report.videos, report.duplicates) == (12, 12, ())
    assert report.balance["label"]["train"] == {"clap": 3, "jump": 3, "wave": 3}
    assert report.balance["label"]["val"] == {"clap": 1, "jump": 1, "wave": 1}
    assert report.frames is not None
    assert report.seconds is not None
    assert (report.frames.smallest, report.frames.largest) == (20, 23)
    assert abs(report.seconds.largest - 2.3) < 1e-6
    assert report.frame_rates == {"10": 12}
    assert report.sizes == {"48x32": 12}
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True
    assert "label, train: 3 classes" in str(report)


def test_what_is_broken_the_same_or_leaking_is_named(folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for split in ("train", "val"):
        shutil.copytree(folder, data / split)
    for number in range(4):
        for name in ("clap", "jump", "wave"):
            place = data / ("val" if number < 2 else "train") / name / f"{number}.mp4"
            place.unlink()
    (data / "train" / "wave" / "0.mp4").write_bytes(b"broken")
    shutil.copy(data / "train" / "clap" / "1.mp4", data / "val" / "clap" / "copy.mp4")
    shutil.copy(data / "train" / "jump" / "0.mp4", data / "train" / "wave" / "other.mp4")
    steps: list[tuple[int, int]] = []
    report = check(
        read_table(data, allow_leaks=True), threads=2, progress=lambda done, total: steps.append((done, total))
    )
    assert not report.ok
    assert [problem.path for problem in report.unreadable] == [str(data / "train" / "wave" / "0.mp4")]
    assert report.leaks == ((f"train: {data}/train/clap/1.mp4", f"val: {data}/val/clap/copy.mp4"),)
    assert report.conflicts == ((f"jump: {data}/train/jump/0.mp4", f"wave: {data}/train/wave/other.mp4"),)
    assert len(report.duplicates) == 2
    assert steps[-1] == (14, 14)
    for line in ("unreadable: 1", "in two splits: 1", "with two labels: 1"):
        assert line in str(report)


def test_parts_of_one_video_in_two_splits_leak_and_parts_beyond_its_end_are_named(folder: Path) -> None:
    table = read_table(folder)
    first = table.samples[0]
    parts = (
        dataclasses.replace(first, start=0.0, end=1.0, split="train"),
        dataclasses.replace(first, start=1.0, end=2.0, split="val"),
        dataclasses.replace(table.samples[1], start=8.0, end=9.0, split="train"),
    )
    report = check(
        dataclasses.replace(table, samples=parts), preprocessing=PreprocessingConfig(num_frames=8, frame_stride=2)
    )
    assert len(report.leaks) == 1
    assert "no frame from 8.0 s to 9.0 s; it runs to 2.1" in report.unreadable[0].reason
    assert report.frames is not None
    assert report.frames.largest == 10
    assert report.too_short == 2


def test_groups_in_several_splits_are_told(folder: Path) -> None:
    table = read_table(folder)
    splits = ("train", "train", "val", "val")
    people = ("ann", "bob", "bob", "cem")
    samples = tuple(
        dataclasses.replace(sample, split=splits[number % 4], group=people[number % 4])
        for number, sample in enumerate(table.samples)
    )
    report = check(dataclasses.replace(table, samples=samples))
    assert report.shared_groups == ("bob",)
    assert report.ok
    assert "groups in several splits: 1 (bob)" in str(report)


def test_damage_in_the_middle_is_found_by_a_thorough_look(shared: Path) -> None:
    damaged = shared / "data" / "edge_videos" / "decord" / "corrupted.mp4"
    table = read_table(damaged.parent, labels=())
    table = dataclasses.replace(table, samples=tuple(s for s in table.samples if s.path == str(damaged)))
    assert [problem.path for problem in check(table, thorough=True).unreadable] == [str(damaged)]


def test_parts_that_overlap_in_two_splits_are_told_apart_from_parts_that_do_not(folder: Path) -> None:
    table = read_table(folder)
    first, second = table.samples[:2]
    parts = (
        dataclasses.replace(first, start=0.0, end=1.0, split="train"),
        dataclasses.replace(first, start=0.9, end=2.0, split="val"),
        dataclasses.replace(second, start=0.0, end=1.0, split="train"),
        dataclasses.replace(second, start=1.0, end=2.0, split="val"),
    )
    report = check(dataclasses.replace(table, samples=parts))
    assert len(report.leaks) == 2
    assert report.overlaps == (("train: clap/0.mp4[0.000-1.000]", "val: clap/0.mp4[0.900-2.000]"),)
    assert "parts that overlap, in two splits: 1" in str(report)


def test_classes_that_cannot_be_learned_are_told(folder: Path) -> None:
    table = read_table(folder).with_splits(lambda sample: "val" if "wave" in sample.path else "train")
    report = check(table)
    assert report.untrained == ("wave (val: 4)",)
    assert not report.ok
    assert "classes without a training video: 1" in str(report)
    assert not check(read_table(folder)).untrained, "nothing is divided yet"
    alone = check(read_table(folder / "clap", labels=()).with_splits(lambda sample: "train"))
    assert alone.ok, "nothing is to be learned without labels"


def test_one_class_alone_and_very_unequal_ones_are_told(folder: Path, tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / "often").mkdir(exist_ok=True)
        shutil.copy(folder / "wave" / "0.mp4", tmp_path / "often" / f"{number}.mp4")
    single = check(read_table(tmp_path))
    assert single.single == ("label",)
    assert not single.ok
    assert "one class alone" in str(single)
    shutil.copytree(folder / "clap", tmp_path / "rare")
    assert not check(read_table(tmp_path)).unequal, "10 and 4"
    for number in (1, 2, 3):
        (tmp_path / "rare" / f"{number}.mp4").unlink()
    unequal = check(read_table(tmp_path))
    assert unequal.ok
    assert unequal.unequal == ("label: 10 samples of 'often' and 1 of 'rare' to learn from",)
    assert "class_weights='balanced'" in str(unequal)
