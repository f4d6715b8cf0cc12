"""Rank and world size of this process, from the environment that `torchrun` and `--devices` set. Needs no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tubelet.errors import ConfigError, TubeletError


class PeerFailedError(TubeletError):  # the error is another process's
    """Another process failed first, and reports why."""


@dataclass(frozen=True)
class ProcessInfo:
    """Rank and world size.

    Attributes:
        rank: of this process.
        size: processes in all.
        local_rank: rank among the processes of this machine.
        local_size: processes of this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes files and reports."""
        return self.rank == 0

    def __str__(self) -> str:
        return f"process {self.rank} of {self.size}"


def process_info() -> ProcessInfo:
    """RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE.

    Raises:
        ConfigError: one of them is no number, or not among the others.
    """
    if "WORLD_SIZE" not in os.environ:
        return ProcessInfo()
    found = ProcessInfo(
        _number("RANK"), _number("WORLD_SIZE"), _number("LOCAL_RANK", 0), _number("LOCAL_WORLD_SIZE", 1)
    )
    if not (0 <= found.rank < found.size and 0 <= found.local_rank < found.local_size <= found.size):
        raise ConfigError(
            f"RANK={found.rank}, WORLD_SIZE={found.size}, LOCAL_RANK={found.local_rank}, "
            f"LOCAL_WORLD_SIZE={found.local_size} in the environment do not fit together; start with torchrun, or "
            "unset them"
        )
    return found


def require_alone(what: str) -> None:
    """Raise a ConfigError if this is one of several processes."""
    here = process_info()
    if here.size > 1:
        raise ConfigError(f"{what} runs in one process, and this is one of {here.size}; start it without torchrun")


def _number(name: str, default: int | None = None) -> int:
    text = os.environ.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise ConfigError(
            f"WORLD_SIZE is in the environment, but {name} is {text!r}; start with torchrun, or unset WORLD_SIZE"
        ) from None
