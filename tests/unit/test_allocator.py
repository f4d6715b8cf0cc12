"""Freed blocks go back to the system where that pays, and only there."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import torch
from torch import nn
from tubelet import allocator

def resident():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * 4096

allocator.LARGE_MODEL = {least}
told = allocator.return_freed_blocks(nn.Linear(10, 10))
for warm in range(3):
    torch.ones(30 * 2**18)
kept = [(torch.ones(8 * 2**18), torch.ones(2**10)) for _ in range(20)]
before = resident()
kept = [small for _, small in kept]
print(told, before - resident() > 120 * 2**20)
"""
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")


def run(least: int, **environment: str) -> list[str]:
    script = SCRIPT.format(least=least)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    return done.stdout.split()


@glibc
def test_a_large_models_freed_tensors_are_given_back() -> None:
    assert run(least=100) == ["True", "True"]


@glibc
def test_a_small_models_are_kept_for_the_next() -> None:
    assert run(least=1000) == ["False", "False"]


@glibc
def test_a_threshold_of_the_users_own_stands() -> None:
    assert run(least=100, MALLOC_MMAP_THRESHOLD_="33554432")[0] == "False"
