"""What processes exchange, seen from one that is alone; tests/integration/test_distributed.py starts several."""

from __future__ import annotations

import pytest

from tubelet.distributed.process import PeerFailedError, ProcessInfo
from tubelet.distributed.world import World, joined


def test_world_of_one_process_needs_no_process_group() -> None:
    with joined() as world:
        assert world.size == 1
        assert world.gather("x") == ["x"]
        assert world.gather_numbers(1, 2) == [[1, 2]]
        assert world.broadcast(lambda: "made") == "made"
        world.wait()


def test_shares_of_all_processes_are_the_whole() -> None:
    things = list(range(10))
    shares = [World(ProcessInfo(rank, 3)).share(things) for rank in range(3)]
    assert [len(share) for share in shares] == [4, 3, 3]
    assert sorted(thing for share in shares for thing in share) == things


def test_error_of_all_is_reported_by_the_first_process_alone() -> None:
    error = ValueError("no videos")
    assert World(ProcessInfo(0, 2)).on_all_ranks(error) is error
    other = World(ProcessInfo(1, 2)).on_all_ranks(error)
    assert isinstance(other, PeerFailedError)
    assert str(other) == "no videos"


def test_error_of_one_process_alone_stays_as_it_is() -> None:
    with pytest.raises(ValueError, match="mine"), joined():
        raise ValueError("mine")
