"""Going back to the newest checkpoint that is whole."""

from __future__ import annotations

from pathlib import Path

from tubelet.errors import WeightsError
from tubelet.text import one_line
from tubelet.training.checkpoint import clear_leftovers, load_checkpoint
from tubelet.training.trainer import Trainer


def restore(trainer: Trainer) -> tuple[Path, list[str]]:
    """Bring a training to the state of `last`; if it is missing or damaged, of `previous`, else of `best`.

    Args:
        trainer: made from the run's own configuration.

    Returns:
        the checkpoint, and sentences for the user: which ones were passed over and why, and what is missing in the log.

    Raises:
        WeightsError: not one of the three can be used.
    """
    folder, world = trainer.folder, trainer.world
    if world.first:
        clear_leftovers(folder.last.parent)
    world.wait()
    problems: list[str] = []
    for place in (folder.last, folder.previous, folder.best):
        try:
            trainer.restore(load_checkpoint(place))
        except WeightsError as error:
            problems.append(one_line(str(error)))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{place} does not fit this run ({one_line(str(error))})")
        except RuntimeError as error:
            if "loading state_dict" not in str(error):
                raise
            problems.append(f"{place} does not fit this run ({one_line(str(error))})")
        else:
            notes = [f"{problem}; the run goes on from {place}" for problem in problems]
            return place, notes if trainer.log.whole else [*notes, _SHORT_LOG]
    raise WeightsError(
        f"{folder.path} has no checkpoint to go on from: {'; '.join(problems)}. Copy one that is whole to "
        f"{folder.last}, or start a new run"
    )


_SHORT_LOG = (
    "metrics.jsonl is not what it was when the checkpoint was written: figures of earlier steps are missing in it, and "
    "on the page; what is learned is the same"
)
