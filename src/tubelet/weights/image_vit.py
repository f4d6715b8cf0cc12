"""An image transformer that a ViViT can be initialised from, in our layout, whatever its source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.text import listing
from tubelet.weights.json_config import is_number
from tubelet.weights.tensors import MappedTensor, check_tensor

Activation = Literal["gelu_tanh", "gelu", "gelu_quick"]


@dataclass(frozen=True)
class ImageViT:
    """An image transformer with the blocks of ViViT, in our layout. Its shapes are checked.

    Attributes:
        source: the file, folder, or name that it was read from.
        format: of the source: `npz`, `timm`, `transformers` or `scenic`.
        tensors: by the names that a ViViT's encoder has for them, and these:
            `embedding.weight` [D, C, h, w], `embedding.bias` [D]; `cls` [1, D] and `positions.cls` [1, D], both or
            neither; `positions.grid` [h, w, D]; `input_norm.*` where it has one; `blocks.i.*`, `norm.*`;
            `head.weight` [K, D] and `head.bias` where it has them.
        num_heads: None if not known.
        activation, layer_norm_eps: as in `ModelConfig`.
        pool: its pooling: `cls`, `mean`, or another word of the source.
        output_norm: the last norm stands `before_pool` or `after_pool`.
        mean, std: of its normalisation, per channel, over pixels in [0, 1]; None if not known.
        labels: its class names, if the source has them.
        head_unusable_because: why the head cannot be copied ("it follows ..."); empty if it can.
        unused: names in the source that are left out on purpose, and why.
        unexpected: names in the source that no ViT has.
        notes: assumptions, for the report.
    """

    source: str
    format: str
    tensors: Mapping[str, MappedTensor] = field(repr=False)
    num_heads: int | None
    activation: Activation
    layer_norm_eps: float
    pool: str
    output_norm: Literal["before_pool", "after_pool"] = "before_pool"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    labels: tuple[str, ...] | None = field(default=None, repr=False)
    head_unusable_because: str = ""
    unused: Mapping[str, str] = field(default_factory=dict, repr=False)
    unexpected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, rank in {"embedding.weight": 4, "positions.grid": 3, "blocks.0.mlp.fc1.weight": 2}.items():
            if name not in self.tensors:
                raise WeightsError(f"{self.source}: no {name} was found; this is not a ViT")
            if self.tensors[name].tensor.ndim != rank:
                theirs, shape = self.tensors[name].source, list(self.tensors[name].tensor.shape)
                raise WeightsError(
                    f"{self.source}: {theirs} has the shape {shape}, but it should have {rank} axes; not an image ViT"
                )
        expected = self._expected_shapes()
        missing = [name for name in expected if name not in self.tensors]
        if missing:
            raise WeightsError(f"{self.source}: {listing(missing)} missing; the file is not complete, or not a ViT's")
        for name, incoming in self.tensors.items():
            check_tensor(incoming.tensor, incoming.source or name, self.source)
            if name in expected and list(incoming.tensor.shape) != expected[name]:
                raise WeightsError(
                    f"{self.source}: {incoming.source or name} makes {name} {list(incoming.tensor.shape)}, but with "
                    f"hidden_size={self.hidden_size} and mlp_dim={self.mlp_dim} it should be {expected[name]}"
                )
        if self.num_heads is not None and self.hidden_size % self.num_heads:
            raise WeightsError(
                f"{self.source}: {self.num_heads} heads do not divide its hidden size of {self.hidden_size}; ViViT has "
                "heads of hidden_size / num_heads"
            )

    # --- sizes that follow from the tensors --------------------------------------------------------------------------

    @property
    def hidden_size(self) -> int:
        return self._shape("embedding.weight")[0]

    @property
    def in_channels(self) -> int:
        return self._shape("embedding.weight")[1]

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a patch in pixels."""
        return self._shape("embedding.weight")[2], self._shape("embedding.weight")[3]

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along height and width."""
        return self._shape("positions.grid")[0], self._shape("positions.grid")[1]

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels of the images that its positions were learned for."""
        return self.grid[0] * self.patch_size[0], self.grid[1] * self.patch_size[1]

    @property
    def num_layers(self) -> int:
        return 1 + max(int(name.split(".")[1]) for name in self.tensors if name.startswith("blocks."))

    @property
    def mlp_dim(self) -> int:
        return self._shape("blocks.0.mlp.fc1.weight")[0]

    @property
    def has_cls(self) -> bool:
        return "cls" in self.tensors

    @property
    def has_input_norm(self) -> bool:
        return "input_norm.weight" in self.tensors

    @property
    def num_classes(self) -> int:
        """0 without a head."""
        return self._shape("head.weight")[0] if "head.weight" in self.tensors else 0

    def _shape(self, name: str) -> torch.Size:
        return self.tensors[name].tensor.shape

    def _expected_shapes(self) -> dict[str, list[int]]:
        dim, hidden = self.hidden_size, self.mlp_dim
        norm, square = {"weight": [dim], "bias": [dim]}, {"weight": [dim, dim], "bias": [dim]}
        parts: dict[str, dict[str, list[int]]] = {"norm": norm}
        if self.has_input_norm:
            parts["input_norm"] = norm
        if self.num_classes:
            parts["head"] = {"weight": [self.num_classes, dim], "bias": [self.num_classes]}
        for layer in range(self.num_layers):
            block = f"blocks.{layer}"
            parts |= {f"{block}.norm_attention": norm, f"{block}.norm_mlp": norm, f"{block}.attention.out": square}
            parts[f"{block}.attention.qkv"] = {"weight": [3 * dim, dim], "bias": [3 * dim]}
            parts[f"{block}.mlp.fc1"] = {"weight": [hidden, dim], "bias": [hidden]}
            parts[f"{block}.mlp.fc2"] = {"weight": [dim, hidden], "bias": [dim]}
        shapes = {f"{part}.{name}": shape for part, named in parts.items() for name, shape in named.items()}
        if self.has_cls:
            shapes |= {"cls": [1, dim], "positions.cls": [1, dim]}
        return {**shapes, "embedding.bias": [dim], "positions.grid": [*self.grid, dim]}


