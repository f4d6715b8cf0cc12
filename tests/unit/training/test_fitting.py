"""`batch_size="auto"`: how many parts, what it changes (nothing that is learned), and what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tubelet
from reporters import Told
from tubelet.config import PretrainConfig, TrainConfig, override, train_config
from tubelet.data import read_configured
from tubelet.errors import ConfigError
from tubelet.training import SilentReporter, fitting, read_events, train
from tubelet.training.memory import available_memory, peak_memory
from tubelet.training.model import build_model
from tubelet.training.splits import divide
from tubelet.training.supervised import SupervisedTask


def test_the_peak_is_the_most_that_is_alive_at_once() -> None:
    def one_after_the_other() -> None:
        for _ in range(3):
            torch.ones(1000, dtype=torch.uint8).add_(1)

    def together() -> None:
        kept = [torch.ones(1000, dtype=torch.uint8) for _ in range(3)]
        assert kept[0][:10].sum() == 10  # a view takes nothing, a sum eight bytes

    assert peak_memory(one_after_the_other) == 1000
    assert peak_memory(together) == pytest.approx(3000, abs=40)


@pytest.mark.parametrize("budget", [1.2e6, 3e6, 9e6])
def test_the_largest_number_fits_one_more_does_not_and_none_is_tried_that_would_not(budget: float) -> None:
    fields = {"num_frames": 8, "image_size": 32, "tubelet_size": (2, 8, 8), "hidden_size": 48, "num_layers": 3}
    plain = tubelet.create("vivit_tiny_16x2", num_classes=5, num_heads=3, mlp_dim=192, **fields).train()
    model = tubelet.optimise(plain, training=True)
    measured: list[int] = []

    def peak(clips: int) -> int:
        model.zero_grad(set_to_none=True)
        measured.append(peak_memory(lambda: model(torch.zeros(clips, 8, 3, 32, 32)).sum().backward()))
        return measured[-1]

    clips, _ = fitting.largest_within(budget, 64, peak)
    assert max(measured) <= budget
    assert peak(clips) <= 1.05 * budget
    assert peak(clips + 1) > 0.95 * budget
    activations = clips * 4 * 16 * 3 * 192 * 4  # the output of the widest layers alone
    assert peak(clips) > activations


def test_one_clip_that_is_too_large_and_a_batch_that_is_small() -> None:
    assert fitting.largest_within(99.0, 8, lambda clips: 100 * clips)[0] == 0
    assert fitting.largest_within(1e9, 5, lambda clips: 100 * clips)[0] == 5
    assert fitting.largest_within(450.0, 8, lambda clips: 100 * clips) == (4, 100)


def test_there_is_some_memory_and_not_more_than_the_machine_has() -> None:
    assert 2**20 < available_memory() < 2**50


@pytest.mark.parametrize(("free", "parts"), [(1e12, 1), (7.5e6, 2)])
def test_parts_follow_the_memory_and_what_is_learned_does_not(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch, free: float, parts: int
) -> None:
    config = override(tiny, model={"drop_path": 0.0, "dropout": 0.0}, epochs=1, batch_size=5)
    train(clips, tmp_path / "plain", config=config, reporter=SilentReporter())
    told = Told()
    monkeypatch.setattr(fitting, "available_memory", lambda: int(free))
    monkeypatch.setattr(fitting, "_pass", lambda trainer, clips: clips)
    monkeypatch.setattr(fitting, "peak_memory", lambda clips: 1_000_000 + 1_500_000 * clips)
    train(clips, tmp_path / "auto", config=config, batch_size="auto", reporter=told)
    stored = json.loads((tmp_path / "auto" / "run.json").read_text())["config"]["optimisation"]
    assert (stored["batch_size"], stored["accumulate_steps"]) == (5, parts)
    (line,) = (text for text in told.messages if "batch_size=auto" in text)
    assert "batches stay 5 clips" in line
    assert ("in one part" if parts == 1 else "in 2 parts of at most 3") in line
    plain, auto = (
        [event["loss"] for event in read_events(tmp_path / name / "metrics.jsonl", "train")]
        for name in ("plain", "auto")
    )
    assert auto == pytest.approx(plain, abs=1e-5)


def test_a_resumed_run_keeps_the_choice(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "available_memory", lambda: 2**40)
    train(clips, tmp_path / "run", config=override(tiny, epochs=1), batch_size="auto", reporter=SilentReporter())
    monkeypatch.setattr(fitting, "available_memory", lambda: 0)
    train(out=tmp_path / "run", resume=True, batch_size="auto", reporter=SilentReporter())
    with pytest.raises(ConfigError, match="not even one clip fits"):
        train(clips, tmp_path / "other", config=tiny, batch_size="auto", reporter=SilentReporter())
    assert not (tmp_path / "other").exists()


def test_trying_leaves_no_trace(clips: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the statistics of the BatchNorms nor in torch's generator, though clips go through in training."""
    model = {"embedding": "conv_stem", "head_norm": "batch"}
    config = override(tiny, model=model, batch_size=5)
    table = divide(read_configured(replace(config.data, source=str(clips))), config)
    built, _ = build_model(config, table.table)
    task = SupervisedTask.of(built, table.table, config)
    before = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    generator, modes = torch.get_rng_state(), [module.training for module in task.model.modules()]
    passes: list[int] = []
    real = fitting._pass
    monkeypatch.setattr(fitting, "available_memory", lambda: 2**40)
    monkeypatch.setattr(fitting, "_pass", lambda task, clips: passes.append(clips) or real(task, clips))
    assert fitting.fitting(task).accumulate_steps == 1
    assert passes == [1, 2, 4, 5]
    after = task.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert [module.training for module in task.model.modules()] == modes
    assert all(parameter.grad is None for parameter in task.model.parameters())


def test_a_file_and_a_field_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[optimisation]\nbatch_size = "auto"\nepochs = 3\n')
    from_file, plain = train_config("small-data", tmp_path / "own.toml"), train_config("small-data", epochs=3)
    assert from_file.optimisation == override(plain, batch_size="auto").optimisation
    assert from_file.optimisation.fit_memory
    assert from_file.optimisation.batch_size == plain.optimisation.batch_size
    with pytest.raises(ConfigError, match="give accumulate_steps a number"):
        override(PretrainConfig(preset="vivit_tiny_16x2_fe"), batch_size="auto")
