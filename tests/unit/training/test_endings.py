"""How a training ends: after all epochs, early, when its time is over, or stopped; and what a run says of it."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reporters import KilledAt, KilledError, StopsAt, Told
from tubelet.config import TrainConfig, override
from tubelet.config.run_state import RunState, run_state
from tubelet.errors import ConfigError
from tubelet.training import SilentReporter, TrainingInterrupted, TrainResult, budget, read_events, train


class Clock(Told):
    """Each step takes a second, and nothing else takes any time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, until: int = 10**9) -> None:
        super().__init__()
        self._seconds, self._until = 0.0, until
        monkeypatch.setattr(budget, "now", lambda: self._seconds)

    def step(self, step: int, text: str) -> None:
        self._seconds += 1
        if step == self._until:
            raise KilledError


def weights(result: TrainResult) -> list[torch.Tensor]:
    return list(result.model.state_dict().values())


def same(one: TrainResult, other: TrainResult) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.fixture
def stuck(tiny: TrainConfig) -> TrainConfig:
    """It learns nothing, so no validation is better than the first."""
    return override(tiny, learning_rate=0.0, epochs=8, patience=2)


def test_a_training_that_does_not_get_better_stops_early_and_says_so(
    clips: Path, tmp_path: Path, stuck: TrainConfig
) -> None:
    told = Told()
    result = train(clips, tmp_path / "run", config=stuck, reporter=told)
    assert (result.ended, result.steps, result.best and result.best.epoch) == ("early stopping", 9, 1)
    assert any("stopped early after epoch 3 of 8" in message for message in told.messages)
    (end,) = read_events(tmp_path / "run" / "metrics.jsonl", "end")
    assert end["reason"] == "early stopping"
    assert run_state(tmp_path / "run") == RunState(3, 8, True, "early stopping")


def test_early_stopping_counts_on_after_a_kill_and_a_stopped_run_is_complete(
    clips: Path, tmp_path: Path, stuck: TrainConfig
) -> None:
    with pytest.raises(KilledError):
        train(clips, tmp_path / "run", config=stuck, reporter=KilledAt(8))
    assert run_state(tmp_path / "run") == RunState(2, 8, False, None)
    resumed = train(out=tmp_path / "run", resume=True, reporter=SilentReporter())
    assert (resumed.ended, resumed.steps) == ("early stopping", 9)
    told = Told()
    again = train(out=tmp_path / "run", resume=True, reporter=told)
    assert (again.steps_taken, again.ended, again.steps) == (0, "early stopping", 9)
    assert any("complete (early stopping)" in message for message in told.messages)


def test_a_better_validation_starts_the_count_anew(clips: Path, tmp_path: Path, tiny: TrainConfig) -> None:
    config = override(tiny, epochs=5, patience=2, learning_rate=2e-3)
    result = train(clips, tmp_path / "run", config=config, reporter=SilentReporter())
    since = 0
    for validation in read_events(tmp_path / "run" / "metrics.jsonl", "validation"):
        assert since < 2
        since = 0 if validation["best"] else since + 1
    assert (since == 2) == (result.ended == "early stopping")


def test_patience_needs_something_to_watch(clips: Path, tmp_path: Path, tiny: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"patience=2 counts validations.*hold_out"):
        train(clips, tmp_path / "run", config=override(tiny, patience=2, validation_split="none"))
    assert not (tmp_path / "run").exists()


@pytest.fixture
def unwatched(tiny: TrainConfig) -> TrainConfig:
    return override(tiny, epochs=40, validation_split="none", warmup_epochs=None)


def test_a_training_ends_when_its_time_is_over_with_the_rate_down(
    clips: Path, tmp_path: Path, unwatched: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    result = train(clips, tmp_path / "run", config=override(unwatched, minutes=0.5), reporter=clock)
    assert (result.ended, result.steps) == ("time", 30)  # seconds
    rates = [event["lr"] for event in read_events(tmp_path / "run" / "metrics.jsonl", "train")]
    assert max(rates) > 0.8 * unwatched.optimisation.learning_rate
    assert rates[-1] < 0.02 * max(rates)
    assert any("the time is over" in message for message in clock.messages)
    assert run_state(tmp_path / "run") == RunState(10, 10, True, "time")


def test_a_training_ends_in_the_middle_of_an_epoch_if_there_is_no_time_for_more(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = override(tiny, minutes=2 / 60)
    result = train(clips, tmp_path / "run", config=config, reporter=Clock(monkeypatch))
    assert result.ended == "time"
    assert result.steps < 3  # of an epoch
    assert result.evaluation is not None


def test_time_enough_changes_nothing(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(clips, tmp_path / "plain", config=tiny, reporter=SilentReporter())
    timed = train(clips, tmp_path / "timed", config=override(tiny, minutes=60.0), reporter=Clock(monkeypatch))
    assert timed.ended == "finished"
    assert same(plain, timed)


def test_a_plan_is_kept_by_a_resumed_run(
    clips: Path, tmp_path: Path, unwatched: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = override(unwatched, minutes=0.5)
    whole = train(clips, tmp_path / "whole", config=config, reporter=Clock(monkeypatch))
    with pytest.raises(KilledError):
        train(clips, tmp_path / "run", config=config, reporter=Clock(monkeypatch, until=13))
    resumed = train(out=tmp_path / "run", resume=True, reporter=Clock(monkeypatch))
    assert (resumed.steps, resumed.ended) == (whole.steps, "time")
    assert same(whole, resumed)


def test_a_run_that_was_stopped_says_so(clips: Path, tmp_path: Path, tiny: TrainConfig) -> None:
    with pytest.raises(TrainingInterrupted):
        train(clips, tmp_path / "run", config=tiny, reporter=StopsAt(4))
    state = run_state(tmp_path / "run")
    assert (state, str(state)) == (RunState(1, 2, False, "interrupted"), "1 of 2 epochs, interrupted")
    train(out=tmp_path / "run", resume=True, reporter=SilentReporter())
    assert run_state(tmp_path / "run") == RunState(2, 2, True, "finished")


def test_a_signal_in_the_last_validation_does_not_make_a_run_complete_without_it(
    clips: Path, tmp_path: Path, tiny: TrainConfig
) -> None:
    class StopsInTheLast(SilentReporter):
        steps = 0

        def step(self, step: int, text: str) -> None:
            self.steps = step

        def validating(self, done: int, total: int) -> None:
            if self.steps == 6:
                signal.raise_signal(signal.SIGTERM)

    whole = train(clips, tmp_path / "whole", config=tiny, reporter=SilentReporter())
    with pytest.raises(TrainingInterrupted):
        train(clips, tmp_path / "run", config=tiny, reporter=StopsInTheLast())
    assert run_state(tmp_path / "run").finished is False
    resumed = train(out=tmp_path / "run", resume=True, reporter=SilentReporter())
    assert resumed.best == whole.best
    assert [event["epoch"] for event in read_events(tmp_path / "run" / "metrics.jsonl", "validation")] == [1, 2]
    assert same(whole, resumed)


def test_the_result_is_one_line(clips: Path, tmp_path: Path, tiny: TrainConfig) -> None:
    result = train(clips, tmp_path / "run", config=override(tiny, epochs=1), reporter=SilentReporter())
    assert repr(result).startswith(f"TrainResult({str(tmp_path / 'run')!r}, 3 steps, finished, best top-1 ")
    assert "\n" not in repr(replace(result, num_failures=2))
