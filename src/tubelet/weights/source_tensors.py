"""The tensors of a file or a folder by their own names, taken one by one, so that none is forgotten."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.weights.tensors import FLOATS, MappedTensor, check_tensor


class SourceTensors:
    """Tensors by name, without those that were taken.

    Args:
        tensors: anything that is not a plain tensor is an error.
        source: the file, folder or name, for errors.
        missing: why a tensor may be missing, for errors.
        dtype: to which tensors are checked and cast when they are taken; None leaves both to `assign_tensors`.
    """

    def __init__(
        self,
        tensors: Mapping[str, Any],
        source: str,
        missing: str = "the file is not complete, or not a ViT's",
        dtype: torch.dtype | None = torch.float32,
    ) -> None:
        self.source, self.missing, self.dtype = source, missing, dtype
        self.left = {name: plain_tensor(tensor, name, source) for name, tensor in tensors.items()}

    def __contains__(self, name: str) -> bool:
        return name in self.left

    def take(self, name: str, why: str = "") -> Tensor:
        """Remove and return a tensor."""
        if name not in self.left:
            raise WeightsError(f"{self.source}: {name} is missing; {why or self.missing}")
        tensor = self.left.pop(name)
        if self.dtype is None:
            return tensor
        check_tensor(tensor, name, self.source)
        return tensor.to(self.dtype)

    def map(self, name: str, why: str = "") -> MappedTensor:
        """`take`, for a tensor that we store in the same layout."""
        return MappedTensor(self.take(name, why), name)

    def module(self, ours: str, theirs: str, why: str = "") -> dict[str, MappedTensor]:
        """Weight and bias of a module that we store in the same layout, by our names."""
        return {f"{ours}.{kind}": self.map(f"{theirs}.{kind}", why) for kind in ("weight", "bias")}

    def linear(self, ours: str, theirs: str) -> dict[str, MappedTensor]:
        """The same of a linear layer or a convolution; a bias that the source does not have is 0."""
        if f"{theirs}.bias" in self:
            return self.module(ours, theirs)
        weight = self.map(f"{theirs}.weight")
        return {f"{ours}.weight": weight, f"{ours}.bias": zero_bias(len(weight.tensor))}

    def take_all(self, prefix: str, why: str) -> dict[str, str]:
        """Remove all tensors with a prefix; `why` by name, for `assign_tensors(unused=...)`."""
        names = [name for name in self.left if name.startswith(prefix)]
        for name in names:
            del self.left[name]
        return dict.fromkeys(names, why)

    def count(self, pattern: str, first: str) -> int:
        """How many blocks there are, by the largest number: what is missing is an error when it is taken.

        Args:
            pattern: of the names of their tensors, with their number as its group.
            first: the beginning of the first one's names, for the error.
        """
        numbers = [int(found[1]) for name in self.left if (found := re.match(pattern, name))]
        if not numbers or max(numbers) >= len(numbers):
            raise WeightsError(f"{self.source}: expected {first} ... and so on, found no such blocks")
        return max(numbers) + 1


def zero_bias(size: int) -> MappedTensor:
    """The bias of a layer that has none in the source."""
    return MappedTensor(torch.zeros(size), "", "no bias in the source: 0", adapted=True)


def plain_tensor(tensor: Any, name: str, source: str) -> Tensor:
    """A detached tensor on the CPU that claims no more numbers than it holds."""
    if not isinstance(tensor, Tensor):
        raise WeightsError(f"{source}: {name} is not a tensor but {type(tensor).__name__}")
    tensor = tensor.detach()
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise WeightsError(f"{source}: {name} is sparse or quantised; weights are plain tensors")
    if not tensor.is_meta and tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise WeightsError(f"{source}: {name} claims the shape {list(tensor.shape)}, which the file does not hold")
    return tensor.cpu() if tensor.dtype in FLOATS else tensor
