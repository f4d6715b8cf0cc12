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

from tubelet.errors import WeightsError
from tubelet.train import checkpoint
from tubelet.train.checkpoint import copy_checkpoint, has_checkpoint, load_checkpoint, save_checkpoint


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.full((2, 3), value)}


def test_what_was_saved_comes_back_to_the_bit(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimiser.step()
    state = {"optimiser": optimiser.state_dict(), "position": {"step": 7, "best": None}}
    save_checkpoint(tmp_path / "last", model.state_dict(), state)
    loaded = load_checkpoint(tmp_path / "last")
    assert all(torch.equal(loaded.weights[name], value) for name, value in model.state_dict().items())
    assert loaded.state["position"] == state["position"]
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
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    owner: Callable[[], Any],
    name: str,
    number: int,
    after: bool,
) -> None:
    """The process dies before or after the first, second or third call of each function that touches the disk."""
    folder = tmp_path / "last"
    save_checkpoint(folder, weights(1), {"step": 1})
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
            save_checkpoint(folder, weights(2), {"step": 2})
    assert has_checkpoint(folder)
    loaded = load_checkpoint(folder)
    assert loaded.state["step"] in (1, 2)
    assert torch.equal(loaded.weights["w"], weights(loaded.state["step"])["w"])
    save_checkpoint(folder, weights(3), {"step": 3})  # what lies about is no hindrance
    assert load_checkpoint(folder).state["step"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_a_copy_does_not_change_with_the_original(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last", weights(1), {"step": 1})
    copy_checkpoint(tmp_path / "last", tmp_path / "best")
    save_checkpoint(tmp_path / "last", weights(2), {"step": 2})
    assert load_checkpoint(tmp_path / "best").state["step"] == 1
    assert torch.equal(load_checkpoint(tmp_path / "best").weights["w"], weights(1)["w"])


def test_no_checkpoint_and_a_damaged_one_are_errors_that_say_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no checkpoint"):
        load_checkpoint(tmp_path / "last")
    save_checkpoint(tmp_path / "last", weights(1), {"step": 1})
    state = tmp_path / "last" / "state.pt"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(WeightsError, match="damaged"):
        load_checkpoint(tmp_path / "last")
