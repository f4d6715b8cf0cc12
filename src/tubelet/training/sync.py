"""The processes of a training before each step: how many clips it has in all, and whether all go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tubelet.data import Batch, Failure
from tubelet.distributed.world import World
from tubelet.training.interrupt import StopAsked, StopRequest, until_stopped


@dataclass(frozen=True)
class StepInfo:
    """What all processes know of the step that comes next.

    Attributes:
        clips: of all processes together, those that could be read.
        largest: clips of the process that has most.
        checkpoint_due: whether it is time for a checkpoint.
    """

    clips: int
    largest: int
    checkpoint_due: bool = False


def synchronised_batches(
    batches: Iterator[Batch], world: World, stop: StopRequest, checkpoint_due: Callable[[], bool]
) -> Iterator[tuple[Batch, StepInfo]]:
    """The batches of this process, with the failures of all processes, each with its `StepInfo`.

    Args:
        batches: as many in each process.
        world: the processes.
        stop: a signal that any of them gets stops all before the same step.
        checkpoint_due: the first process's clock counts.

    Raises:
        StopAsked: in all of them, before the next step.
    """
    for batch in _with_stop(until_stopped(batches, stop)):
        clips = 0 if batch is None else len(batch)
        failed = 0 if batch is None else len(batch.failures)
        rows = world.gather_numbers(clips, failed, int(batch is None or bool(stop)), int(checkpoint_due()))
        if any(stopped for _, _, stopped, _ in rows) or batch is None:
            raise StopAsked
        if any(failed for _, failed, _, _ in rows):
            batch = dataclasses.replace(batch, failures=_all_failures(world, batch))
        counts = [clips for clips, _, _, _ in rows]
        yield batch, StepInfo(sum(counts), max(counts), bool(rows[0][3]))


def _with_stop(batches: Iterator[Batch]) -> Iterator[Batch | None]:
    """The batches, and None at the end if a signal ended the processes that load them."""
    try:
        yield from batches
    except StopAsked:
        yield None


def _all_failures(world: World, batch: Batch) -> list[Failure]:
    return [failure for failures in world.gather(batch.failures) for failure in failures]
