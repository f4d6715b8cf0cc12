"""A training that is killed, or asked to stop, and resumed ends as if nothing had happened: the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tiny
import tubelet
from tubelet.training import SilentReporter, read_events, train
from tubelet.training.checkpoint import load_checkpoint

SOURCE = Path(tubelet.__file__).parents[1]
STEPS = 36

CONFIG = tiny.train_config(
    {"drop_path": 0.2, "dropout": 0.1},
    fractions={"train": 0.75, "val": 0.25},
    flip=0.5,
    warmup_epochs=None,
    mixup=0.2,
    cutmix=0.5,
    erase=0.3,
    label_smoothing=0.1,
    epochs=12,
    ema_decay=0.9,
    accumulate_steps=2,
    class_weights="balanced",
    validate_every=2,
    checkpoint_steps=2,
    seed=3,
)

CHILD = """
import json, sys, torch
from tubelet.config import TrainConfig, from_dict
from tubelet.training import SilentReporter, TrainingInterrupted, train
torch.set_num_threads(1)
data, out, config, resume = sys.argv[1:]
try:
    if resume == "resume":
        train(out=out, resume=True, reporter=SilentReporter())
    else:
        train(data, out, config=from_dict(TrainConfig, json.loads(config)), reporter=SilentReporter())
except TrainingInterrupted as interrupted:
    print(interrupted)
    sys.exit(128 + interrupted.signal_number)
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of four videos of noise."""
    return tiny.write_noise(tmp_path_factory.mktemp("clips"), {"a": 4, "b": 4, "c": 4})


@pytest.fixture(scope="module")
def undisturbed(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody stopped."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    train(clips, out, config=CONFIG, reporter=SilentReporter())
    assert len(read_events(out / "metrics.jsonl", "train")) == STEPS
    return out


def start(clips: Path, out: Path) -> subprocess.Popen[str]:
    """A process that begins the training, or goes on with it if its folder is there."""
    config = json.dumps(tubelet.config.to_dict(CONFIG))
    words = [str(clips), str(out), config, "resume" if out.exists() else "start"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_step(process: subprocess.Popen[str], out: Path, step: int) -> None:
    """Until so many steps are logged, or the process ended."""
    metrics = out / "metrics.jsonl"
    while process.poll() is None:
        if metrics.exists() and metrics.read_bytes().count(b'"train"') >= step:
            return
        time.sleep(0.001)


def finish(clips: Path, out: Path) -> None:
    process = start(clips, out)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def comparable(folder: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    timed = ("clips_per_second", "data_wait_share", "seconds")
    return [
        {key: value for key, value in event.items() if key not in timed}
        for event in read_events(folder / "metrics.jsonl")
    ]


def assert_same_end(out: Path, undisturbed: Path) -> None:
    for file in ("model.safetensors", "checkpoints/last/model.safetensors", "checkpoints/best/model.safetensors"):
        ours, theirs = load_file(out / file), load_file(undisturbed / file)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items()), file
    ours, theirs = (load_checkpoint(folder / "checkpoints" / "last").state for folder in (out, undisturbed))
    assert ours["position"] == theirs["position"]
    assert all(torch.equal(value, theirs["average"][name]) for name, value in ours["average"].items())
    for key, moments in theirs["optimiser"]["state"].items():
        assert all(torch.equal(ours["optimiser"]["state"][key][name], value) for name, value in moments.items())
    assert comparable(out) == comparable(undisturbed)


def kill_and_resume(clips: Path, out: Path, kills: int, draws: random.Random) -> list[int]:
    """Kill the training `kills` times, at moments that are spread over it; the steps that were logged at each kill."""
    moments = []
    for number in range(kills):
        process = start(clips, out)
        wait_for_step(process, out, STEPS * number // kills + draws.randrange(STEPS // kills + 1))
        time.sleep(draws.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (out / "run.json").exists():
            load_checkpoint(out / "checkpoints" / "last")
            moments.append(len(read_events(out / "metrics.jsonl", "train")))
    finish(clips, out)
    return moments


def test_killed_twice_and_resumed_it_ends_bit_identical(clips: Path, tmp_path: Path, undisturbed: Path) -> None:
    moments = kill_and_resume(clips, tmp_path / "run", 2, random.Random())
    assert any(0 < step < STEPS for step in moments), moments
    assert_same_end(tmp_path / "run", undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_twenty_times_and_resumed_it_ends_bit_identical(clips: Path, tmp_path: Path, undisturbed: Path) -> None:
    kill_and_resume(clips, tmp_path / "run", 20, random.Random())
    assert_same_end(tmp_path / "run", undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_asked_to_stop_it_writes_a_checkpoint_of_the_very_step_and_says_how_to_go_on(
    clips: Path, tmp_path: Path, undisturbed: Path, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    process = start(clips, out)
    wait_for_step(process, out, 7)
    process.send_signal(number)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert f"--resume --out {out}" in said
    steps = len(read_events(out / "metrics.jsonl", "train"))
    assert load_checkpoint(out / "checkpoints" / "last").state["position"]["step"] == steps
    tubelet.load(out)  # what there is can be used
    finish(clips, out)
    assert_same_end(out, undisturbed)


def test_a_resumed_run_may_change_where_it_runs_but_not_what_it_learns(
    clips: Path, tmp_path: Path, undisturbed: Path
) -> None:
    out = tmp_path / "run"
    train(clips, out, config=CONFIG, reporter=SilentReporter())
    before = (out / "metrics.jsonl").read_bytes()
    for fields, named in (({"learning_rate": 0.1}, "optimisation.learning_rate"), ({"seed": 4}, "seed")):
        with pytest.raises(tubelet.ConfigError, match=f"{named} was .* cannot become"):
            train(out=out, resume=True, reporter=SilentReporter(), **fields)
    with pytest.raises(tubelet.ConfigError, match=r"data\.source was"):
        train(tmp_path, out, resume=True, reporter=SilentReporter())
    assert (out / "metrics.jsonl").read_bytes() == before
    train(clips, out, config=CONFIG, resume=True, reporter=SilentReporter(), workers=1, cache="memory")
    assert_same_end(out, undisturbed)


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(tubelet.ConfigError, match="no run to resume"):
        train(out=tmp_path / "run", resume=True, reporter=SilentReporter())
