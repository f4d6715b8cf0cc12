"""Which videos are learned from, and which choose."""

from __future__ import annotations

import dataclasses

import pytest

from tubelet.config import DataConfig, TrainConfig, ValidationConfig, from_dict, to_dict
from tubelet.data import Sample, Table
from tubelet.errors import ConfigError, DataError
from tubelet.training.splits import divide


def table_of(*splits: str | None, classes: int = 2) -> Table:
    """Ten videos of each class in each of these splits."""
    samples = tuple(
        Sample(f"/data/{number}-{split}-{label}.mp4", {"label": label}, split=split)
        for split in splits
        for label in range(classes)
        for number in range(10)
    )
    return Table(samples, {"label": [f"class {label}" for label in range(classes)]}, "/data")


def config_of(data: DataConfig | None = None, **validation: object) -> TrainConfig:
    return TrainConfig(data=data or DataConfig(), validation=ValidationConfig(**validation))


@pytest.mark.parametrize("name", ["val", "validation", "Valid", "dev"])
def test_the_validation_split_may_be_called_by_any_of_its_names(name: str) -> None:
    config = config_of(validation_split=name)
    divided = divide(table_of("train", "validation", "test"), config)
    assert divided.validation is not None
    assert len(divided.validation) == 20
    assert from_dict(TrainConfig, to_dict(config)) == config
    with pytest.raises(ConfigError, match="20 samples in 'val' already"):
        divide(table_of("train", "val"), config_of(validation_split=name, hold_out=0.1))


def test_data_without_splits_is_held_out_from_as_asked() -> None:
    divided = divide(table_of(None), config_of(hold_out=0.1))
    assert divided.table.splits == {"train": 18, "val": 2}
    some = divide(table_of("test", None), config_of(hold_out=0.3, validation_split="dev"))
    assert some.table.splits == {"train": 14, "val": 6, "test": 20}
    more = config_of(DataConfig(fractions={"train": 0.8, "test": 0.2}), hold_out=0.25)
    assert divide(table_of(None), more).table.splits == {"train": 12, "val": 4, "test": 4}
    twice = config_of(DataConfig(fractions={"train": 0.7, "val": 0.3}), hold_out=0.1)
    with pytest.raises(ConfigError, match="fractions say how much 'val' is, and hold_out says it too"):
        divide(table_of(None), twice)


def test_a_person_is_held_out_of_data_without_splits() -> None:
    table = table_of(None)
    people = tuple(dataclasses.replace(s, group=s.path[6]) for s in table.samples)
    divided = divide(dataclasses.replace(table, samples=people), config_of(hold_out_groups=("3",)))
    assert divided.validation is not None
    assert {sample.group for sample in divided.validation.samples} == {"3"}
    assert len(divided.train) == 18


@pytest.mark.parametrize("name", ["test", "Testing"])
def test_test_videos_do_not_choose_the_epoch_unless_they_are_let(name: str) -> None:
    with pytest.raises(ConfigError, match=r"test videos must not choose the epoch.*keep='last'"):
        config_of(validation_split=name)
    with pytest.raises(ConfigError, match="without patience"):
        config_of(validation_split=name, keep="last", patience=3)
    watched = divide(table_of("train", "test"), config_of(validation_split=name, keep="last"))
    assert watched.validation is not None
    assert not any("choose" in note for note in watched.notes)
    forced = divide(table_of("train", "test"), config_of(validation_split=name, allow_test_validation=True))
    assert any("the test videos choose which weights are delivered" in note for note in forced.notes)


def test_one_class_is_refused_and_classes_without_training_videos_are_told() -> None:
    with pytest.raises(DataError, match=r"all videos are of the class 'class 0'.*two classes at least"):
        divide(table_of("train", "val", classes=1), config_of())
    table = table_of("train", "val", classes=3)
    kept = tuple(s for s in table.samples if s.split == "val" or s.labels["label"] < 2)
    notes = divide(dataclasses.replace(table, samples=kept), config_of()).notes
    assert any("1 class has no training video ('class 2')" in note for note in notes)
