"""Things to time that each have a process, and with it memory, of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from benchmarks.measure import peak_gigabytes


class Side:
    """`python -m module arguments`, a process that calls `serve`.

    Attributes:
        cpu_seconds: what it had computed after the last run.
        peak_gigabytes: the most memory that it had had by then.
    """

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.cpu_seconds = self.peak_gigabytes = 0.0

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def run(self) -> None:
        """Once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{' '.join(self._command)} ended, with code {self._process.wait()}")
        told = json.loads(answer)
        self.cpu_seconds, self.peak_gigabytes = told["cpu_seconds"], told["peak_gigabytes"]


def serve(run: Callable[[], Any]) -> None:
    """Run once for each line of the standard input, and say so on the standard output."""
    for _ in sys.stdin:
        run()
        print(json.dumps({"cpu_seconds": time.process_time(), "peak_gigabytes": peak_gigabytes()}), flush=True)
