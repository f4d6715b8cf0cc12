"""What the processes of a training or an evaluation tell each other, on torch's process group.

Everything here travels between CPUs (gloo); gradients take the way that belongs to the device (nccl between GPUs), and
are none of this module's business. A process that fails leaves word in the store that all of them reach, so that one
message says what happened, and not one each.
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

from tubelet.distributed.place import EndedElsewhere, Place, place
from tubelet.errors import TubeletError

T = TypeVar("T")

FAILED = "tubelet/failed"
"""Key of the store under which the first process that fails says why."""


class LostProcessError(TubeletError):
    """The connection to another process broke, and it left no word why."""


class World(Place):
    """The processes that work together, seen from one of them. Alone, everything is a matter of this process.

    Every method has to be called by all of them, in the same order.
    """

    def __init__(self, where: Place = Place()) -> None:  # noqa: B008  # frozen
        super().__init__(where.rank, where.size, where.local_rank, where.local_size)

    def gather(self, thing: T) -> list[T]:
        """What each process gave, by rank."""
        if self.size == 1:
            return [thing]
        gathered: list[T | None] = [None] * self.size
        with _lost_if_broken():
            dist.all_gather_object(gathered, thing)
        return cast("list[T]", gathered)

    def gather_numbers(self, *numbers: int) -> list[list[int]]:
        """The same for a few whole numbers, as many in each process: quick enough for every step."""
        if self.size == 1:
            return [list(numbers)]
        mine = torch.tensor(numbers, dtype=torch.int64)
        gathered = [torch.empty_like(mine) for _ in range(self.size)]
        with _lost_if_broken():
            dist.all_gather(gathered, mine)
        return [one.tolist() for one in gathered]

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives in the first process, in all of them."""
        made = [make() if self.first else None]
        if self.size > 1:
            with _lost_if_broken():
                dist.broadcast_object_list(made, src=0)
        return cast("T", made[0])

    def wait(self) -> None:
        """Go on when all of them are here."""
        self.gather_numbers(0)

    def share(self, things: Sequence[T]) -> Sequence[T]:
        """The part of them that is this process's: every `size`-th."""
        return things[self.rank :: self.size]

    def alike(self, error: Exception) -> Exception:
        """The error to raise for what all processes found at once: the first one reports it."""
        return error if self.first else EndedElsewhere(str(error))


ALONE = World()

_joined: World | None = None


@contextmanager
def joined() -> Iterator[World]:
    """The processes that `torchrun` or `--devices` started, connected; or this one alone.

    A group that exists already is used and left as it is: inside another `joined`, or of a program that called
    `torch.distributed.init_process_group` (with gloo for CPU tensors) itself.

    Raises:
        EndedElsewhere: another process failed first, and reports it.
        LostProcessError: another process ended without a word.
    """
    global _joined  # noqa: PLW0603  # a process is in one group, as torch has it
    if _joined is not None or dist.is_initialized():
        yield _joined or World(_place_in_group())
        return
    here = place()
    if here.size == 1:
        yield ALONE
        return
    store = _connect(here)
    _joined = World(here)
    try:
        yield _joined
    except (Exception, KeyboardInterrupt) as error:
        told = _first_to_fail(store, here, error)
        if told is error:
            raise
        raise told from error
    finally:
        _joined = None
        dist.destroy_process_group()


def _connect(here: Place) -> Store:
    """Meet the others, at the address that the environment names."""
    try:
        store, _, _ = next(rendezvous("env://"))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=here.rank, world_size=here.size)
    except (RuntimeError, ValueError) as error:
        raise LostProcessError(
            f"{here} did not find the others ({error}); MASTER_ADDR and MASTER_PORT must name a place that all reach"
        ) from error
    return cast("Store", store)


def _place_in_group() -> Place:
    """The place in a group that somebody else made."""
    here = place()
    return Place(dist.get_rank(), dist.get_world_size(), here.local_rank, here.local_size)


def _first_to_fail(store: Store, here: Place, error: BaseException) -> BaseException:
    """The error to end with: one's own, or a word that another process was first."""
    if isinstance(error, EndedElsewhere | KeyboardInterrupt):
        return error
    if isinstance(error, RuntimeError) and _is_broken_connection(error):
        error = LostProcessError(
            f"the connection to another process broke ({error}); it was ended from outside, perhaps for want of memory"
        )
    mine = json.dumps({"rank": here.rank, "what": f"{type(error).__name__}: {error}"})
    try:
        first = json.loads(store.compare_set(FAILED, "", mine))
    except RuntimeError:  # the store went with the process that kept it
        return error
    if first["rank"] == here.rank:
        return error
    return EndedElsewhere(f"process {first['rank']} of {here.size} failed: {first['what']}")


def _is_broken_connection(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "by peer" in str(error)


@contextmanager
def _lost_if_broken() -> Iterator[None]:
    """A failure to talk to the others, in words."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            f"the connection to another process broke ({error}); it was ended from outside, perhaps for want of memory"
        ) from error
