"""Which of several processes this one is, as `torchrun` and `--devices` say in the environment. No torch is needed."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tubelet.errors import ConfigError, TubeletError


class EndedElsewhere(TubeletError):  # noqa: N818  # the error is another process's
    """This process ends because another one failed, which reports why."""


@dataclass(frozen=True)
class Place:
    """A process among those that work together.

    Attributes:
        rank: of this process, among all.
        size: processes in all; 1 for one that is alone.
        local_rank: among those of this machine.
        local_size: processes of this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that writes files and speaks to the user."""
        return self.rank == 0

    def __str__(self) -> str:
        return f"process {self.rank} of {self.size}"


def place() -> Place:
    """The place of this process: RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE, as `torchrun` sets them.

    Raises:
        ConfigError: one of them is no number, or not among the others.
    """
    if "WORLD_SIZE" not in os.environ:
        return Place()
    found = Place(_number("RANK"), _number("WORLD_SIZE"), _number("LOCAL_RANK", 0), _number("LOCAL_WORLD_SIZE", 1))
    if not (0 <= found.rank < found.size and 0 <= found.local_rank < found.local_size <= found.size):
        raise ConfigError(
            f"RANK={found.rank}, WORLD_SIZE={found.size}, LOCAL_RANK={found.local_rank}, "
            f"LOCAL_WORLD_SIZE={found.local_size} in the environment do not fit together; start with torchrun, or "
            "unset them"
        )
    return found


def require_alone(what: str) -> None:
    """Raise a ConfigError if this is one of several processes, for what has not learned to share its work."""
    here = place()
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
