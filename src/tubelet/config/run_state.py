"""How far a run is, and how it ended, as its folder says. Standard library only."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FINISHED, EARLY, TIME, INTERRUPTED = "finished", "early stopping", "time", "interrupted"


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    Attributes:
        epochs_done: whole passes over the training videos.
        epochs: that were planned, when the run began or by its time budget.
        finished: whether it came to its end: all epochs, early stopping, or the end of its time.
        reason: `finished`, `early stopping`, `time`, `interrupted`; None if it runs still, or was killed.
    """

    epochs_done: int
    epochs: int
    finished: bool
    reason: str | None

    def __str__(self) -> str:
        done = f"{self.epochs_done} of {self.epochs} epochs"
        if self.reason == FINISHED:
            return done
        return f"{done}, {'stopped by ' + str(self.reason) if self.finished else self.reason or 'not finished'}"


def run_state(folder: str | Path) -> RunState:
    """Read how far the run in a folder is: a training's, or a pretraining's.

    Raises:
        OSError: there is no run.
    """
    folder = Path(folder)
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    lines = [line for line in (folder / "metrics.jsonl").read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    last: dict[str, Any] = json.loads(lines[-1]) if lines else {"event": None}
    plans = [line for line in lines if line.startswith(b'{"event": "plan"')]
    steps = json.loads(plans[-1])["steps"] if plans else run["total_steps"]
    an_epoch = max(run["steps_per_epoch"], 1)
    done, epochs = last.get("step", 0) // an_epoch, math.ceil(steps / an_epoch)
    reasons = {"end": last.get("reason", FINISHED), "interrupted": INTERRUPTED}
    return RunState(done, epochs, last["event"] == "end", reasons.get(last["event"]))
