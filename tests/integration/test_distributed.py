"""Several processes do what one would have done: trainings with DDP and FSDP2, their checkpoints, evaluations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tiny
from integration.processes import evaluation, fails, pretraining, together, training
from tubelet.config import (
    DataConfig,
    MaskingConfig,
    OptimisationConfig,
    PretrainConfig,
    RuntimeConfig,
    TrainConfig,
    override,
    to_dict,
)
from tubelet.training import read_events
from tubelet.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.timeout(900)

PLAIN = tiny.train_config(
    {"drop_path": 0.0, "dropout": 0.0},
    cache="memory",
    cache_gigabytes=0.01,
    fractions={"train": 0.75, "val": 0.25},
    flip=0.5,
    warmup_epochs=None,
    optimiser="sgd",
    epochs=4,
    batch_size=6,
    learning_rate=0.02,
    clip_norm=0.5,
    ema_decay=0.9,
    accumulate_steps=4,
    class_weights="balanced",
    validate_every=4,
    seed=3,
)
MIXED = override(PLAIN, mixup=0.3, label_smoothing=0.1)
STEPS = 8
"""13 clips in batches of 6: each epoch's last one has 7, and the second process nothing in one of their 4 parts."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 videos of noise, of three classes."""
    return tiny.write_noise(tmp_path_factory.mktemp("clips"), {"a": 8, "b": 6, "c": 4})


