"""A tuning from its first trial to the training with its recipe: stopped, gone on with, in a budget."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
import tubelet
from tubelet.config import TrainConfig, override, train_config
from tubelet.data import read_table
from tubelet.errors import ConfigError
from tubelet.presets import preset
from tubelet.studies import schedule
from tubelet.training import SilentReporter, TrainingInterrupted
from tubelet.tuning import TuneResult, search
from tubelet.tuning.candidates import Move

CLIPS = 12


def _wide(config: TrainConfig, looks: object) -> dict[str, Any]:
    return {"model": {"mlp_dim": 32}}


def _slow(config: TrainConfig, looks: object) -> dict[str, Any]:
    return {"learning_rate": 1e-9}


def _broken(config: TrainConfig, looks: object) -> dict[str, Any]:
    return {"flip": 1.0}  # left becomes right: the training refuses


WIDE, SLOW = (
    Move("wide", "a wider MLP", "It may learn more.", _wide),
    Move("slow", "hardly any steps", "To lose.", _slow),
)
UNBROKEN = Move("unbroken", "not mirrored", "To win.", lambda config, looks: {"flip": 0.0})
BROKEN = Move("broken", "mirrored", "To fail.", _broken)


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def set_rounds(*moves: list[Move]) -> None:
        monkeypatch.setattr(search, "rounds", lambda looks, adapts: list(moves))

    monkeypatch.setattr(search, "FEWEST_STEPS", 40)
    monkeypatch.setattr(search, "FEWEST_HELD_OUT", 5)
    return set_rounds


LEVELS = {"down": 20, "left": 110, "right": 200}


def write_levels(root: Path, clips: int, seed: int) -> None:
    """Noise of another brightness for each class: learned in some dozen steps."""
    generator = torch.Generator().manual_seed(seed)
    for name, level in LEVELS.items():
        (root / name).mkdir(parents=True)
        for clip in range(clips):
            frames = torch.randint(0, 40, (8, 3, 24, 24), generator=generator) + level
            tubelet.write_video(root / name / f"{clip}.mp4", frames.to(torch.uint8), 10.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    write_levels(root / "train", CLIPS, seed=1)
    write_levels(root / "test", 2, seed=2)
    return root


def start(clips: Path, out: Path, **fields: Any) -> TuneResult:
    config = tiny.train_config(epochs=4, learning_rate=3e-3)
    return tubelet.tune(clips, out, config=config, jobs=1, reporter=SilentReporter(), **fields)


def test_a_better_candidate_is_chosen_and_its_recipe_trains_it(
    clips: Path, tmp_path: Path, plan: Callable[..., None]
) -> None:
    plan([SLOW], [WIDE])
    result = start(clips, tmp_path / "t", budget=1000)
    names = [trial.candidate.name for trial in result.trials]
    assert names[:2] == ["shipped", "slow"]
    shipped, slow = result.trials[:2]
    assert shipped.accuracy is not None
    assert slow.accuracy is not None
    assert slow.accuracy < shipped.accuracy
    assert not slow.chosen
    assert slow.difference == pytest.approx(slow.accuracy - shipped.accuracy)
    again = train_config(result.recipe)
    assert again.optimisation.learning_rate == 3e-3
    assert preset(tiny.PRESET, **again.model) == preset(tiny.PRESET, **result.config.model)
    assert again.augmentation == result.config.augmentation
    assert "Validation and test videos were not used" in " ".join(result.page.read_text().split())
    run = tmp_path / "run"
    tubelet.train(clips, run, config=again, epochs=1, reporter=SilentReporter())
    assert (run / "model.safetensors").is_file()


def test_another_candidate_is_chosen_where_the_recipe_as_it_is_fails(
    clips: Path, tmp_path: Path, plan: Callable[..., None]
) -> None:
    plan([UNBROKEN])
    config = override(tiny.train_config(epochs=4, learning_rate=3e-3), flip=1.0)
    result = tubelet.tune(clips, tmp_path / "t", config=config, jobs=1, reporter=SilentReporter())
    assert [trial.chosen for trial in result.trials] == [False, True]
    assert "mirror" in result.trials[0].failure
    assert result.config.augmentation.flip == 0


def test_trials_see_training_videos_alone(clips: Path, tmp_path: Path, plan: Callable[..., None]) -> None:
    plan([SLOW])
    result = start(clips, tmp_path / "t")
    table = read_table(clips)
    tested = {Path(sample.path).resolve() for sample in table.split("test").samples}
    for trial in result.trials:
        used = (trial.folder / "splits.csv").read_text(encoding="utf-8")
        assert used.count("\n") == 1 + result.learned + result.held_out
        assert not [path for path in tested if f"test/{path.parent.name}/{path.name}" in used]
    assert result.learned + result.held_out == len(table.split("train"))


def test_a_tuning_that_was_stopped_goes_on(
    clips: Path, tmp_path: Path, plan: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan([SLOW])
    real = schedule.run_task
    count = 0

    def stops_at_the_second(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == 2:
            raise TrainingInterrupted("stopped", signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(schedule, "run_task", stops_at_the_second)
    with pytest.raises(TrainingInterrupted):
        start(clips, tmp_path / "t")
    written = (tmp_path / "t" / "cells" / "shipped" / "seed-0" / "model.safetensors").stat().st_mtime_ns
    result = start(clips, tmp_path / "t")
    assert [trial.candidate.name for trial in result.trials] == ["shipped", "slow"]
    assert (tmp_path / "t" / "cells" / "shipped" / "seed-0" / "model.safetensors").stat().st_mtime_ns == written


def test_another_configuration_in_the_folder_is_refused(clips: Path, tmp_path: Path, plan: Callable[..., None]) -> None:
    plan([])
    start(clips, tmp_path / "t")
    with pytest.raises(ConfigError, match="begun with another configuration"):
        start(clips, tmp_path / "t", weight_decay=0.5)


def test_a_trial_that_fails_is_named_and_the_others_count(
    clips: Path, tmp_path: Path, plan: Callable[..., None]
) -> None:
    plan([BROKEN])
    result = start(clips, tmp_path / "t")
    assert result.best.name == "shipped"
    assert "left" in result.trials[1].failure
    assert "left" in result.page.read_text()


def test_a_budget_ends_the_rounds_and_what_is_left_is_named(
    clips: Path, tmp_path: Path, plan: Callable[..., None]
) -> None:
    plan([SLOW], [WIDE])
    result = start(clips, tmp_path / "t", budget=1e-6)
    assert len(result.trials) == 2
    assert result.next == ("a wider MLP",)
    assert "a wider MLP" in result.page.read_text()
    assert json.loads((tmp_path / "t" / "tune.json").read_text())["next"] == ["a wider MLP"]


@pytest.mark.parametrize("clips", [2, 4])
def test_too_few_videos_try_nothing_and_say_so(clips: int, tmp_path: Path, plan: Callable[..., None]) -> None:
    plan([SLOW])
    write_levels(tmp_path / "few", clips, seed=3)
    result = start(tmp_path / "few", tmp_path / "t")
    assert not result.trials
    assert "cannot tell one recipe from another" in result.notes[0]
    assert replace(result.config, data=train_config().data).model == tiny.train_config().model


def test_ways_to_adapt_weights_are_compared_in_one_tuning(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The classifier alone keeps every other weight; stages learn them in the later part of a trial too."""
    monkeypatch.setattr(search, "FEWEST_STEPS", 40)
    monkeypatch.setattr(search, "FEWEST_HELD_OUT", 5)
    write_levels(tmp_path / "other" / "train", 4, seed=3)
    config = tiny.train_config(epochs=2, learning_rate=3e-3)
    first = tmp_path / "first"
    tubelet.train(tmp_path / "other", first, config=config, reporter=SilentReporter())
    result = tubelet.tune(
        clips, tmp_path / "t", jobs=1, budget=0.01, reporter=SilentReporter(), init=str(first), epochs=12, workers=0
    )
    trials = {trial.candidate.name: trial for trial in result.trials}
    assert list(trials) == ["shipped", "probe", "lora", "stages", "decay"]
    assert not [trial.failure for trial in result.trials if trial.failure]
    before = tubelet.load(first).state_dict()

    def moved(name: str) -> bool:
        after = tubelet.load(trials[name].folder).state_dict()
        return any(not torch.equal(value, before[key]) for key, value in after.items() if "encoder.blocks" in key)

    assert {name: moved(name) for name in trials} == {**dict.fromkeys(trials, True), "probe": False}
    assert train_config(result.recipe).optimisation.freeze == result.best.config.optimisation.freeze
