"""Functions that run in guarded processes: what decoders do, well or badly."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tubelet.errors import ConfigError
from tubelet.video import Limits, open_video, read_video


def read(path: str, indices: list[int] | None = None, limits: Limits | None = None) -> dict[str, Any]:
    clip = read_video(path, indices, threads=1, limits=limits or Limits())
    return {"frames": clip.frames, "timestamps": clip.timestamps, "indices": list(clip.indices)}


def frames(path: str) -> Iterator[Any]:
    """Yields the number of frames, then each frame that is asked for."""
    with open_video(path, threads=1) as decoder:
        asked = yield decoder.metadata.num_frames
        while asked is not None:
            asked = yield decoder.frames_at([asked]).frames[0]


def read_without_end(path: str) -> None:
    while True:
        read_video(path, threads=1)


def process_id(path: str) -> int:
    return os.getpid()


def sleep(path: str, seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


def crash(path: str) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def eat(path: str) -> int:
    return len(b"x" * 2**33)


def eat_tensor(path: str) -> int:
    return torch.ones(2**33, dtype=torch.uint8).numel()


def write(path: str, count: int) -> None:
    Path(path).write_bytes(b"x" * count)


def refuse(path: str) -> None:
    raise ConfigError("no such views")


def break_down(path: str) -> None:
    raise ValueError("a defect")


def sockets(path: str) -> list[str]:
    """What this process has open that is no file and no pipe of its parent."""
    links = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.exists()]
    return [link for link in links if link.startswith("socket:")]


def environment(path: str) -> dict[str, str]:
    return dict(os.environ)


def listen() -> socket.socket:
    opened = socket.create_server(("127.0.0.1", 0))
    opened.set_inheritable(False)
    return opened
