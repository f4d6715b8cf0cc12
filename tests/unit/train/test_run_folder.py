"""What a run folder is like: modes, places it can be in, and what becomes of it where the machine refuses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from reporters import KilledAt, KilledError, Told
from tubelet.config import TrainConfig, override
from tubelet.errors import StorageError
from tubelet.train import SilentReporter, train
from tubelet.train import checkpoint as checkpoint_module
from tubelet.train import trainer as trainer_module
from tubelet.train.run_folder import RunFolder
from tubelet.weights import load


@pytest.fixture(params=[0o022, 0o007])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_every_file_of_a_run_may_be_read_by_whom_the_umask_lets(
    clips: Path, tmp_path: Path, tiny: TrainConfig, umask: int
) -> None:
    train(clips, tmp_path / "run", config=override(tiny, epochs=1), reporter=SilentReporter())
    files = [file for file in (tmp_path / "run").rglob("*") if file.is_file()]
    assert {file.name for file in files} >= {"model.safetensors", "state.pt", "config.json", "run.json"}
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in files} == {
        file.name: oct(0o666 & ~umask) for file in files
    }


def test_the_present_folder_can_be_a_run_if_it_is_empty(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train(clips, ".", config=override(tiny, epochs=1), reporter=SilentReporter())
    assert load(tmp_path).config.num_layers == 2
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("place", "reason"), [("file/run", "is a file"), ("x" * 300, "too long")])
def test_a_place_that_cannot_be_is_an_error_of_one_line(
    clips: Path, tmp_path: Path, tiny: TrainConfig, place: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=reason) as raised:
        train(clips, tmp_path / place, config=tiny, reporter=SilentReporter())
    assert str(tmp_path) in str(raised.value)
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("good", [0, 1])
def test_a_full_disk_is_named_and_a_start_that_failed_leaves_no_folder(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    """The first checkpoint cannot be written, or the second one."""
    real, written = torch.save, []

    def full(*args: Any, **kwargs: Any) -> None:
        if len(written) >= good:
            raise RuntimeError("[enforce fail at inline_container.cc:659] . unexpected pos 1944576 vs 1944464")
        written.append(args)
        real(*args, **kwargs)

    monkeypatch.setattr(checkpoint_module.torch, "save", full)
    with pytest.raises(StorageError, match=r"the disk is full .* free"):
        train(clips, tmp_path / "run", config=tiny, reporter=SilentReporter())
    assert list(tmp_path.iterdir()) == []


def test_the_first_checkpoint_comes_early(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "FIRST_CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KilledError):
        train(clips, tmp_path / "run", config=tiny, reporter=KilledAt(2))
    told = Told()
    train(out=tmp_path / "run", resume=True, reporter=told)
    assert "resumed after 0 epochs and 1 steps of the next" in told.messages


def test_a_run_killed_between_two_renames_of_its_best_checkpoint_is_resumed(
    clips: Path, tmp_path: Path, tiny: TrainConfig
) -> None:
    first = train(clips, tmp_path / "run", config=override(tiny, epochs=1), reporter=SilentReporter())
    folder = RunFolder(tmp_path / "run")
    folder.last.rename(folder.last.with_name("last.previous"))
    shutil.rmtree(folder.best)
    again = train(out=tmp_path / "run", resume=True, reporter=SilentReporter())
    pairs = zip(first.model.state_dict().values(), again.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert folder.best.is_dir()
