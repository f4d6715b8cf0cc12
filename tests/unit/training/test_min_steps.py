"""`min_steps`: few videos are seen more often, unless epochs were set by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from reporters import KilledAt, KilledError, Told
from tubelet.cli.training_options import base_config, sources_of
from tubelet.config import PretrainConfig, TrainConfig, override, train_config
from tubelet.errors import ConfigError
from tubelet.training import SilentReporter, TrainResult, train


def optimisation(folder: Path) -> dict[str, Any]:
    """What the run says of it."""
    return dict(json.loads((folder / "run.json").read_text())["config"]["optimisation"])


def test_few_videos_get_the_epochs_that_make_so_many_steps(clips: Path, tmp_path: Path, tiny: TrainConfig) -> None:
    reporter = Told()  # nine videos train in batches of three
    result = train(clips, tmp_path / "run", config=override(tiny, epochs=2, min_steps=10), reporter=reporter)
    assert result.steps == 12
    assert optimisation(tmp_path / "run")["epochs"] == 4
    (line,) = (text for text in reporter.messages if "min_steps" in text)
    assert "4 epochs instead of 2" in line
    assert any("12 in all" in text for text in reporter.messages)


def test_who_has_enough_steps_keeps_the_epochs_and_learns_the_same(
    clips: Path, tmp_path: Path, tiny: TrainConfig
) -> None:
    def weights(result: TrainResult) -> list[torch.Tensor]:
        return [each.detach() for each in result.model.parameters()]

    reporter = Told()
    plain = train(clips, tmp_path / "plain", config=tiny, reporter=SilentReporter())
    same = train(clips, tmp_path / "same", config=override(tiny, min_steps=6), reporter=reporter)
    more = train(clips, tmp_path / "more", config=override(tiny, min_steps=7), reporter=reporter)
    assert (plain.steps, same.steps, more.steps) == (6, 6, 9)
    assert all(torch.equal(a, b) for a, b in zip(weights(plain), weights(same), strict=True))
    assert len([text for text in reporter.messages if "min_steps" in text]) == 1


def test_epochs_set_by_hand_are_taken_as_they_are(tmp_path: Path) -> None:
    recipe = train_config("small-data").optimisation
    assert recipe.min_steps
    (tmp_path / "own.toml").write_text("[optimisation]\nepochs = 3\n")
    (tmp_path / "both.toml").write_text("[optimisation]\nepochs = 3\nmin_steps = 50\n")
    for config in (
        train_config("small-data", epochs=3),
        train_config("small-data", tmp_path / "own.toml"),
        base_config(sources_of(["clips", "--epochs", "3"], "tubelet train")),
    ):
        assert (config.optimisation.epochs, config.optimisation.min_steps) == (3, None)
    assert train_config("small-data", tmp_path / "both.toml").optimisation.min_steps == 50
    assert override(train_config("small-data"), epochs=3, min_steps=50).optimisation.min_steps == 50
    said = base_config(sources_of(["clips", "--epochs", str(recipe.epochs)], "tubelet train")).optimisation
    assert (said.epochs, said.min_steps) == (recipe.epochs, None)
    assert base_config(sources_of(["clips", "--seed", "3"], "tubelet train")).optimisation == recipe


def test_a_run_that_is_taken_up_again_keeps_its_epochs(clips: Path, tmp_path: Path, tiny: TrainConfig) -> None:
    config = override(tiny, min_steps=10)
    whole = train(clips, tmp_path / "whole", config=config, reporter=SilentReporter())
    with pytest.raises(KilledError):
        train(clips, tmp_path / "run", config=config, reporter=KilledAt(8))
    again = train(out=tmp_path / "run", config=config, resume=True, reporter=SilentReporter())
    assert again.steps == whole.steps == 12
    pairs = zip(whole.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    with pytest.raises(ConfigError, match="epochs was 4 when the run began and cannot become 2"):
        train(out=tmp_path / "run", config=config, resume=True, epochs=2, reporter=SilentReporter())


def test_what_cannot_be_meant() -> None:
    with pytest.raises(ConfigError, match="min_steps"):
        train_config("small-data", min_steps=0)
    with pytest.raises(ConfigError, match="give epochs a number here"):
        override(PretrainConfig(preset="vivit_tiny_16x2_fe"), min_steps=100)
