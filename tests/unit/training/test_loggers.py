"""TensorBoard and trackers: the figures of a run are there, each once, however often the run was killed and resumed."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from reporters import KilledAt, KilledError
from tubelet.config import TrainConfig, override
from tubelet.errors import ConfigError
from tubelet.training import SilentReporter, read_events, train


def killed_and_resumed(clips: Path, out: Path, config: TrainConfig) -> None:
    """Checkpoints after steps 2 and 4, killed after 3 and after 5."""
    config = override(config, checkpoint_steps=2)
    with pytest.raises(KilledError):
        train(clips, out, config=config, reporter=KilledAt(3))
    with pytest.raises(KilledError):
        train(out=out, resume=True, reporter=KilledAt(5))
    train(out=out, resume=True, reporter=SilentReporter())


def expected_of(out: Path) -> dict[str, list[tuple[int, float]]]:
    """Step and value of some figures, as `metrics.jsonl` has them."""
    found: dict[str, list[tuple[int, float]]] = {}
    for event, name in (("train", "loss"), ("train", "gradient_norm"), ("validation", "top1")):
        rows = read_events(out / "metrics.jsonl", event)
        found[f"{event}/{name}"] = [(row["step"], row[name]) for row in rows]
    assert [step for step, _ in found["train/loss"]] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in found["validation/top1"]] == [3, 6]
    return found


def test_tensorboard_has_each_point_once_after_kills(clips: Path, tmp_path: Path, tiny: TrainConfig) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out = tmp_path / "run"
    killed_and_resumed(clips, out, override(tiny, log=("tensorboard",)))
    shown = accumulator.EventAccumulator(str(out / "tensorboard"))
    shown.Reload()
    for name, points in expected_of(out).items():
        assert [(point.step, point.value) for point in shown.Scalars(name)] == [
            (step, pytest.approx(value, rel=1e-6)) for step, value in points
        ]


def test_tensorboard_switched_on_late_shows_the_run_from_its_beginning(
    clips: Path, tmp_path: Path, tiny: TrainConfig
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out = tmp_path / "run"
    with pytest.raises(KilledError):
        train(clips, out, config=override(tiny, checkpoint_steps=2), reporter=KilledAt(4))
    train(out=out, resume=True, log=("tensorboard",), reporter=SilentReporter())
    shown = accumulator.EventAccumulator(str(out / "tensorboard"))
    shown.Reload()
    assert [point.step for point in shown.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]


class StandIn(types.ModuleType):
    """A module with the functions that wandb and trackio share; keeps what it is told."""

    def __init__(self, name: str, knows_ids: bool) -> None:
        super().__init__(name)
        self.started: list[dict[str, Any]] = []
        self.points: list[tuple[str, int, float]] = []
        self.finished = 0
        if knows_ids:
            self.init = lambda project=None, name=None, id=None, config=None, resume=None: self._start(
                project=project, name=name, id=id, config=config, resume=resume
            )
        else:
            self.init = lambda project, name=None, config=None, resume="never": self._start(
                project=project, name=name, config=config, resume=resume
            )

    def _start(self, **fields: Any) -> None:
        self.started.append(fields)

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.points += [(name, step, value) for name, value in metrics.items()]

    def finish(self) -> None:
        self.finished += 1


@pytest.mark.parametrize(("name", "knows_ids"), [("wandb", True), ("trackio", False)])
def test_a_tracker_gets_each_point_once_and_the_same_run_after_kills(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch, name: str, knows_ids: bool
) -> None:
    module = StandIn(name, knows_ids)
    module.__spec__ = types.SimpleNamespace(name=name, origin="here")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, name, module)
    out = tmp_path / "run"
    killed_and_resumed(clips, out, override(tiny, log=(name,), log_project="bars"))
    for figure, points in expected_of(out).items():
        assert [(step, value) for which, step, value in module.points if which == figure] == points
    steps = [step for _, step, _ in module.points]
    assert steps == sorted(steps)  # wandb takes no step that is before one it has
    assert module.finished == len(module.started) == 3
    assert len({(start["name"], start.get("id"), start["project"]) for start in module.started}) == 1
    assert module.started[0]["project"] == "bars"
    assert module.started[0]["config"]["optimisation"]["batch_size"] == 3
    assert all(start["resume"] == "allow" for start in module.started)


def test_a_place_that_is_not_installed_is_an_error_with_the_command_before_anything_is_written(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="log='trackio' needs trackio, which is not installed: pip install trackio"):
        train(clips, tmp_path / "run", config=override(tiny, log=("trackio",)), reporter=SilentReporter())
    assert not (tmp_path / "run").exists()
    (tmp_path / "trackio").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="pip install trackio"):
        train(clips, tmp_path / "run", config=override(tiny, log=("trackio",)), reporter=SilentReporter())
