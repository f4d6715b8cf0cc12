"""What the processes of a training or an evaluation exchange, besides gradients: on CPUs, with gloo.

The first process that fails writes its error into the store that all of them reach, so that there is one message, and
not one each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch.distributed import Store  # type: ignore[attr-defined]  # torch does not list it
from torch.distributed.rendezvous import rendezvous

from tubelet.distributed.process import PeerFailedError, ProcessInfo, process_info
from tubelet.errors import TubeletError

T = TypeVar("T")

FAILED = "tubelet/failed"
"""Key of the store under which the first process that fails says why."""


class LostProcessError(TubeletError):
    """The connection to another process broke, and it reported no error."""


class World(ProcessInfo):
    """The processes that work together, seen from one of them; all of them call every method, in the same order."""

    def __init__(self, where: ProcessInfo = ProcessInfo()) -> None:  # noqa: B008  # frozen
        super().__init__(where.rank, where.size, where.local_rank, where.local_size)

    def gather(self, thing: T) -> list[T]:
        """The object of each process, by rank."""
        if self.size == 1:
            return [thing]
        gathered: list[T | None] = [None] * self.size
        with _lost_if_broken():
            dist.all_gather_object(gathered, thing)
        return cast("list[T]", gathered)

    def gather_numbers(self, *numbers: int) -> list[list[int]]:
        """The same for a few integers, as many in each process: quick enough for every step."""
        if self.size == 1:
            return [list(numbers)]
        mine = torch.tensor(numbers, dtype=torch.int64)
        gathered = [torch.empty_like(mine) for _ in range(self.size)]
        with _lost_if_broken():
            dist.all_gather(gathered, mine)
        return [one.tolist() for one in gathered]

    def broadcast(self, make: Callable[[], T]) -> T:
        """The result of `make`, which rank 0 calls, in all processes."""
        made = [make() if self.first else None]
        if self.size > 1:
            with _lost_if_broken():
                dist.broadcast_object_list(made, src=0)
        return cast("T", made[0])

    def wait(self) -> None:
        """A barrier."""
        self.gather_numbers(0)

    def share(self, things: Sequence[T]) -> Sequence[T]:
        """Every `size`-th of them, from this process's rank."""
        return things[self.rank :: self.size]

    def on_all_ranks(self, error: Exception) -> Exception:
        """The error to raise where all processes raise at the same point: rank 0 reports it."""
        return error if self.first else PeerFailedError(str(error))


ALONE = World()

_joined: World | None = None


@contextmanager
def joined() -> Iterator[World]:
    """The processes that `torchrun` or `--devices` started, connected; or this one alone.

    A process group that exists already (with gloo for CPU tensors) is used, and left as it is.

    Raises:
        PeerFailedError: another process failed first, and reports it.
        LostProcessError: another process ended without an error.
    """
    global _joined  # noqa: PLW0603  # a process is in one group, as torch has it
    if _joined is not None or dist.is_initialized():
        yield _joined or World(_in_group())
        return
    here = process_info()
    if here.size == 1:
        yield ALONE
        return
    store = _connect(here)
    _joined = World(here)
    try:
        yield _joined
    except (Exception, KeyboardInterrupt) as error:
        first = _first_to_fail(store, here, error)
        if first is error:
            raise
        raise first from error
    finally:
        _joined = None
        dist.destroy_process_group()


def _connect(here: ProcessInfo) -> Store:
    """Rendezvous at MASTER_ADDR and MASTER_PORT."""
    try:
        store, _, _ = next(rendezvous("env://"))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=here.rank, world_size=here.size)
    except (RuntimeError, ValueError) as error:
        raise LostProcessError(
            f"{here} did not find the others ({error}); MASTER_ADDR and MASTER_PORT must be an address that all reach"
        ) from error
    return cast("Store", store)


def _in_group() -> ProcessInfo:
    """Rank and size in a process group that the program made."""
    here = process_info()
    return ProcessInfo(dist.get_rank(), dist.get_world_size(), here.local_rank, here.local_size)


def _first_to_fail(store: Store, here: ProcessInfo, error: BaseException) -> BaseException:
    """The error to end with: this process's own, or that another one failed first."""
    if isinstance(error, PeerFailedError | KeyboardInterrupt):
        return error
    if isinstance(error, RuntimeError) and _is_broken_connection(error):
        error = _lost(error)
    mine = json.dumps({"rank": here.rank, "what": f"{type(error).__name__}: {error}"})
    try:
        first = json.loads(store.compare_set(FAILED, "", mine))
    except RuntimeError:  # the store went with the process that kept it
        return error
    if first["rank"] == here.rank:
        return error
    return PeerFailedError(f"process {first['rank']} of {here.size} failed: {first['what']}")


def _is_broken_connection(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "by peer" in str(error)


@contextmanager
def _lost_if_broken() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise _lost(error) from error


def _lost(error: RuntimeError) -> LostProcessError:
    return LostProcessError(
        f"the connection to another process broke ({error}); it was ended from outside, perhaps for want of memory"
    )
