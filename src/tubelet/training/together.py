"""What the processes of a training agree on before each step, so that all of them do the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tubelet.data import Batch, Failure
from tubelet.distributed.world import World
from tubelet.training.interrupt import StopAsked, StopRequest, until_stopped


@dataclass(frozen=True)
class Agreement:
    """About one step.

    Attributes:
        clips: of all processes together, those that could be read.
        largest: clips of the process that has most.
        late: whether it is time for a checkpoint.
    """

    clips: int
    largest: int
    late: bool


def agreed(
    batches: Iterator[Batch], world: World, stop: StopRequest, late: Callable[[], bool]
) -> Iterator[tuple[Batch, Agreement]]:
    """The batches of this process, with the failures of all processes, and what they agree on.

    Args:
        batches: as many in each process.
        world: the processes.
        stop: a signal that any of them gets stops all before the same step.
        late: whether a checkpoint is due; the first process's clock counts.

    Raises:
        StopAsked: in all of them, before the next step.
    """
    for batch in _with_stop(until_stopped(batches, stop)):
        clips = 0 if batch is None else len(batch)
        failed = 0 if batch is None else len(batch.failures)
        told = world.gather_numbers(clips, failed, int(batch is None or bool(stop)), int(late()))
        if any(stopped for _, _, stopped, _ in told) or batch is None:
            raise StopAsked
        if any(failed for _, failed, _, _ in told):
            batch = dataclasses.replace(batch, failures=_all_failures(world, batch))
        counts = [clips for clips, _, _, _ in told]
        yield batch, Agreement(sum(counts), max(counts), bool(told[0][3]))


def _with_stop(batches: Iterator[Batch]) -> Iterator[Batch | None]:
    """The batches, and None at the end if a signal ended the processes that load them."""
    try:
        yield from batches
    except StopAsked:
        yield None


def _all_failures(world: World, batch: Batch) -> list[Failure]:
    return [failure for failures in world.gather(batch.failures) for failure in failures]
