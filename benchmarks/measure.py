"""What every benchmark needs: things timed in turn, the machine's matrix rate, peak memory, a table."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

DIMS = {"tiny": 192, "small": 384, "base": 768, "large": 1024}


@dataclass
class Entry:
    """Something to time.

    Attributes:
        name: for the table.
        run: once.
        multiply_adds: of one run as the model is written down; None where they are not known.
        note: for the table.
        cpu_clock: seconds that its process has computed so far, all threads together.
        seconds: by the clock, of each run.
        cpu_seconds: of each run; on a machine that others use too they say more.
        rates: 2 x multiply-adds / seconds over the mean of the matrix rates just before and just after.
    """

    name: str
    run: Callable[[], Any]
    multiply_adds: int | None = None
    note: str = ""
    cpu_clock: Callable[[], float] = time.process_time
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Everything that was measured."""
        return {name: value for name, value in vars(self).items() if name not in ("run", "cpu_clock")}


def in_turn(entries: Sequence[Entry], rounds: int, dim: int) -> None:
    """Run A B C A B C ..., once unmeasured, so that a machine whose speed drifts treats all alike."""
    for entry in entries:
        entry.run()
    before = matrix_rate(dim)
    for _ in range(rounds):
        for entry in entries:
            started, cpu_started = time.perf_counter(), entry.cpu_clock()
            entry.run()
            entry.seconds.append(time.perf_counter() - started)
            entry.cpu_seconds.append(entry.cpu_clock() - cpu_started)
            after = matrix_rate(dim)
            if entry.multiply_adds:
                entry.rates.append(2 * entry.multiply_adds / entry.seconds[-1] / statistics.mean((before, after)))
            before = after


def matrix_rate(dim: int, rows: int = 3136) -> float:
    """Floating-point operations a second of a [rows, dim] x [dim, 4 dim] product, the model's largest kind."""
    left, right, out = torch.randn(rows, dim), torch.randn(dim, 4 * dim), torch.empty(rows, 4 * dim)
    torch.mm(left, right, out=out)
    started = time.perf_counter()
    for _ in range(4):
        torch.mm(left, right, out=out)
    return 4 * 2 * rows * dim * 4 * dim / (time.perf_counter() - started)


def peak_gigabytes() -> float:
    """The most memory that this process has had so far.

    Linux counts in `ru_maxrss` what the parent had when it started this process, and in VmHWM this process alone.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def in_a_process(module: str, arguments: Sequence[str]) -> Any:
    """What `python -m module arguments` prints last, as JSON; the memory of one thing shows in a process of its own."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"python -m {module} {' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def spread(values: Sequence[float]) -> str:
    """Median, and least and most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def ratio(slow: Entry, fast: Entry) -> str:
    """How many times as fast: of the medians, of the minima, and of CPU time."""
    medians = statistics.median(slow.seconds) / statistics.median(fast.seconds)
    minima = min(slow.seconds) / min(fast.seconds)
    cpu = statistics.median(slow.cpu_seconds) / statistics.median(fast.cpu_seconds)
    return f"{fast.name} is {medians:.2f} times as fast as {slow.name} (minima {minima:.2f}, CPU time {cpu:.2f})"


def as_json(options: Any, entries: Sequence[Entry], **more: Any) -> str:
    """Every figure of a run."""
    return json.dumps({"options": vars(options), "entries": [entry.figures() for entry in entries], **more}, indent=2)
