"""Rank and world size, as torchrun and `--devices` put them into the environment."""

from __future__ import annotations

import pytest

from tubelet.distributed.process import ProcessInfo, process_info, require_alone
from tubelet.errors import ConfigError


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no process."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def put(ranks: pytest.MonkeyPatch, **values: object) -> None:
    for name, value in values.items():
        ranks.setenv(name.upper(), str(value))


def test_process_without_an_environment_is_alone(ranks: pytest.MonkeyPatch) -> None:
    here = process_info()
    assert (here, here.first) == (ProcessInfo(0, 1, 0, 1), True)
    require_alone("a study")


def test_process_of_two_machines_is_read(ranks: pytest.MonkeyPatch) -> None:
    put(ranks, rank=5, world_size=8, local_rank=1, local_world_size=4)
    here = process_info()
    assert (here, here.first, str(here)) == (ProcessInfo(5, 8, 1, 4), False, "process 5 of 8")
    with pytest.raises(
        ConfigError, match="a study runs in one process, and this is one of 8; start it without torchrun"
    ):
        require_alone("a study")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": "first"}, "RANK is 'first'"),
        ({}, "RANK is None; start with torchrun, or unset WORLD_SIZE"),
        ({"rank": 2}, "do not fit together"),
        ({"rank": -1}, "do not fit together"),
        ({"rank": 0, "local_rank": 1, "local_world_size": 1}, "do not fit together"),
        ({"rank": 0, "local_rank": 0, "local_world_size": 3}, "do not fit together"),
    ],
)
def test_environment_that_cannot_be_is_named(
    ranks: pytest.MonkeyPatch, values: dict[str, object], message: str
) -> None:
    put(ranks, world_size=2, **values)
    with pytest.raises(ConfigError, match=message):
        process_info()
