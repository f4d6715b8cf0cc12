"""Large tensors leave places behind that others of their size fit in."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from tubelet.nn.room import ALIGNMENT, LARGE, room

GROWTH = """
import ctypes, sys
import torch
from tubelet.nn.room import room

class Heap(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", *"bcdefghij")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Heap
libc.mallopt(-3, 2**25)  # from the heap, as glibc has it by itself once such blocks were freed
like = torch.empty(0)
new = like.new_empty if sys.argv[1] == "torch" else lambda *shape: room(like, *shape)
stay, go = [], []
for number in range(80):
    (go if number % 2 else stay).append(new(1000, 768))
    stay.append([torch.empty(n) for n in range(1, 12)])  # takes what lies about
go.clear()
before = libc.mallinfo2().arena
stay += [new(1000, 768) for _ in range(40)]
print(round((libc.mallinfo2().arena - before) / (1000 * 768 * 4)))
"""


def heap_grows_by(kind: str) -> int:
    """Tensors, where 40 were freed between others and as many come."""
    done = subprocess.run([sys.executable, "-c", GROWTH, kind], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about the heap of glibc")
def test_freed_tensors_make_room_for_others_of_their_size() -> None:
    assert heap_grows_by("room") <= 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.bool])
@pytest.mark.parametrize("rows", [3, LARGE // 64])
def test_a_tensor_is_contiguous_aligned_and_like_the_other(dtype: torch.dtype, rows: int) -> None:
    tensor = room(torch.empty(0, dtype=dtype), rows, 64)
    assert (tensor.shape, tensor.dtype, tensor.is_contiguous()) == ((rows, 64), dtype, True)
    assert tensor.data_ptr() % ALIGNMENT == 0
    tensor.fill_(1)
    assert bool((tensor == 1).all())
