"""What `tubelet doctor` finds out."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from tubelet.errors import TubeletError
from tubelet.version import __version__, version_of
from tubelet.video import BACKENDS, open_video, write_video

REQUIRED = (
    "torch",
    "torchvision",
    "av",
    "numpy",
    "scipy",
    "safetensors",
    "tyro",
    "rich",
    "matplotlib",
    "jinja2",
)
OPTIONAL = ("torchcodec", "timm", "transformers", "tensorboard")
MATRIX = 2048
"""Rows and columns of the matrices whose product is timed."""


def describe_machine(measure_seconds: float = 1.0) -> dict[str, Any]:
    """Versions, decoders, devices and speed, JSON-ready.

    Args:
        measure_seconds: how long each device multiplies matrices; 0 leaves it out.

    Returns:
        tables `versions`, `machine`, `decoders`, `devices`, `matrix products (GFLOP/s)`, and `problems`, a list of what
        tubelet cannot do without and does not work.
    """
    versions: dict[str, str | None] = {"tubelet": __version__, "python": platform.python_version()}
    versions |= {name: version_of(name) for name in (*REQUIRED, *OPTIONAL)}
    problems = [f"{name} is not installed" for name in REQUIRED if versions[name] is None]
    decoders = _try_decoders()
    if decoders["pyav"] != "works":
        problems.append(f"PyAV cannot encode and decode a video: {decoders['pyav']}")
    devices = _devices()
    found: dict[str, Any] = {
        "versions": versions,
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "memory (GB)": _memory(),
        },
        "decoders": decoders,
        "devices": devices,
    }
    if measure_seconds > 0:
        rates = {name: _matrix_rate(torch.device(name), measure_seconds) for name in devices}
        found["matrix products (GFLOP/s)"] = rates
    return {**found, "problems": problems}


def _try_decoders() -> dict[str, str]:
    """Each backend on a video that is made for the purpose: `works`, or why it does not."""
    frames = torch.arange(8 * 3 * 32 * 32).view(8, 3, 32, 32).to(torch.uint8)
    outcome = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = write_video(Path(folder) / "video.mp4", frames)
        except TubeletError as error:
            return dict.fromkeys(BACKENDS[1:], str(error))
        for backend in BACKENDS:
            if backend in ("auto", "frames"):
                continue
            try:
                with open_video(path, backend) as decoder:
                    decoder.frames_at([0, 7])
                outcome[backend] = "works"
            except TubeletError as error:
                outcome[backend] = getattr(error, "reason", str(error))
    return outcome


def _devices() -> dict[str, str]:
    devices = {"cpu": _processor()}
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        devices[f"cuda:{index}"] = f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    return devices


def _matrix_rate(device: torch.device, seconds: float) -> float:
    """Billions of floating-point operations a second (two for each multiply-add) in float32 products."""
    left, right = torch.randn(2, MATRIX, MATRIX, device=device).unbind(0)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        _wait(device)
        started = time.perf_counter()
        left @ right
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return round(2 * MATRIX**3 / best / 1e9, 1)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None
