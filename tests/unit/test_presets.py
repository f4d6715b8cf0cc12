"""Models by name."""

from __future__ import annotations

import pytest

from tiny import MODEL, PRESET
from tubelet.errors import ConfigError
from tubelet.presets import create, preset, presets


def test_names_are_the_presets_and_a_misspelt_one_is_answered_with_the_nearest() -> None:
    assert PRESET in presets()
    with pytest.raises(ConfigError, match=f"did you mean.*{PRESET}"):
        create("vivit_tiny_16x2_ef")


def test_fields_change_a_preset_and_a_configuration_alike() -> None:
    by_name = create(PRESET, **MODEL, num_classes=3)
    by_config = create(preset(PRESET), **MODEL, num_classes=3)
    assert by_name.config == by_config.config
    assert by_name.head.out_features == 3
    assert by_name.training
    with pytest.raises(ConfigError, match="hidden_sizes"):
        create(PRESET, hidden_sizes=24)


def test_labels_settle_the_classes_of_one_head_or_several() -> None:
    one = create(PRESET, **MODEL, labels=["run", "walk"])
    assert (one.config.num_classes, one.labels) == (2, {"label": ["run", "walk"]})
    several = create(PRESET, **MODEL, labels={"verb": ["cut", "stir", "pour"], "noun": ["egg", "pan"]})
    assert several.config.num_classes == {"verb": 3, "noun": 2}
    assert list(several.labels or {}) == ["verb", "noun"]
    with pytest.raises(ConfigError, match="labels give"):
        create(PRESET, **MODEL, labels=["run", "walk"], num_classes=3)
