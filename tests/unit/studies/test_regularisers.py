"""The ladder that is built out of a base configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tubelet.config import AugmentationConfig, OptimisationConfig, TrainConfig, override, train_config
from tubelet.data import read_table
from tubelet.errors import ConfigError
from tubelet.studies.regularisers import plan, value_of
from tubelet.studies.study import Plan, Setting, StudyOptions

DEPTH = TrainConfig(
    preset="vivit_tiny_16x2_fe",
    model={"drop_path": 0.1},
    preprocessing={"sampling": "uniform"},
    augmentation=AugmentationConfig(
        coverage=(0.7, 1.0), scale_jitter=(0.9, 1.2), flip=0.0, colour=0.0, grey=0.0, label_smoothing=0.1
    ),
    optimisation=OptimisationConfig(epochs=7),
)
"""As for depth videos: mirrored they are other actions, and they have no colours."""


@pytest.fixture
def planned(clips: Path) -> object:
    def make(base: TrainConfig, **options: object) -> Plan:
        return plan(Setting(base, StudyOptions(**options), read_table(clips)))  # type: ignore[arg-type]

    return make


def test_rungs_add_up_from_nothing_to_the_recipe(planned) -> None:
    base = override(DEPTH, mixup=0.3)
    cells = planned(base).cells
    assert [cell.name for cell in cells] == [
        "none",
        "plus-basic",
        "plus-drop-path",
        "plus-rand-augment",
        "plus-label-smoothing",
        "plus-mixup",
        "plus-time-jitter",
    ]
    none, basic, last = cells[0].config, cells[1].config, cells[-1].config
    assert (none.augmentation.temporal, none.augmentation.crop, value_of(none, "drop_path")) == ("centre", "centre", 0)
    assert basic.augmentation.scale_jitter == base.augmentation.scale_jitter
    assert (basic.augmentation.coverage, basic.augmentation.label_smoothing) == ((1.0, 1.0), 0)
    assert last.augmentation.coverage == base.augmentation.coverage
    assert last.augmentation.mixup == 0.3
    assert last.augmentation.rand_augment_layers == 2  # off in the recipe: the paper's value
    assert value_of(last, "drop_path") == 0.1


def test_what_is_not_varied_is_the_recipes(planned) -> None:
    base = DEPTH
    for cell in planned(base).cells:
        assert cell.config.optimisation == base.optimisation
        assert cell.config.augmentation.flip == 0  # harmful on these videos, so the recipe has none
        assert cell.config.augmentation.colour == 0


def test_each_left_out_alone_differs_from_the_whole_in_it_alone(planned) -> None:
    base = override(DEPTH, mixup=0.2)
    cells = {cell.name: cell.config for cell in planned(base, leave_one_out=True).cells}
    full, without = cells["plus-time-jitter"], cells["without-label-smoothing"]
    assert without.augmentation.label_smoothing == 0
    assert without.augmentation.mixup == full.augmentation.mixup
    assert without.model == full.model
    assert "without-time-jitter" not in cells  # that is the cell before it


def test_pretrained_weights_are_a_rung_only_where_there_are_some(planned) -> None:
    base = override(DEPTH, init="vit.npz")
    cells = {cell.name: cell.config for cell in planned(base).cells}
    assert cells["plus-basic"].init is None
    assert cells["plus-init"].init == "vit.npz"
    with pytest.raises(ConfigError, match="init"):
        planned(DEPTH, rungs=("init",))


def test_the_papers_ladder_ends_at_the_papers_recipe(planned) -> None:
    base = train_config("epic-kitchens")
    cells = planned(base).cells
    values = {cell.name: cell.paper for cell in cells}
    assert values["plus-basic"] == {"EPIC action": 38.4}
    assert values["plus-mixup"] == {"EPIC action": 43.7}
    assert cells[-1].config.augmentation == base.augmentation  # the whole ladder is the recipe
    assert value_of(cells[-1].config, "drop_path") == value_of(base, "drop_path") == 0.2


def test_rungs_can_be_named_in_their_order(planned) -> None:
    cells = planned(DEPTH, rungs=("mixup", "basic", "ema")).cells
    assert [cell.name for cell in cells] == ["none", "plus-mixup", "plus-basic", "plus-ema"]
    assert cells[-1].config.optimisation.ema_decay == 0.99
    with pytest.raises(ConfigError, match="did you mean 'mixup'"):
        planned(DEPTH, rungs=("mixupp",))
