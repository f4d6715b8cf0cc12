"""What is seen of steps: how far they move the weights, and which are out of line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import tubelet.training.monitor as watch_module
from reporters import Told
from tubelet.config import MonitoringConfig, TrainConfig, override
from tubelet.errors import ConfigError
from tubelet.report import write_report
from tubelet.training import SilentReporter, SpikeError, read_events, train
from tubelet.training.monitor import ENOUGH, StepMonitor
from tubelet.training.step import StepResult, TrainingStep


def watch_of(*weights: torch.Tensor, rate: float = 0.1, **settings: Any) -> tuple[torch.optim.Optimizer, StepMonitor]:
    optimiser = torch.optim.SGD([torch.nn.Parameter(tensor) for tensor in weights], lr=rate)
    return optimiser, StepMonitor(optimiser, MonitoringConfig(**settings))


def test_the_update_ratio_is_the_norm_of_the_change_over_the_norm_of_the_weights() -> None:
    optimiser, watch = watch_of(torch.tensor([3.0, 0.0]), torch.tensor([[4.0]]), update_ratio_steps=2)
    first, second = optimiser.param_groups[0]["params"]
    ratios = []
    for step in range(1, 5):
        first.grad, second.grad = torch.tensor([0.0, 6.0]), torch.tensor([[8.0]])
        watch.begin(step)
        before = torch.cat([first.detach().flatten(), second.detach().flatten()]).norm().item()
        optimiser.step()
        ratios.append((watch.update_ratio, 0.1 * 10 / before))
    measured = [ratio for ratio, _ in ratios]
    assert [ratio is None for ratio in measured] == [True, False, True, False]
    for ratio, expected in ratios[1::2]:
        assert ratio == pytest.approx(expected, rel=1e-6)


def result(loss: float, norm: float = 1.0) -> StepResult:
    return StepResult(loss, norm, 1e-3)


def test_a_figure_far_above_the_usual_is_a_spike_and_a_slow_rise_or_a_fall_is_none() -> None:
    _, watch = watch_of(torch.ones(1))
    wobble = [1.0, 1.1, 0.9, 1.05, 0.95]
    for step in range(3 * ENOUGH):
        assert watch.spikes(result(wobble[step % 5] * 1.005**step, wobble[step % 3])) == []
    (spike,) = watch.spikes(result(50.0))
    assert (spike.what, spike.value) == ("loss", 50.0)
    assert 1.0 < spike.usual < 1.7
    (spike,) = watch.spikes(result(1.6, 40.0))
    assert spike.what == "gradient norm"
    assert watch.spikes(result(1e-6, 1e-6)) == []


def test_few_steps_say_nothing_about_what_is_usual_and_none_looks_for_nothing() -> None:
    _, watch = watch_of(torch.ones(1))
    for _ in range(ENOUGH - 1):
        watch.spikes(result(1.0))
    assert watch.spikes(result(1000.0)) == []
    _, blind = watch_of(torch.ones(1), spike_deviations=None)
    for _ in range(2 * ENOUGH):
        blind.spikes(result(1.0))
    assert blind.spikes(result(1000.0)) == []


def test_after_a_resume_the_same_steps_are_out_of_line() -> None:
    _, watch = watch_of(torch.ones(1))
    for step in range(ENOUGH):
        watch.spikes(result(1.0 + 0.01 * step))
    _, resumed = watch_of(torch.ones(1))
    resumed.load_state_dict(json.loads(json.dumps(watch.state_dict())))
    assert resumed.spikes(result(9.0)) == watch.spikes(result(9.0)) != []


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"update_ratio_steps": -1}, "0 \\(never\\) or more"),
        ({"spike_deviations": 0.0}, "leave it out"),
        ({"log": ("wandb", "wandb")}, "twice"),
        ({"log": ("tensorbord",)}, "'tensorboard'"),
    ],
)
def test_settings_that_cannot_be_meant_are_errors(fields: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        MonitoringConfig(**fields)


@pytest.fixture
def spiky(monkeypatch: pytest.MonkeyPatch) -> int:
    """Step 5's gradient norm is made up to be huge, and two steps are enough to know what is usual."""
    monkeypatch.setattr("tubelet.training.monitor.ENOUGH", 2)
    real, calls = TrainingStep.run, 0

    def step(*inputs: Any) -> StepResult:
        nonlocal calls
        calls += 1
        made = real(*inputs)
        return StepResult(made.loss, 1e6, made.learning_rate) if calls == 5 else made

    monkeypatch.setattr(TrainingStep, "run", step)
    return 5


def test_a_spike_is_written_down_told_and_shown_on_the_page(
    clips: Path, tmp_path: Path, tiny: TrainConfig, spiky: int
) -> None:
    told = Told()
    config = override(tiny, update_ratio_steps=2)
    train(clips, tmp_path / "run", config=config, reporter=told)
    (event,) = read_events(tmp_path / "run" / "metrics.jsonl", "spike")
    assert (event["step"], event["what"], event["value"]) == (spiky, "gradient norm", 1e6)
    assert len(event["videos"]) == 3
    (message,) = [message for message in told.messages if "spike" in message]
    assert message.startswith("1 of 6 steps had a spike, the largest at step 5: gradient norm 1e+06, where ")
    assert message.endswith("metrics.jsonl has each with its videos")
    steps = read_events(tmp_path / "run" / "metrics.jsonl", "train")
    assert [step["step"] for step in steps if "update_ratio" in step] == [2, 4, 6]
    assert all(0 < step["update_ratio"] < 0.1 for step in steps[1::2])
    page = write_report(tmp_path / "run").read_text()
    assert all(Path(path).name in page for path in event["videos"])
    for words in ("Spikes", "gradient norm 1e+06", "Gradient norm", "Relative change of weights"):
        assert words in page


def test_spikes_are_counted_in_one_line_at_the_end(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module.StepMonitor, "spikes", _always)
    told = Told()
    train(clips, tmp_path / "run", config=tiny, reporter=told)
    (line,) = [message for message in told.messages if "spike" in message]
    assert line.startswith("6 of 6 steps had a spike, the largest at step ")
    assert len(read_events(tmp_path / "run" / "metrics.jsonl", "spike")) == 6


def _always(watch: StepMonitor, result: StepResult) -> list[watch_module.Spike]:
    watch.spike_steps += 1
    return [watch_module.Spike("loss", 9.0, 1.0)]


def test_a_spike_may_stop_the_training_with_the_checkpoint_from_before(
    clips: Path, tmp_path: Path, tiny: TrainConfig, spiky: int
) -> None:
    with pytest.raises(SpikeError, match=r"spike at step 5.*gradient norm.*on_spike='warn'.*\.mp4"):
        train(clips, tmp_path / "run", config=override(tiny, on_spike="stop"), reporter=SilentReporter())
    resumed = train(out=tmp_path / "run", resume=True, on_spike="log", reporter=SilentReporter())
    undisturbed = train(clips, tmp_path / "other", config=tiny, reporter=SilentReporter())
    for one, other in zip(resumed.model.parameters(), undisturbed.model.parameters(), strict=True):
        assert torch.equal(one, other)
