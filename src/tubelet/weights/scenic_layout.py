"""Scenic's names and layouts of tensors and ours, in both directions.

    theirs                                                         ours
    embedding/kernel [t, h, w, C, D] (or [h, w, C, D])             embedding.weight [D, C, t, h, w]
    cls, cls_SpatialTransformer, cls_TemporalTransformer           *.cls
    Transformer/posembed_input/pos_embedding [1, (1 +) N, D]       *.positions.cls, *.positions.grid [t, h, w, D]
    .../query, key, value/kernel [D, H, c], bias [H, c]            *.qkv.weight [3 D, D], bias [3 D]
    .../out/kernel [H, c, D]                                       *.out.weight [D, D]
    .../Dense_0/kernel [D, M]                                      *.mlp.fc1.weight [M, D]
    output_projection/kernel [D, K]                                head.weight [K, D], or one for each head

The names are those of `projects/vivit/model.py` in google-research/scenic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tubelet.config import ModelConfig

Tensors = Sequence[Tensor]

ATTENTION = "MultiHeadDotProductAttention"
ENCODERS = {
    "encoder": "Transformer",
    "spatial_encoder": "SpatialTransformer",
    "temporal_encoder": "TemporalTransformer",
}


@dataclass(frozen=True)
class Rule:
    """Tensors of ours and of Scenic with the same values.

    Attributes:
        ours, theirs: the names.
        read: theirs to ours.
        write: ours to theirs, the inverse.
        how: what is done, for the report.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    read: Callable[[Tensors], Tensors]
    write: Callable[[Tensors], Tensors]
    how: str = ""


def rules(config: ModelConfig) -> Iterator[Rule]:
    """Every rule of a model; together they name each tensor of its state dict once."""
    yield _embedding(config)
    yield _same("embedding.bias", "embedding/bias")
    for ours, grid, layers in _encoders(config):
        theirs = ENCODERS[ours]
        if config.pool == "cls":
            cls = "cls" if ours == "encoder" else f"cls_{theirs}"
            yield Rule((f"{ours}.cls",), (cls,), lambda x: [x[0][0]], lambda x: [x[0][None]])
        yield _positions(ours, theirs, grid, config)
        for layer in range(layers):
            yield from _block(f"{ours}.blocks.{layer}", f"{theirs}/encoderblock_{layer}", config)
        yield from _norm(f"{ours}.norm", f"{theirs}/encoder_norm")
    yield from _head(config)


