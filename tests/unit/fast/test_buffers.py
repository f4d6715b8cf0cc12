"""Large tensors leave places behind that others of their size fit in."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest
import torch

from tubelet.fast.buffers import ALIGNMENT, LARGE, empty_reusable

GROWTH = """
import ctypes
import torch
from tubelet.fast.buffers import empty_reusable

class Heap(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", *"bcdefghij")]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Heap
libc.mallopt(-3, 2**25)  # from the heap, as glibc has it by itself once such blocks were freed
like = torch.empty(0)
stay, go = [], []
for number in range(80):
    (go if number % 2 else stay).append(empty_reusable(like, 1000, 768))
    stay.append([torch.empty(n) for n in range(1, 12)])  # takes what lies about
go.clear()
before = libc.mallinfo2().arena
stay += [empty_reusable(like, 1000, 768) for _ in range(40)]
print(round((libc.mallinfo2().arena - before) / (1000 * 768 * 4)))
"""


@pytest.mark.skipif(
    os.name != "posix" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="glibc tells from 2.33 on how large its heap is",
)
def test_freed_tensors_make_room_for_others_of_their_size() -> None:
    """The heap grows by at most two tensors, where 40 were freed between others and as many come."""
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.bool])
@pytest.mark.parametrize("rows", [3, LARGE // 64])
def test_a_tensor_is_contiguous_aligned_and_like_the_other(dtype: torch.dtype, rows: int) -> None:
    tensor = empty_reusable(torch.empty(0, dtype=dtype), rows, 64)
    assert (tensor.shape, tensor.dtype, tensor.is_contiguous()) == ((rows, 64), dtype, True)
    assert tensor.data_ptr() % ALIGNMENT == 0
    tensor.fill_(1)
    assert bool((tensor == 1).all())
