"""Hugging Face's `ViTModel` and `ViTForImageClassification`: a folder, a model object, or tensors with their keys.

The keys of transformers 4 (`encoder.layer.0.attention.attention.query`) and 5 (`layers.0.attention.q_proj`) are both
read, with or without the prefix `vit.`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.weights.hf_config import ACTIVATIONS
from tubelet.weights.hf_layers import block_tensors, layout_of
from tubelet.weights.image_vit import ImageViT, number, per_channel, split_positions
from tubelet.weights.json_config import read_json
from tubelet.weights.source_tensors import SourceTensors, zero_bias
from tubelet.weights.tensors import MappedTensor

MODEL_TYPES = ("vit", "vit_mae", "vit_msn")
"""Their encoders have the same block and the same keys."""


def from_hf_folder(folder: Path, tensors: Mapping[str, Tensor]) -> ImageViT:
    """The image transformer in a folder with `config.json` and these tensors.

    `preprocessor_config.json`, if it is there, says how pixels were normalised.
    """
    processor = folder / "preprocessor_config.json"
    return from_hf_tensors(
        tensors,
        str(folder),
        read_json(folder / "config.json"),
        read_json(processor) if processor.is_file() else None,
    )


def from_hf_tensors(
    tensors: Mapping[str, Any],
    source: str,
    config: Mapping[str, Any] | None = None,
    processor: Mapping[str, Any] | None = None,
) -> ImageViT:
    """The image transformer that tensors with transformers' keys are.

    Args:
        tensors: a state dict.
        source: for the report and errors.
        config: its `config.json`; without, what google/vit-base-patch16-224 has is assumed, and the report says so.
        processor: its `preprocessor_config.json`.
    """
    notes: tuple[str, ...] = ()
    if config is None:
        config = {"num_attention_heads": None, "hidden_act": "gelu", "layer_norm_eps": 1e-12}
        notes = (
            "the tensors alone do not say the activation (gelu assumed), the norms' eps (1e-12 assumed), the number of "
            "heads (the model's taken) or how pixels were normalised; the folder with config.json says it",
        )
    elif config.get("model_type", "vit") not in MODEL_TYPES:
        raise WeightsError(
            f"{source}: model_type {config.get('model_type')!r}; of transformers, {', '.join(MODEL_TYPES)} can start a "
            "ViViT. For DINO, CLIP, SigLIP, BEiT and DeiT give the model's name in timm"
        )
    activation = str(config.get("hidden_act", "gelu"))
    if activation not in ACTIVATIONS:
        raise WeightsError(f"{source}: hidden_act {activation!r}; ViViT has {', '.join(sorted(ACTIVATIONS))}")
    taken = SourceTensors(tensors, source)
    prefix = "vit." if any(name.startswith("vit.") for name in tensors) else ""
    found = _tensors(taken, prefix, _grid(config, source))
    unused = taken.take_all(f"{prefix}pooler.", "a layer before the head: ViViT has none")
    for start in (f"{prefix}embeddings.mask_token", "decoder."):
        unused |= taken.take_all(start, "only for its pretraining")
    mean, std = _normalisation(processor, source)
    return ImageViT(
        source=source,
        format="transformers",
        tensors=found,
        num_heads=_heads(config, source),
        activation=ACTIVATIONS[activation],
        layer_norm_eps=number(config.get("layer_norm_eps", 1e-12), "layer_norm_eps", source),
        pool="cls",
        mean=mean,
        std=std,
        labels=_labels(config, found),
        unused=unused,
        unexpected=tuple(taken.left),
        notes=notes,
    )


def _tensors(taken: SourceTensors, prefix: str, grid: tuple[int, int] | None) -> dict[str, MappedTensor]:
    names, embeddings = layout_of(taken, prefix), f"{prefix}embeddings"
    layers = taken.count(re.escape(prefix + names.layer).replace(r"\{\}", r"(\d+)\."), prefix + names.layer.format(0))
    found = taken.linear("embedding", f"{embeddings}.patch_embeddings.projection")
    found["cls"] = MappedTensor(taken.take(f"{embeddings}.cls_token").flatten(0, -2), f"{embeddings}.cls_token")
    positions = f"{embeddings}.position_embeddings"
    found |= split_positions(taken.take(positions), True, grid, positions, taken.source)
    with_bias = f"{prefix}{names.layer.format(0)}.{names.query}.bias" in taken
    biases = [f"{part}.bias" if with_bias else None for part in names.qkv]
    for layer in range(layers):
        found |= block_tensors(taken, prefix, names, layer, biases, encoder="")
        if not with_bias:
            bias = f"blocks.{layer}.attention.qkv.bias"
            found[bias] = zero_bias(len(found[bias].tensor))
    found |= taken.module("norm", f"{prefix}layernorm")
    if "classifier.weight" in taken:
        found |= taken.module("head", "classifier")
    return found


def _grid(config: Mapping[str, Any], source: str) -> tuple[int, int] | None:
    def pair(name: str) -> tuple[int, int] | None:
        value = config.get(name)
        sizes = [value, value] if isinstance(value, int) else value
        if sizes is None:
            return None
        if (
            not isinstance(sizes, list | tuple)
            or len(sizes) != 2
            or not all(isinstance(n, int) and n > 0 for n in sizes)
        ):
            raise WeightsError(f"{source}: config.json: {name}={value!r} is not a size in pixels")
        return sizes[0], sizes[1]

    image, patch = pair("image_size"), pair("patch_size")
    return (image[0] // patch[0], image[1] // patch[1]) if image and patch else None


def _heads(config: Mapping[str, Any], source: str) -> int | None:
    heads = config.get("num_attention_heads", 12)
    if heads is not None and (type(heads) is not int or heads < 1):
        raise WeightsError(f"{source}: num_attention_heads={heads!r:.80} is not a number of heads")
    return heads


def _normalisation(
    processor: Mapping[str, Any] | None, source: str
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Their (pixel * rescale_factor - mean) / std, over pixels from 0 to 255, as ours over pixels from 0 to 1."""
    if processor is None:
        return None, None
    mean, std = (per_channel(processor.get(f"image_{name}"), f"image_{name}", source) for name in ("mean", "std"))
    if not processor.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if mean is None or std is None:
        return None, None
    factor = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1.0
    scale = 255 * number(factor, "rescale_factor", source)
    if abs(scale - 1) < 1e-9:
        return mean, std
    if scale <= 0:
        raise WeightsError(f"{source}: rescale_factor={factor!r} leaves nothing of the pixels")
    return tuple(value / scale for value in mean), tuple(value / scale for value in std)


def _labels(config: Mapping[str, Any], found: Mapping[str, MappedTensor]) -> tuple[str, ...] | None:
    """Class names from `id2label`, unless they are transformers' placeholders (LABEL_0 ...) or do not fit the head."""
    table = config.get("id2label")
    if "head.weight" not in found or not isinstance(table, Mapping):
        return None
    by_index = {str(index): str(name) for index, name in table.items()}
    order = [str(index) for index in range(len(found["head.weight"].tensor))]
    if set(by_index) != set(order) or all(by_index[index] == f"LABEL_{index}" for index in order):
        return None
    return tuple(by_index[index] for index in order)
