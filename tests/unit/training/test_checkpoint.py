"""Checkpoints: whole or not there, whenever the process dies."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tubelet.errors import StorageError, WeightsError
from tubelet.training import checkpoint
from tubelet.training.checkpoint import Checkpoint, clear_leftovers, copy_checkpoint, load_checkpoint, save_checkpoint


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.full((2, 3), value)}


def state(step: int) -> dict[str, Any]:
    return {"position": {"step": step}}


def step_of(loaded: Checkpoint) -> int:
    return int(loaded.state["position"]["step"])


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """The folder of checkpoints in a run that exists."""
    (tmp_path / "run").mkdir()
    return tmp_path / "run" / "checkpoints"


def test_what_was_saved_comes_back_to_the_bit(checkpoints: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimiser.step()
    kept = {"optimiser": optimiser.state_dict(), "position": {"step": 7, "best": None}}
    save_checkpoint(checkpoints / "last", model.state_dict(), kept)
    loaded = load_checkpoint(checkpoints / "last")
    assert all(torch.equal(loaded.weights[name], value) for name, value in model.state_dict().items())
    assert loaded.state["position"] == kept["position"]
    for key, moments in optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            assert torch.equal(loaded.state["optimiser"]["state"][key][name], value)


STEPS: list[tuple[str, Callable[[], Any], str]] = [
    ("making the folder", lambda: Path, "mkdir"),
    ("writing the weights", lambda: checkpoint, "save_tensors"),
    ("writing the state", lambda: torch, "save"),
    ("flushing", lambda: os, "fsync"),
    ("giving it its name", lambda: Path, "rename"),
    ("removing the old one", lambda: shutil, "rmtree"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(("what", "owner", "name"), STEPS, ids=[step[0] for step in STEPS])
def test_dying_at_any_step_leaves_the_old_checkpoint_or_the_new_one(
    checkpoints: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    owner: Callable[[], Any],
    name: str,
    number: int,
    after: bool,
) -> None:
    """The process dies before or after the first, second or third call of each function that touches the disk."""
    folder, previous = checkpoints / "last", checkpoints / "previous"
    save_checkpoint(folder, weights(0), state(0), previous)
    save_checkpoint(folder, weights(1), state(1), previous)
    real, calls = getattr(owner(), name), 0

    def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number + 1 and not after:
            raise Killed
        result = real(*args, **kwargs)
        if calls == number + 1:
            raise Killed
        return result

    with monkeypatch.context() as patched:
        patched.setattr(owner(), name, dying)
        with contextlib.suppress(Killed):
            save_checkpoint(folder, weights(2), state(2), previous)
    loaded = load_checkpoint(folder if folder.exists() else previous)
    assert step_of(loaded) in (1, 2)
    assert torch.equal(loaded.weights["w"], weights(step_of(loaded))["w"])
    clear_leftovers(checkpoints)
    assert {path.name for path in checkpoints.iterdir()} <= {"last", "previous"}
    save_checkpoint(folder, weights(3), state(3), previous)
    assert step_of(load_checkpoint(folder)) == 3
    assert step_of(load_checkpoint(previous)) < 3


def test_a_copy_does_not_change_with_the_original(checkpoints: Path) -> None:
    save_checkpoint(checkpoints / "last", weights(1), state(1))
    copy_checkpoint(checkpoints / "last", checkpoints / "best")
    save_checkpoint(checkpoints / "last", weights(2), state(2))
    assert step_of(load_checkpoint(checkpoints / "best")) == 1
    assert torch.equal(load_checkpoint(checkpoints / "best").weights["w"], weights(1)["w"])


def test_the_checkpoint_before_is_kept_where_that_is_wanted(checkpoints: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(checkpoints / "last", weights(step), state(step), checkpoints / "previous")
    assert [step_of(load_checkpoint(checkpoints / name)) for name in ("previous", "last")] == [2, 3]
    save_checkpoint(checkpoints / "best", weights(1), state(1))
    save_checkpoint(checkpoints / "best", weights(2), state(2))
    assert sorted(path.name for path in checkpoints.iterdir()) == ["best", "last", "previous"]


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "state cut": lambda folder: cut(folder / "state.pt"),
    "state empty": lambda folder: (folder / "state.pt").write_bytes(b""),
    "state noise": lambda folder: (folder / "state.pt").write_bytes(bytes(range(256)) * 20),
    "state of other things": lambda folder: torch.save([1, 2], folder / "state.pt"),
    "state of a class": lambda folder: torch.save({"position": Path("x")}, folder / "state.pt"),
    "state gone": lambda folder: (folder / "state.pt").unlink(),
    "weights cut": lambda folder: cut(folder / "model.safetensors"),
    "weights gone": lambda folder: (folder / "model.safetensors").unlink(),
    "all gone": shutil.rmtree,
}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_an_error_that_names_it(checkpoints: Path, damage: str) -> None:
    save_checkpoint(checkpoints / "last", weights(1), state(1))
    DAMAGE[damage](checkpoints / "last")
    with pytest.raises(WeightsError, match=str(checkpoints / "last")) as raised:
        load_checkpoint(checkpoints / "last")
    assert "weights_only" not in str(raised.value)
    assert "damaged" in str(raised.value) or damage == "all gone"


def test_a_checkpoint_of_a_run_that_is_gone_is_not_written(checkpoints: Path) -> None:
    checkpoints.parent.rmdir()
    with pytest.raises(StorageError, match="removed or renamed"):
        save_checkpoint(checkpoints / "last", weights(1), state(1))
    assert not checkpoints.parent.exists()
