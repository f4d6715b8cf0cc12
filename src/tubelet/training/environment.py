"""Versions and hardware of a run."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

import torch

from tubelet.version import __version__

PACKAGES = ("torch", "torchvision", "av", "numpy", "scipy", "safetensors")


def describe_environment(device: torch.device, processes: int = 1) -> dict[str, Any]:
    """Versions, machine, number of processes and command line, JSON-ready."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "tubelet": __version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "cuda": torch.version.cuda,
        "system": platform.platform(),
        "device": str(device),
        "gpu": gpu,
        "cpu_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": processes,
        "command": sys.argv,
    }