def scenic_tensors(config: ModelConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of ours in Scenic's layout: tensor by path."""
    tensors: dict[str, Tensor] = {}
    for rule in rules(config):
        tensors.update(zip(rule.theirs, rule.write([state[name] for name in rule.ours]), strict=True))
    return tensors


def _encoders(config: ModelConfig) -> Iterator[tuple[str, tuple[int, int, int], int]]:
    """Our name, the grid of its positions, and the number of blocks of each encoder."""
    time, height, width = config.grid
    if config.variant != "factorised_encoder":
        yield "encoder", (time, height, width), config.num_layers
        return
    yield "spatial_encoder", (1, height, width), config.num_layers
    if config.temporal_layers:
        yield "temporal_encoder", (time, 1, 1), config.temporal_layers


def _embedding(config: ModelConfig) -> Rule:
    ours, theirs = ("embedding.weight",), ("embedding/kernel",)
    if config.embedding == "uniform_frames":
        return Rule(
            ours,
            theirs,
            lambda x: [x[0].permute(3, 2, 0, 1).unsqueeze(2)],
            lambda x: [x[0].squeeze(2).permute(2, 3, 1, 0)],
            "transposed",
        )
    return Rule(
        ours, theirs, lambda x: [x[0].permute(4, 3, 0, 1, 2)], lambda x: [x[0].permute(2, 3, 4, 1, 0)], "transposed"
    )


def _positions(ours: str, theirs: str, grid: tuple[int, int, int], config: ModelConfig) -> Rule:
    source = (f"{theirs}/posembed_input/pos_embedding",)
    if config.pool != "cls":
        return Rule(
            (f"{ours}.positions.grid",),
            source,
            lambda x: [x[0][0].unflatten(0, grid)],
            lambda x: [x[0].flatten(0, 2)[None]],
        )
    return Rule(
        (f"{ours}.positions.cls", f"{ours}.positions.grid"),
        source,
        lambda x: [x[0][0, :1], x[0][0, 1:].unflatten(0, grid)],
        lambda x: [torch.cat([x[0], x[1].flatten(0, 2)])[None]],
    )


def _block(ours: str, theirs: str, config: ModelConfig) -> Iterator[Rule]:
    if config.variant == "factorised_self_attention":
        attentions = [(axis, f"{ATTENTION}_{axis}", f"norm_{axis}", f"LayerNorm_{axis}") for axis in ("space", "time")]
        norm_mlp, mlp = "LayerNorm_mlp", "MlpBlock"
    else:
        attentions = [("attention", f"{ATTENTION}_0", "norm_attention", "LayerNorm_0")]
        norm_mlp, mlp = "LayerNorm_1", "MlpBlock_0"
    for our_attention, their_attention, our_norm, their_norm in attentions:
        yield from _norm(f"{ours}.{our_norm}", f"{theirs}/{their_norm}")
        yield from _attention(f"{ours}.{our_attention}", f"{theirs}/{their_attention}", config.num_heads)
    yield from _norm(f"{ours}.norm_mlp", f"{theirs}/{norm_mlp}")
    for our_layer, their_layer in (("fc1", "Dense_0"), ("fc2", "Dense_1")):
        yield _transposed(f"{ours}.mlp.{our_layer}.weight", f"{theirs}/{mlp}/{their_layer}/kernel")
        yield _same(f"{ours}.mlp.{our_layer}.bias", f"{theirs}/{mlp}/{their_layer}/bias")


def _attention(ours: str, theirs: str, heads: int) -> Iterator[Rule]:
    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (heads, -1))

    parts = ("query", "key", "value")
    yield Rule(
        (f"{ours}.qkv.weight",),
        tuple(f"{theirs}/{part}/kernel" for part in parts),
        lambda x: [torch.cat([kernel.flatten(1).T for kernel in x])],
        lambda x: [split(kernel.T) for kernel in x[0].chunk(3)],
        "query, key and value in one",
    )
    yield Rule(
        (f"{ours}.qkv.bias",),
        tuple(f"{theirs}/{part}/bias" for part in parts),
        lambda x: [torch.cat([bias.flatten() for bias in x])],
        lambda x: [split(bias) for bias in x[0].chunk(3)],
        "query, key and value in one",
    )
    yield Rule(
        (f"{ours}.out.weight",),
        (f"{theirs}/out/kernel",),
        lambda x: [x[0].flatten(0, 1).T],
        lambda x: [x[0].T.unflatten(0, (heads, -1))],
        "transposed",
    )
    yield _same(f"{ours}.out.bias", f"{theirs}/out/bias")


def _norm(ours: str, theirs: str) -> Iterator[Rule]:
    yield _same(f"{ours}.weight", f"{theirs}/scale")
    yield _same(f"{ours}.bias", f"{theirs}/bias")


def _head(config: ModelConfig) -> Iterator[Rule]:
    if config.num_classes == 0:
        return
    if isinstance(config.num_classes, int):
        yield _transposed("head.weight", "output_projection/kernel")
        yield _same("head.bias", "output_projection/bias")
        return
    sizes = list(config.num_classes.values())
    how = f"split into heads of {' + '.join(str(size) for size in sizes)}"
    yield Rule(
        tuple(f"head.{name}.weight" for name in config.num_classes),
        ("output_projection/kernel",),
        lambda x: list(x[0].T.split(sizes)),
        lambda x: [torch.cat(list(x)).T],
        how,
    )
    yield Rule(
        tuple(f"head.{name}.bias" for name in config.num_classes),
        ("output_projection/bias",),
        lambda x: list(x[0].split(sizes)),
        lambda x: [torch.cat(list(x))],
        how,
    )


def _same(ours: str, theirs: str) -> Rule:
    return Rule((ours,), (theirs,), lambda x: x, lambda x: x)


def _transposed(ours: str, theirs: str) -> Rule:
    return Rule((ours,), (theirs,), lambda x: [x[0].T], lambda x: [x[0].T], "transposed")