def number(value: Any, what: str, source: str) -> float:
    """A finite number out of a configuration file."""
    if not is_number(value):
        raise WeightsError(f"{source}: {what}={value!r:.80} is not a number")
    return float(value)


def per_channel(value: Any, what: str, source: str) -> tuple[float, ...] | None:
    """A mean or std out of a configuration file; None stays None."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value:
        raise WeightsError(f"{source}: {what}={value!r:.80} is not a list of numbers, one for each channel")
    return tuple(number(item, what, source) for item in value)


def split_positions(
    positions: Tensor, has_cls: bool, grid: tuple[int, int] | None, name: str, source: str
) -> dict[str, MappedTensor]:
    """A table of positions [1, N, D] as `positions.grid` [h, w, D] and, with a class token, `positions.cls` [1, D].

    Models that add positions before they prepend the class token have no position for it: it is 0.
    """
    if positions.ndim != 3 or positions.shape[0] != 1:
        raise WeightsError(f"{source}: {name} has the shape {list(positions.shape)}; expected [1, tokens, hidden_size]")
    table = positions[0]
    for own in (1, 0) if has_cls else (0,):
        side = math.isqrt(len(table) - own)
        height, width = grid or (side, side)
        if height * width == len(table) - own and height > 0:
            parts = {"positions.grid": MappedTensor(table[own:].reshape(height, width, -1), name)}
            if has_cls:
                how = "" if own else "the source adds no position to its class token: 0"
                position = table[:1] if own else torch.zeros_like(table[:1])
                parts["positions.cls"] = MappedTensor(position, name if own else "cls", how)
            return parts
    shape = f"a grid of {grid[0]} x {grid[1]}" if grid else "a square grid"
    raise WeightsError(
        f"{source}: {name} holds {len(table)} positions, which are not {shape}{' and a class token' if has_cls else ''}"
    )
