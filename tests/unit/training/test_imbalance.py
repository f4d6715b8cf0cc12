"""Classes of unequal size: when they get weights by themselves, and that balanced data train as before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tubelet
from tiny import train_config, write_noise
from tubelet.config import override, recipes
from tubelet.config import train_config as recipe_config
from tubelet.data import read_table
from tubelet.data.table import Sample, Table
from tubelet.training import SilentReporter, train
from tubelet.training.imbalance import loss_weights


def table(*counts: int) -> Table:
    names = [f"class {number}" for number in range(len(counts))]
    samples = [
        Sample(f"{n}-{k}.mp4", {"label": n}, split="train") for n, count in enumerate(counts) for k in range(count)
    ]
    return Table(tuple(samples), {"label": names}, ".")


def test_weights_come_by_themselves_from_ten_to_one_on() -> None:
    config = train_config(class_weights="auto")
    assert loss_weights(config, table(19, 2)) == (None, [])
    weights, notes = loss_weights(config, table(20, 2, 5))
    assert weights is not None
    assert weights["label"].tolist() == pytest.approx([9 / 20, 9 / 2, 9 / 5])
    (note,) = notes
    assert "20 training videos of 'class 0' and 2 of 'class 1'" in note
    assert "class_weights='none'" in note


@pytest.mark.parametrize("fields", [{"class_weights": "none"}, {"class_weights": "auto", "balanced": True}])
def test_they_can_be_switched_off_and_do_not_come_on_top_of_balanced_sampling(fields: dict[str, object]) -> None:
    assert loss_weights(train_config(**fields), table(30, 2)) == (None, [])


def test_recipes_of_papers_have_none() -> None:
    automatic = [name for name in recipes() if recipe_config(name).optimisation.class_weights == "auto"]
    assert sorted(automatic) == ["fine-tune", "small-data"]


def test_balanced_data_train_to_the_same_bits(tmp_path: Path) -> None:
    data = write_noise(tmp_path / "videos", {"a": 5, "b": 5})
    models = []
    for scheme in ("none", "auto"):
        config = override(train_config(), class_weights=scheme, epochs=1, hold_out=0.2)
        models.append(train(data, tmp_path / scheme, config=config, reporter=SilentReporter()).model)
    one, other = (model.state_dict() for model in models)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_on_skewed_data_says_so(tmp_path: Path) -> None:
    data = write_noise(tmp_path / "videos", {"common": 14, "rare": 2}, frames=5)
    said: list[str] = []

    class Listener(SilentReporter):
        def message(self, text: str) -> None:
            said.append(text)

    config = override(train_config(), class_weights="auto", epochs=1, fractions={"train": 0.9, "val": 0.1})
    splits = read_table(data)
    splits = splits.with_splits(lambda sample: "train")
    train(splits, tmp_path / "run", config=override(config, keep="last"), reporter=Listener())
    assert [text for text in said if "14 training videos of 'common' and 2 of 'rare'" in text] == []
    config = override(config, keep="last")
    more = write_noise(tmp_path / "more", {"common": 20, "rare": 2}, frames=5)
    train(read_table(more).with_splits(lambda sample: "train"), tmp_path / "skewed", config=config, reporter=Listener())
    assert len([text for text in said if "20 training videos of 'common' and 2 of 'rare'" in text]) == 1
    assert tubelet.load(tmp_path / "skewed").config.num_classes == 2
