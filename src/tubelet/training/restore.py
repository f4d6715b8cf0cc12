"""Going back to the newest checkpoint that is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from tubelet.distributed.world import ALONE, World
from tubelet.errors import WeightsError
from tubelet.text import printable
from tubelet.training.checkpoint import Checkpoint, clear_leftovers, load_checkpoint
from tubelet.training.log import EventLog
from tubelet.training.run_folder import RunFolder

LONGEST = 300
"""Characters of a reason; names in a damaged file may have any length."""


@runtime_checkable
class Restorable(Protocol):
    """A training, or a pretraining, whose folder is open for writing."""

    log: EventLog

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint."""
        ...


def restore(learner: Restorable, folder: RunFolder, world: World = ALONE) -> tuple[Path, list[str]]:
    """Bring a training to the state of `last`; if it is missing or damaged, of `previous`, else of `best`.

    Args:
        learner: made from the run's own configuration.
        folder: of the run.
        world: the processes that do this together.

    Returns:
        the checkpoint, and sentences for the user: which ones were passed over and why, and what is missing in the log.

    Raises:
        WeightsError: not one of the three can be used.
    """
    if world.first:
        clear_leftovers(folder.last.parent)
    world.wait()
    problems: list[str] = []
    for place in (folder.last, folder.previous, folder.best):
        try:
            learner.restore(load_checkpoint(place))
        except WeightsError as error:
            problems.append(_short(error))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{place} does not fit this run ({_short(error)})")
        except RuntimeError as error:
            if "loading state_dict" not in str(error):
                raise
            problems.append(f"{place} does not fit this run ({_short(error)})")
        else:
            notes = [f"{problem}; the run goes on from {place}" for problem in problems]
            return place, notes if learner.log.whole else [*notes, _SHORT_LOG]
    raise WeightsError(
        f"{folder.path} has no checkpoint to go on from: {'; '.join(problems)}. Copy one that is whole to "
        f"{folder.last}, or start a new run"
    )


_SHORT_LOG = (
    "metrics.jsonl is not what it was when the checkpoint was written: figures of earlier steps are missing in it, and "
    "on the page; what is learned is the same"
)


def _short(error: Exception) -> str:
    text = printable(" ".join(str(error).split()))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
