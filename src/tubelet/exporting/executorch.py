"""A traced model as ExecuTorch takes it: what XNNPACK cannot compute is said in other operations or left to others."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

MOST_AXES = 6
"""Of a tensor of XNNPACK; it refuses to load a graph that has one with more."""

aten = torch.ops.aten


def executorch_program(program: Any, inside: str) -> bytes:
    """The content of a `.pte` file.

    Args:
        program: of `trace`, for one clip.
        inside: text that the file keeps, as what its method `tubelet` gives: uint8 [N], the text in UTF-8.
    """
    from executorch.exir import to_edge_transform_and_lower
    from executorch.exir.passes.constant_prop_pass import constant_prop_pass

    program = constant_prop_pass(program.run_decompositions(_WORDS))  # weights of another shape are weights
    text = torch.frombuffer(bytearray(inside.encode()), dtype=torch.uint8)
    edge = to_edge_transform_and_lower(program, partitioner=[_partitioner()], constant_methods={"tubelet": text})
    return bytes(edge.to_executorch().buffer)


def _partitioner() -> Any:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    class Partitioner(XnnpackPartitioner):  # type: ignore[misc]
        def get_matched_nodes_from_configs(self, ep: Any) -> list[list[Any]]:
            matches = super().get_matched_nodes_from_configs(ep)
            return [
                nodes for nodes in matches if all(_axes(x) <= MOST_AXES for n in nodes for x in (n, *n.all_input_nodes))
            ]

    return Partitioner()


def _axes(node: Any) -> int:
    value = node.meta.get("val")
    return value.dim() if isinstance(value, Tensor) else 0


def _gelu(x: Tensor, approximate: str = "none") -> Any:
    """XNNPACK computes the exact GELU for both."""
    if approximate != "tanh":
        return NotImplemented
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = (1, 1, 1),
    padding: Any = (0, 0, 0),
    dilation: Any = (1, 1, 1),
    groups: int = 1,
) -> Any:
    """A convolution of frames, each with its neighbours in time as more channels: there is none of three axes."""
    taps, step = weight.shape[2], stride[0]
    if (dilation[0], groups) != (1, 1):
        return NotImplemented
    frames = F.pad(x, (0, 0, 0, 0, padding[0], padding[0])).transpose(1, 2)
    count = (frames.shape[1] - taps) // step + 1
    last = (count - 1) * step + 1
    together = torch.cat([frames[:, tap : tap + last : step] for tap in range(taps)], dim=2).flatten(0, 1)
    kernel = torch.cat([weight[:, :, tap] for tap in range(taps)], dim=1)
    found = F.conv2d(together, kernel, bias, stride[1:], padding[1:], dilation[1:])
    return found.unflatten(0, (-1, count)).transpose(1, 2)


def _matmul(a: Tensor, b: Tensor) -> Any:
    """Without the copies of an expansion that expands nothing."""
    if a.dim() < 3 or a.shape[:-2] != b.shape[:-2]:
        return NotImplemented
    return torch.bmm(a.flatten(0, -3), b.flatten(0, -3)).reshape(*a.shape[:-1], b.shape[-1])


def _split(x: Tensor, size: int, dim: int = 0) -> list[Tensor]:
    """Slices, which XNNPACK has."""
    return [aten.slice(x, dim, first, first + size) for first in range(0, x.shape[dim], size)]


def _unsqueeze(x: Tensor, dim: int) -> Tensor:
    at = dim % (x.dim() + 1)
    return x.reshape(*x.shape[:at], 1, *x.shape[at:])


def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    scale = (variance + eps).rsqrt() * (1 if weight is None else weight)
    shift = (0 if bias is None else bias) - mean * scale
    size = (-1, *[1] * (x.dim() - 2))
    none = x.new_empty(0)
    return x * scale.view(size) + shift.view(size), none, none


_WORDS = {
    aten._native_batch_norm_legit_no_training.default: _batch_norm,
    aten.conv3d.default: _conv3d,
    aten.gelu.default: _gelu,
    aten.matmul.default: _matmul,
    aten.split.Tensor: _split,
    aten.unsqueeze.default: _unsqueeze,
}
