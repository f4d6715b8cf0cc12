"""How the `transformers` library names the tensors of a transformer's blocks, in its releases 4 and 5.

transformers 4    encoder.layer.0.attention.attention.query.weight    ...intermediate.dense    ...output.dense
transformers 5    layers.0.attention.q_proj.weight                    ...mlp.fc1               ...mlp.fc2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from tubelet.errors import WeightsError
from tubelet.weights.hf_config import CONFIG_FILE, FolderConfig
from tubelet.weights.source_tensors import SourceTensors
from tubelet.weights.tensors import MappedTensor

KeyLayout = Literal["transformers_4", "transformers_5"]


@dataclass(frozen=True)
class LayerNames:
    """What a release calls the parts of a block; `{}` in `layer` stands for its number."""

    layer: str
    query: str
    key: str
    value: str
    out: str
    fc1: str
    fc2: str

    @property
    def qkv(self) -> tuple[str, str, str]:
        """Query, key and value."""
        return self.query, self.key, self.value

    def plain(self) -> dict[str, str]:
        """Our names of the parts that are stored as we store them, and theirs."""
        return {
            "norm_attention": "layernorm_before",
            "attention.out": self.out,
            "norm_mlp": "layernorm_after",
            "mlp.fc1": self.fc1,
            "mlp.fc2": self.fc2,
        }


LAYOUTS: dict[KeyLayout, LayerNames] = {
    "transformers_4": LayerNames(
        layer="encoder.layer.{}",
        query="attention.attention.query",
        key="attention.attention.key",
        value="attention.attention.value",
        out="attention.output.dense",
        fc1="intermediate.dense",
        fc2="output.dense",
    ),
    "transformers_5": LayerNames(
        layer="layers.{}",
        query="attention.q_proj",
        key="attention.k_proj",
        value="attention.v_proj",
        out="attention.o_proj",
        fc1="mlp.fc1",
        fc2="mlp.fc2",
    ),
}


def layout_of(stored: SourceTensors, prefix: str) -> LayerNames:
    """The names that the tensors of blocks have."""
    for names in LAYOUTS.values():
        if f"{prefix}{names.layer.format(0)}.layernorm_before.weight" in stored:
            return names
    raise WeightsError(
        f"{stored.source}: expected blocks named as in transformers 4 (encoder.layer.0. ...) or 5 (layers.0. ...), "
        "found no such blocks"
    )


def count_layers(stored: SourceTensors, prefix: str, names: LayerNames, config: FolderConfig) -> int:
    """`num_hidden_layers`, which must be the number of blocks of the file."""
    described = config.integer("num_hidden_layers", 12)
    found = 0
    while f"{prefix}{names.layer.format(found)}.layernorm_before.weight" in stored:
        found += 1
    if found != described:
        raise WeightsError(f"{config.where}: num_hidden_layers={described}, but {stored.source} holds {found} layers")
    return described


def block_tensors(
    stored: SourceTensors,
    prefix: str,
    names: LayerNames,
    layer: int,
    biases: Sequence[str | None],
    encoder: str = "encoder.",
) -> dict[str, MappedTensor]:
    """The tensors of one block by our names.

    Args:
        stored: the tensors of the source.
        prefix: of their names ("vivit.").
        names: the layout of the source.
        layer: number of the block.
        biases: names within the block of the biases of query, key and value; None is a bias that it does not have: 0.
        encoder: prefix of our names.
    """
    theirs, ours = f"{prefix}{names.layer.format(layer)}", f"{encoder}blocks.{layer}"
    tensors: dict[str, MappedTensor] = {}
    for our_part, part in names.plain().items():
        tensors |= stored.module(f"{ours}.{our_part}", f"{theirs}.{part}")
    weights = [f"{theirs}.{part}.weight" for part in names.qkv]
    joined, how = torch.cat([stored.take(name) for name in weights]), "query, key, value joined"
    tensors[f"{ours}.attention.qkv.weight"] = MappedTensor(joined, " + ".join(weights), how)
    there = [f"{theirs}.{bias}" for bias in biases if bias is not None]
    zero = joined.new_zeros(len(joined) // 3)
    bias = torch.cat([zero if name is None else stored.take(f"{theirs}.{name}") for name in biases])
    how = how if len(there) == 3 else f"{how}; a bias that the source does not have is 0"
    return tensors | {f"{ours}.attention.qkv.bias": MappedTensor(bias, " + ".join(there) or CONFIG_FILE, how)}


def count_classes(stored: SourceTensors, config: FolderConfig, architecture: str) -> int:
    """How many classes the classifier has; 0 where the folder is of an encoder alone."""
    said = config.values.get("architectures")
    if "classifier.weight" in stored:
        shape = stored.left["classifier.weight"].shape
        return shape[0] if len(shape) == 2 else 0
    if isinstance(said, list) and architecture in said and config.values.get("id2label") != {}:
        stored.take("classifier.weight")
    return 0


def whole_tubelets(num_frames: int, tubelet_frames: int) -> tuple[int, list[str]]:
    """The frames that transformers really uses (it leaves out what fills no tubelet), and a note where that is less."""
    whole = num_frames // tubelet_frames * tubelet_frames
    if whole in (0, num_frames):
        return num_frames, []
    left_out = num_frames - whole
    return whole, [
        f"the folder says num_frames={num_frames}, of which transformers ignores the last {left_out}, since a tubelet "
        f"has {tubelet_frames}; num_frames={whole} here"
    ]
