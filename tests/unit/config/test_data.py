"""The settings of the data."""

from __future__ import annotations

from typing import Any

import pytest

from tubelet.config import AugmentationConfig, DataConfig, from_dict, to_dict
from tubelet.errors import ConfigError


def test_settings_survive_being_written_down() -> None:
    augmentation = AugmentationConfig(scale_jitter=(1, 2), flip_labels={"label": {"a": "b"}}, mixup=0.2)
    assert from_dict(AugmentationConfig, to_dict(augmentation)) == augmentation
    data = DataConfig(source="x", labels=("verb", "noun"), fractions={"train": 0.5, "val": 0.5})
    assert from_dict(DataConfig, to_dict(data)) == data


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flip": 1.5}, "flip=1.5 is a probability"),
        ({"scale_jitter": (1.3, 0.9)}, "the smaller one first"),
        ({"scale_jitter": (0.0, 0.9)}, "must be above 0"),
        ({"coverage": (0.5, 1.5)}, "at most 1"),
        ({"hue": 0.6}, "from 0 to 0.5"),
        ({"mixup": -1.0}, "must be 0"),
        ({"label_smoothing": 1.0}, "below 1"),
        ({"temporal": "anywhere"}, "is not one of 'random', 'segments', 'centre'"),
        ({"rand_augment_ops": "torchvision", "rand_augment_magnitude": 15}, "use 10, or rand_augment_ops='original'"),
        ({"reverse": 0.5}, "reverse_labels"),
        ({"grey": True}, "expected float"),
        ({"mixup": float("inf")}, "mixup: expected a finite number, got inf"),
        ({"contrast": (0.6, float("nan"))}, "contrast: expected a finite number, got nan"),
    ],
)
def test_settings_that_cannot_be_meant(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AugmentationConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": -1}, "workers=-1"),
        ({"workers": 2**31}, "workers=2147483648 must be from 0"),
        ({"cache_gigabytes": 0.0}, "cache='none'"),
        ({"cache_gigabytes": float("nan")}, "cache_gigabytes: expected a finite number, got nan"),
        ({"format": "csv"}, "is not one of"),
    ],
)
def test_data_settings_that_cannot_be_meant(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DataConfig(**changes)
