"""Splits that are made."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tubelet.data import Sample, Table, assign_splits, hold_out, without_splits
from tubelet.errors import DataError

MakeTable = Callable[..., Table]


def splits_by_key(table: Table) -> dict[str, str | None]:
    return {table.key(sample): sample.split for sample in table.samples}


def counts(table: Table) -> dict[str, Counter[str | None]]:
    found: dict[str, Counter[str | None]] = {name: Counter() for name in table.classes["label"]}
    for sample in table.samples:
        found[table.class_names(sample)[0]][sample.split] += 1
    return found


def test_each_class_is_divided_alike(plain_table: MakeTable) -> None:
    table = assign_splits(plain_table({"a": 100, "b": 10, "c": 5}))
    assert counts(table) == {
        "a": {"train": 80, "val": 20},
        "b": {"train": 8, "val": 2},
        "c": {"train": 4, "val": 1},
    }


def test_small_classes_have_a_sample_in_each_split_if_they_can(plain_table: MakeTable) -> None:
    table = assign_splits(plain_table({"one": 1, "two": 2, "three": 3}), {"train": 0.8, "val": 0.1, "test": 0.1})
    found = counts(table)
    assert found["one"] == {"train": 1}
    assert found["two"]["train"] == 1
    assert found["three"] == {"train": 1, "val": 1, "test": 1}


def test_the_order_of_listing_does_not_matter_and_the_seed_does(plain_table: MakeTable) -> None:
    table = plain_table({"a": 40, "b": 40})
    backwards = dataclasses.replace(table, samples=table.samples[::-1])
    assert splits_by_key(assign_splits(table)) == splits_by_key(assign_splits(backwards))
    assert splits_by_key(assign_splits(table)) != splits_by_key(assign_splits(table, seed=1))


def test_the_folder_may_be_moved(plain_table: MakeTable) -> None:
    table = plain_table({"a": 40, "b": 40})
    moved = Table(
        tuple(dataclasses.replace(s, path=s.path.replace("/data", "/mnt/disk")) for s in table.samples),
        table.classes,
        "/mnt/disk",
    )
    assert splits_by_key(assign_splits(table)) == splits_by_key(assign_splits(moved))


@given(before=st.integers(3, 60), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_more_video_moves_at_most_one_across_the_cut(plain_table: MakeTable, before: int, seed: int) -> None:
    fewer = splits_by_key(assign_splits(plain_table({"a": before, "b": 7}), seed=seed))
    more = splits_by_key(assign_splits(plain_table({"a": before + 1, "b": 7}), seed=seed))
    moved = [key for key in fewer if fewer[key] != more[key]]
    assert len(moved) <= 1
    assert not any(key.startswith("b/") for key in moved)


def test_groups_stay_together_within_classes(plain_table: MakeTable) -> None:
    """As in UCF-101: several clips of one source video, all of one class."""
    table = assign_splits(plain_table({"a": 40, "b": 40}, groups=lambda name, number: f"{name}{number // 4}"))
    for name in ("a", "b"):
        for group in range(10):
            assert len({s.split for s in table.samples if s.group == f"{name}{group}"}) == 1
    assert counts(table) == {"a": {"train": 32, "val": 8}, "b": {"train": 32, "val": 8}}


def test_groups_that_hold_several_classes_stay_together(plain_table: MakeTable) -> None:
    """As with people who each do everything."""
    table = assign_splits(plain_table({"a": 50, "b": 50}, groups=lambda name, number: f"person {number % 10}"))
    people = {s.group: s.split for s in table.samples}
    assert all(people[s.group] == s.split for s in table.samples)
    assert Counter(people.values()) == {"train": 8, "val": 2}


def test_too_few_groups_are_an_error(plain_table: MakeTable) -> None:
    with pytest.raises(DataError, match="1 groups cannot be divided into 2 splits"):
        assign_splits(plain_table({"a": 4, "b": 4}, groups=lambda name, number: "the same"))


def test_given_splits_are_kept(plain_table: MakeTable) -> None:
    table = plain_table({"a": 20, "b": 20})
    some = table.with_splits(lambda sample: "test" if sample.path.endswith("0.mp4") else None)
    done = assign_splits(some)
    given_test = {s.path for s in some.samples if s.split == "test"}
    assert {s.path for s in done.samples if s.split == "test"} == given_test
    assert all(s.split in ("train", "val") for s in done.samples if s.path not in given_test)
    assert assign_splits(done) == done


def test_a_class_that_train_lacks_is_named(plain_table: MakeTable) -> None:
    table = plain_table({"run": 4, "walk": 4})
    given_splits = table.with_splits(lambda sample: "val" if "walk" in sample.path else "train")
    with pytest.raises(DataError, match="no training video of the class 'walk'"):
        assign_splits(given_splits)


def test_several_heads_leave_no_class_out_of_train() -> None:
    samples = tuple(
        Sample(f"/data/{number}.mp4", {"many": number % 20, "few": int(number in (3, 77, 130))})
        for number in range(200)
    )
    classes = {"many": [str(n) for n in range(20)], "few": ["common", "rare"]}
    for seed in range(8):
        table = assign_splits(Table(samples, classes, "/data"), {"train": 0.5, "val": 0.5}, seed=seed)
        assert any(s.labels["few"] == 1 for s in table.split("train").samples)
        by_class = Counter((s.labels["many"], s.split) for s in table.samples)
        assert all(4 <= count <= 6 for count in by_class.values())


def test_holding_out_a_person_or_a_fraction_leaves_test_alone(plain_table: MakeTable) -> None:
    table = plain_table({"a": 40, "b": 40}, groups=lambda name, number: str(number % 8))
    table = table.with_splits(lambda sample: "train" if int(sample.group or 0) % 2 else "test")
    one = hold_out(table, groups=["7"])
    assert {s.group for s in one.split("val").samples} == {"7"}
    assert one.split("test").samples == table.split("test").samples
    part = hold_out(table, fraction=0.25)
    assert len({s.group for s in part.split("val").samples}) == 1
    assert part.split("test").samples == table.split("test").samples
    with pytest.raises(DataError, match="no sample of the group '2' in the split 'train'; groups there: 1, 3, 5, 7"):
        hold_out(table, groups=["2"])
    with pytest.raises(DataError, match="a fraction, or groups"):
        hold_out(table)


@pytest.mark.parametrize("fractions", [{"val": 1.0}, {"train": 0.5, "val": 0.4}, {"train": 1.2, "val": -0.2}])
def test_fractions_that_make_no_sense(plain_table: MakeTable, fractions: dict[str, float]) -> None:
    with pytest.raises(DataError, match="add up to 1"):
        assign_splits(plain_table({"a": 4}), fractions)


def test_dividing_anew(plain_table: MakeTable) -> None:
    table = assign_splits(plain_table({"a": 10, "b": 10}))
    assert without_splits(table).splits == {"": 20}


def test_names_of_splits_are_understood_wherever_they_are_given(plain_table: MakeTable) -> None:
    table = plain_table({"a": 10, "b": 10}).with_splits(lambda s: "testing" if s.path.endswith("1.mp4") else "Training")
    assert table.splits == {"train": 18, "test": 2}
    held = hold_out(table, fraction=0.25, out_of="training", into="validation")
    assert held.splits == {"train": 14, "val": 4, "test": 2}
    assert len(held.split("dev")) == 4
    assert Sample("x.mp4", {}, split="validate").split == "val"


def test_holding_out_of_data_without_splits_leaves_the_rest_for_training(plain_table: MakeTable) -> None:
    held = hold_out(plain_table({"a": 20, "b": 20}), fraction=0.1)
    assert held.splits == {"train": 36, "val": 4}


def test_a_class_that_only_the_test_has_does_not_keep_anybody_from_holding_out(plain_table: MakeTable) -> None:
    table = plain_table({"a": 10, "b": 10, "new": 2}).with_splits(lambda s: "test" if "new" in s.path else "train")
    assert hold_out(table, fraction=0.2).splits == {"train": 16, "val": 4, "test": 2}


def test_files_with_parts_of_many_classes_are_divided_so_that_train_has_each_class(plain_table: MakeTable) -> None:
    """As in long videos of daily life: each recording has a part of most classes, and some classes are rare."""
    classes = ["cut", "wash", "pour", "rare", "once"]
    parts = [
        (f"/data/{video}.mp4", label)
        for video in range(12)
        for label in range(5)
        if label < 3 or (label == 3 and video in (2, 7)) or (label == 4 and video == 9)
    ]
    samples = tuple(Sample(path, {"label": label}, float(label), label + 1.0) for path, label in parts)
    for seed in range(10):
        table = assign_splits(Table(samples, {"label": classes}, "/data"), seed=seed)
        split_of = {sample.path: sample.split for sample in table.samples}
        assert all(split_of[sample.path] == sample.split for sample in table.samples)
        assert 2 <= sum(split == "val" for split in split_of.values()) <= 3
        assert {sample.labels["label"] for sample in table.split("train").samples} == {0, 1, 2, 3, 4}


def test_one_recording_alone_cannot_be_divided(plain_table: MakeTable) -> None:
    samples = tuple(Sample("/data/long.mp4", {"label": part % 2}, float(part), part + 1.0) for part in range(10))
    with pytest.raises(DataError, match=r"1 groups cannot be divided into 2 splits .*\(parts of one file"):
        assign_splits(Table(samples, {"label": ["a", "b"]}, "/data"))


def test_a_split_that_stays_empty_is_explained() -> None:
    samples = tuple(Sample(f"/data/{part % 2}.mp4", {"label": part % 2}, float(part), part + 1.0) for part in range(10))
    table = assign_splits(Table(samples, {"label": ["a", "b"]}, "/data"))
    assert table.splits == {"train": 10}
    assert any("nothing could be put into val" in note for note in table.notes)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["wave/a1_s{n}_t1.mp4", "clap/a2_s{n}_t1.mp4"], "8 files show 4 people"),
        (["person{n}_walk_d1.mp4", "person{n}_run_d1.mp4"], "8 files show 4 people"),
        (["wave/{n}_subject_3.mp4", "clap/{n}_subject_4.mp4", "clap/{n}_subject_3.mp4"], "12 files show 2 people"),
        (["S001C001P00{n}R001A001.avi", "S001C002P00{n}R001A002.avi"], "8 files show 4 people"),
        (["a/film{n}_000.mp4", "a/film{n}_001.mp4", "b/other{n}_000.mp4", "b/other{n}_001.mp4"], "16 files show 8 rec"),
        (["a/id{n}_10_20.mp4", "a/id{n}_20_30.mp4", "b/id{n}_40.5_50.mp4"], "12 files show 4 recordings"),
        (["wave/wave_{n}.mp4", "clap/clap_{n}.mp4"], None),
        (["wave_{n}.mp4", "clap_{n}.mp4"], None),
        (["wave/{n}.mp4", "clap/{n}.mp4"], None),
        (["wave/s{n}.mp4", "clap/x{n}.mp4"], None),
        (["p1/{n}.mp4", "p2/{n}.mp4"], None),
    ],
)
def test_names_that_look_as_if_videos_belonged_together_are_a_question(names: list[str], told: str | None) -> None:
    paths = [(name.replace("{n}", str(n)), kind) for n in range(4) for kind, name in enumerate(names)]
    labels = ["wave", "clap"]
    samples = tuple(Sample(f"/data/{path}", {"label": min(kind, 1)}) for path, kind in paths)
    table = Table(samples, {"label": labels}, "/data")
    hints = [note for note in assign_splits(table).notes if "these may belong together" in note]
    assert len(hints) == (told is not None)
    if told is not None:
        assert told in hints[0]
        assert "--group-column" in hints[0]
    grouped = dataclasses.replace(table, samples=tuple(dataclasses.replace(s, group=s.path) for s in samples))
    assert not any("may belong" in note for note in assign_splits(grouped).notes)
    given = table.with_splits(lambda sample: "train")
    assert not assign_splits(given).notes
