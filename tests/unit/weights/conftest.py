"""Image transformers in the published `.npz` layout, made for a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

PublishedViT = Callable[..., Path]


@pytest.fixture
def published_vit(tmp_path: Path) -> PublishedViT:
    """Writes an `.npz` file of an image ViT with random weights, and gives its path."""

    def write(
        *,
        cls: bool = True,
        grid: int = 4,
        patch: int = 8,
        dim: int = 16,
        heads: int = 4,
        layers: int = 2,
        mlp: int = 24,
        classes: int = 5,
        channels: int = 3,
        prefix: str = "",
        name: str = "vit.npz",
        **changes: numpy.ndarray | None,
    ) -> Path:
        """`changes`: arrays by key, with / as __, to add or replace; None takes one away."""
        draw = numpy.random.default_rng(0)
        shapes: dict[str, tuple[int, ...]] = {
            "embedding/kernel": (patch, patch, channels, dim),
            "embedding/bias": (dim,),
            "Transformer/posembed_input/pos_embedding": (1, grid * grid + cls, dim),
            "Transformer/encoder_norm/scale": (dim,),
            "Transformer/encoder_norm/bias": (dim,),
            "head/kernel": (dim, classes),
            "head/bias": (classes,),
        }
        if cls:
            shapes["cls"] = (1, 1, dim)
        for layer in range(layers):
            block = f"Transformer/encoderblock_{layer}"
            for norm in ("LayerNorm_0", "LayerNorm_2"):
                shapes |= {f"{block}/{norm}/scale": (dim,), f"{block}/{norm}/bias": (dim,)}
            attention = f"{block}/MultiHeadDotProductAttention_1"
            for role in ("query", "key", "value"):
                shapes[f"{attention}/{role}/kernel"] = (dim, heads, dim // heads)
                shapes[f"{attention}/{role}/bias"] = (heads, dim // heads)
            shapes |= {f"{attention}/out/kernel": (heads, dim // heads, dim), f"{attention}/out/bias": (dim,)}
            for dense, (inner, outer) in {"Dense_0": (dim, mlp), "Dense_1": (mlp, dim)}.items():
                shapes |= {f"{block}/MlpBlock_3/{dense}/kernel": (inner, outer)}
                shapes |= {f"{block}/MlpBlock_3/{dense}/bias": (outer,)}
        arrays = {key: draw.standard_normal(shape).astype(numpy.float32) * 0.2 for key, shape in shapes.items()}
        for key, array in changes.items():
            arrays.pop(key.replace("__", "/"), None)
            if array is not None:
                arrays[key.replace("__", "/")] = array
        file = tmp_path / name
        numpy.savez(file, **{prefix + key: array for key, array in arrays.items()})
        return file

    return write