@pytest.fixture(scope="module")
def damaged(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with two videos that cannot be read."""
    root = tmp_path_factory.mktemp("damaged")
    for video in clips.rglob("*.mp4"):
        (root / video.parent.name).mkdir(exist_ok=True)
        broken = video.name in ("1.mp4", "3.mp4") and video.parent.name == "a"
        (root / video.parent.name / video.name).write_bytes(b"no video" if broken else video.read_bytes())
    return root


def run(size: int, data: Path, out: Path, config: TrainConfig, stop: int | None = None, **fields: Any) -> Path:
    """Train in so many processes, or go on."""
    outcomes = together(size, training, data, out, json.dumps(to_dict(config)), fields, stop)
    assert [kind for kind, _ in outcomes] == ["ok"] * size, outcomes
    return out


@pytest.fixture(scope="module")
def alone(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(1, clips, tmp_path_factory.mktemp("alone") / "run", MIXED)


def losses(out: Path) -> list[float]:
    return [event["loss"] for event in read_events(out / "metrics.jsonl", "train")]


def assert_alike(out: Path, other: Path, tolerance: float = 1e-5) -> None:
    """The same losses, validation and delivered weights, which are the averaged ones, and those that are trained."""
    assert losses(out) == pytest.approx(losses(other), abs=tolerance)
    assert len(losses(out)) == STEPS
    ours, theirs = (read_events(folder / "metrics.jsonl", "validation") for folder in (out, other))
    assert [event["top1"] for event in ours] == [event["top1"] for event in theirs]
    files = ["model.safetensors"]
    files += ["checkpoints/last/model.safetensors"] if (out / "checkpoints/last/model.safetensors").exists() else []
    for file in files:
        weights, expected = load_file(out / file), load_file(other / file)
        assert weights.keys() == expected.keys()
        furthest = max((value - expected[name]).abs().max().item() for name, value in weights.items())
        assert furthest <= tolerance, f"{file}: {furthest}"


def test_ddp_on_two_processes_is_one_process_with_the_same_batch(clips: Path, tmp_path: Path, alone: Path) -> None:
    out = run(2, clips, tmp_path / "run", MIXED)
    assert_alike(out, alone)
    assert json.loads((out / "run.json").read_text())["environment"]["processes"] == 2


@pytest.mark.slow
def test_fsdp_on_two_processes_is_one_process_with_the_same_batch(clips: Path, tmp_path: Path, alone: Path) -> None:
    assert_alike(run(2, clips, tmp_path / "run", MIXED, strategy="fsdp"), alone)


@pytest.mark.parametrize(
    ("strategy", "parts"), [("ddp", 1), ("ddp", 3), pytest.param("fsdp", 1, marks=pytest.mark.slow)]
)
def test_batch_norm_is_that_of_the_whole_batch(clips: Path, tmp_path: Path, strategy: str, parts: int) -> None:
    config = override(MIXED, accumulate_steps=1, epochs=4, warmup_epochs=0, model={"head_norm": "batch"})
    one = run(1, clips, tmp_path / "one", config)
    two = run(2, clips, tmp_path / "two", override(config, accumulate_steps=parts), strategy=strategy)
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    for file in ("model.safetensors", "checkpoints/last/model.safetensors"):
        if (two / file).exists():
            weights, expected = load_file(two / file), load_file(one / file)
            assert "head_norm.running_var" in weights
            for name, value in weights.items():
                torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_clips_that_cannot_be_read_change_the_mean_as_in_one_process(
    damaged: Path, tmp_path: Path, strategy: str
) -> None:
    config = override(PLAIN, optimiser="adamw", learning_rate=1e-3, epochs=7, accumulate_steps=3)
    one = run(1, damaged, tmp_path / "one", config)
    two = run(2, damaged, tmp_path / "two", config, strategy=strategy)
    assert losses(two) == pytest.approx(losses(one), abs=1e-5)
    named = [
        {json.loads(line)["path"] for line in (out / "failures.jsonl").read_text().splitlines()} for out in (one, two)
    ]
    assert named[0] == named[1] != set()


def test_an_fsdp_run_that_was_stopped_goes_on_in_one_process(clips: Path, tmp_path: Path, alone: Path) -> None:
    out = run(2, clips, tmp_path / "run", MIXED, stop=5, strategy="fsdp")
    assert load_checkpoint(out / "checkpoints" / "last").sharded, "the processes wrote a part each"
    assert len(losses(out)) == 5, "a signal to one process stops all before the same step"
    assert_alike(run(1, clips, out, MIXED), alone)


@pytest.mark.slow
def test_an_fsdp_run_that_was_stopped_ends_as_if_it_had_not_been(clips: Path, tmp_path: Path) -> None:
    whole = run(2, clips, tmp_path / "whole", MIXED, strategy="fsdp")
    out = run(2, clips, tmp_path / "run", MIXED, stop=5, strategy="fsdp")
    assert_alike(run(2, clips, out, MIXED), whole, tolerance=0.0)


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_in_two_with_either_strategy(clips: Path, tmp_path: Path, alone: Path) -> None:
    for strategy in ("ddp", "fsdp"):
        out = run(1, clips, tmp_path / strategy, MIXED, stop=5)
        assert_alike(run(2, clips, out, MIXED, strategy=strategy), alone)


@pytest.mark.slow
def test_a_ddp_run_that_was_stopped_ends_as_if_it_had_not_been(clips: Path, tmp_path: Path) -> None:
    whole = run(2, clips, tmp_path / "whole", MIXED)
    out = run(2, clips, tmp_path / "run", MIXED, stop=5)
    assert_alike(run(2, clips, out, MIXED), whole, tolerance=0.0)


def test_an_evaluation_is_the_same_in_any_number_of_processes(damaged: Path, tmp_path: Path, alone: Path) -> None:
    for size, workers in ((1, 0), (2, 0), (3, 0), (2, 1)):
        outcomes = together(size, evaluation, alone, damaged, tmp_path / f"{size}{workers}", workers)
        assert [kind for kind, _ in outcomes] == ["ok"] * size, outcomes
    predictions = {(folder / "predictions.jsonl").read_bytes() for folder in tmp_path.iterdir()}
    figures = [json.loads((folder / "evaluation.json").read_text()) for folder in tmp_path.iterdir()]
    assert len(predictions) == 1
    assert len({json.dumps({**figure, "seconds": 0, "date": ""}) for figure in figures}) == 1
    assert len(figures[0]["failures"]) == 2


def test_the_process_that_fails_reports_it_and_the_others_point_to_it() -> None:
    assert together(2, fails, 1, False) == [
        ("PeerFailedError", "process 1 of 2 failed: ValueError: out of luck"),
        ("ValueError", "out of luck"),
    ]


def test_a_process_that_is_killed_ends_the_others() -> None:
    (kind, message), (how, code) = together(2, fails, 1, True)
    assert (how, code) == ("ended", 9)
    assert kind == "LostProcessError"
    assert "connection to another process broke" in message


def test_a_loss_that_is_no_number_ends_all_with_one_error_that_names_every_video(clips: Path, tmp_path: Path) -> None:
    config = override(PLAIN, learning_rate=1e30, clip_norm=None, warmup_epochs=0)
    first, second = together(2, training, clips, tmp_path / "run", json.dumps(to_dict(config)), {})
    assert first[0] == "DivergedError"
    assert second == ("PeerFailedError", first[1])
    (event,) = read_events(tmp_path / "run" / "metrics.jsonl", "diverged")
    assert len(event["videos"]) == 7, "all thirteen videos are in two batches of six and seven"


@pytest.mark.slow
def test_a_batch_that_leaves_a_process_without_clips_is_refused(clips: Path, tmp_path: Path) -> None:
    outcomes = together(2, training, clips, tmp_path / "run", json.dumps(to_dict(MIXED)), {"batch_size": 3})
    assert sorted(kind for kind, _ in outcomes) == ["ConfigError", "ConfigError"] or "PeerFailedError" in dict(outcomes)
    assert any("two clips in each; use at least 4" in message for _, message in outcomes)
    assert not (tmp_path / "run").exists()


MASKED = PretrainConfig(
    preset=PLAIN.preset,
    model={name: value for name, value in PLAIN.model.items() if name not in ("drop_path", "dropout")},
    preprocessing=PLAIN.preprocessing,
    data=DataConfig(workers=0, cache="memory", cache_gigabytes=0.01),
    augmentation=PLAIN.augmentation,
    optimisation=OptimisationConfig(optimiser="sgd", epochs=3, batch_size=8, learning_rate=0.1, warmup_epochs=0.5),
    masking=MaskingConfig(mask_ratio=0.5, time_mask_ratio=0.5, decoder_layers=1, decoder_heads=2),
    runtime=RuntimeConfig(device="cpu"),
    seed=3,
)


def pretrained(size: int, data: Path, out: Path, stop: int | None = None, **fields: Any) -> Path:
    """Pretrain in so many processes, or go on."""
    outcomes = together(size, pretraining, data, out, json.dumps(to_dict(MASKED)), fields, stop)
    assert [kind for kind, _ in outcomes] == ["ok"] * size, outcomes
    return out


@pytest.fixture(scope="module")
def pretrained_alone(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In one process, with the batch of two."""
    return pretrained(1, clips, tmp_path_factory.mktemp("pretrained") / "run")


def assert_same_pretraining(out: Path, other: Path, tolerance: float = 1e-5) -> None:
    assert losses(out) == pytest.approx(losses(other), abs=tolerance)
    files = ["model.safetensors"]
    files += ["checkpoints/last/model.safetensors"] if (out / "checkpoints/last/model.safetensors").exists() else []
    for file in files:
        weights, expected = load_file(out / file), load_file(other / file)
        assert weights.keys() == expected.keys()
        furthest = max((value - expected[name]).abs().max().item() for name, value in weights.items())
        assert furthest <= tolerance, f"{file}: {furthest}"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"accumulate_steps": 3, "activation_checkpointing": True},
        pytest.param({"strategy": "fsdp"}, marks=pytest.mark.slow),
    ],
    ids=["ddp", "ddp in parts", "fsdp"],
)
def test_pretraining_in_two_processes_is_one_process_with_the_doubled_batch(
    clips: Path, tmp_path: Path, pretrained_alone: Path, fields: dict[str, Any]
) -> None:
    out = pretrained(2, clips, tmp_path / "run", **fields)
    assert_same_pretraining(out, pretrained_alone)
    assert (out / "reconstructions.png").is_file()
    assert json.loads((out / "run.json").read_text())["environment"]["processes"] == 2


def test_a_pretraining_in_two_processes_that_was_stopped_ends_as_if_it_had_not_been(
    clips: Path, tmp_path: Path, pretrained_alone: Path
) -> None:
    out = pretrained(2, clips, tmp_path / "run", stop=4)
    assert len(losses(out)) == 4
    assert_same_pretraining(pretrained(2, clips, out), pretrained_alone)
