"""How far a training came: whether the page is about a finished one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from tubelet.config.run_state import EARLY, FINISHED, INTERRUPTED, TIME
from tubelet.report.run_files import RunFiles


@dataclass(frozen=True)
class TrainingState:
    """What the files of a run say of its training.

    Attributes:
        finished: whether it came to its end; None if the files do not say.
        words: the same for a person: "finished, 30 of 30 epochs", "was stopped after 26 of 572 epochs".
        seconds: that it took; None if that is not known.
    """

    finished: bool | None
    words: str
    seconds: float | None


def training_state(files: RunFiles) -> TrainingState | None:
    """How far the training of a run came; None where there is no sign of a training."""
    wanted, done = _epochs_wanted(files), epochs_done(files)
    if not files.run and not files.events:
        return None
    ends, broken = files.events_of("end"), files.events_of("diverged")
    seconds = [float(one["seconds"]) for one in ends if is_number(one.get("seconds"))]
    of_all = "" if wanted is None else f" of {wanted:,}"
    far = f"{done:,}{of_all} epoch{'s' if (wanted or done) != 1 else ''}"
    if files.events and files.events[-1].get("event") == "diverged":
        return TrainingState(False, f"diverged after {far}: {broken[-1].get('reason', 'no reason given')}", None)
    if ends:
        reason = ends[-1].get("reason", FINISHED)
        early = reason != FINISHED or (wanted is not None and done < wanted)
        why = f" by {reason}" if reason in (EARLY, TIME) else ""
        return TrainingState(
            True, f"ended early{why}, after {far}" if early else f"finished, {far}", sum(seconds) or None
        )
    if not files.events:
        return TrainingState(None, "no record of its steps (metrics.jsonl is not there)", None)
    if files.events[-1].get("event") == INTERRUPTED:
        return TrainingState(False, f"was stopped after {far}", None)
    return TrainingState(False, f"still runs, or was ended from outside, after {far}", None)


def epochs_done(files: RunFiles) -> int:
    """Whole epochs that the training has behind it."""
    per_epoch = files.run.get("steps_per_epoch")
    done = 0
    for event in files.events:
        step, epoch = event.get("step"), event.get("epoch")
        if is_number(step) and is_number(per_epoch) and per_epoch > 0 and event.get("event") in ("train", "end"):
            done = max(done, int(step // per_epoch))
        elif is_number(epoch):
            done = max(done, int(epoch) - (event.get("event") not in ("validation", "epoch", "end")))
    return done


def delivered_epoch(files: RunFiles) -> int | None:
    """The epoch whose weights are the run's, where validation chose them; None where it chose nothing."""
    chosen = [event for event in files.events_of("validation") if event.get("best") and is_number(event.get("epoch"))]
    return int(chosen[-1]["epoch"]) if chosen and keeps_best(files) else None


def keeps_best(files: RunFiles) -> bool:
    """Whether the weights were chosen by validation."""
    return setting(files, "validation", "keep") == "best"


def setting(files: RunFiles, *path: str) -> Any:
    """A setting of the training, None where it is not known."""
    value: Any = files.run.get("config")
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _epochs_wanted(files: RunFiles) -> int | None:
    wanted = setting(files, "optimisation", "epochs")
    return int(wanted) if is_number(wanted) else None
