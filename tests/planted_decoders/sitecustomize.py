"""On the path of a process, this plants what no file does reliably: a decoder that dies, and one that hangs."""

import os
import signal
import time
from typing import Any

import av

_open = av.open


def _planted(file: Any, *arguments: Any, **options: Any) -> Any:
    if "kills_its_decoder" in str(file):
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hangs" in str(file):
        time.sleep(3600)
    return _open(file, *arguments, **options)


av.open = _planted
