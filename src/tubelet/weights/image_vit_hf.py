"""Hugging Face's `ViTModel` and `ViTForImageClassification`: a folder, a model object, or tensors with their keys.

The keys of transformers 4 (`encoder.layer.0.attention.attention.query`) and 5 (`layers.0.attention.q_proj`) are both
read, with or without the prefix `vit.`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.weights.image_vit import Activation, ImageViT, SourceTensors, number, per_channel, split_positions
from tubelet.weights.json_config import read_json
from tubelet.weights.tensors import Incoming

MODEL_TYPES = ("vit", "vit_mae", "vit_msn")
"""Their encoders have the same block and the same keys."""

ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "quick_gelu": "gelu_quick",
}

TO_LAYOUT_5 = (
    (r"^vit\.", ""),
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.attention\.(query|key|value)\.", lambda match: f".attention.{match[1][0]}_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"^(layers\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
)
"""From the keys of transformers 4 to those of 5."""


def from_hf_folder(folder: Path, tensors: Mapping[str, Tensor]) -> ImageViT:
    """The image transformer in a folder with `config.json` and these tensors.

    `preprocessor_config.json`, if it is there, says how pixels were normalised.

    Raises:
        WeightsError: not a ViT, or a configuration that ViViT cannot follow.
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

    Raises:
        WeightsError: not a ViT, or a configuration that ViViT cannot follow.
    """
    names = _layout_5(tensors, source)
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
    taken = SourceTensors({name: tensors[theirs] for name, theirs in names.items()}, source)
    found = _tensors(taken, names, _grid(config, source), source)
    unused = taken.take_all("pooler.", "a layer before the head: ViViT has none")
    for prefix in ("embeddings.mask_token", "decoder."):
        unused |= taken.take_all(prefix, "only for its pretraining")
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
        unused={names[name]: why for name, why in unused.items()},
        unexpected=tuple(names[name] for name in taken.left),
        notes=notes,
    )


def _layout_5(tensors: Mapping[str, Any], source: str) -> dict[str, str]:
    """Their name in the layout of transformers 5 -> the name that it has in `tensors`."""
    names: dict[str, str] = {}
    for theirs in tensors:
        name = theirs
        for pattern, replacement in TO_LAYOUT_5:
            name = re.sub(pattern, replacement, name)
        if name in names:
            raise WeightsError(f"{source}: {theirs} and {names[name]} are the same tensor in two layouts")
        names[name] = theirs
    return names


def _tensors(
    taken: SourceTensors, names: Mapping[str, str], grid: tuple[int, int] | None, source: str
) -> dict[str, Incoming]:
    def take(name: str) -> Incoming:
        return Incoming(taken.take(name), names.get(name, name))

    def linear(ours: str, theirs: str) -> dict[str, Incoming]:
        return {f"{ours}.{kind}": take(f"{theirs}.{kind}") for kind in ("weight", "bias")}

    found = linear("embedding", "embeddings.patch_embeddings.projection")
    cls = take("embeddings.cls_token")
    found["cls"] = Incoming(cls.tensor.flatten(0, -2), cls.source)
    positions = take("embeddings.position_embeddings")
    found |= split_positions(positions.tensor, True, grid, positions.source, source)
    layers = [int(match[1]) for name in taken.left if (match := re.match(r"layers\.(\d+)\.", name))]
    if not layers or max(layers) >= len(layers):
        raise WeightsError(f"{source}: expected encoder.layer.0 ... or layers.0 ... and so on, found no such layers")
    for layer in range(max(layers) + 1):
        theirs, ours = f"layers.{layer}", f"blocks.{layer}"
        found |= linear(f"{ours}.norm_attention", f"{theirs}.layernorm_before")
        found |= linear(f"{ours}.norm_mlp", f"{theirs}.layernorm_after")
        found |= _qkv(taken, names, f"{ours}.attention.qkv", f"{theirs}.attention")
        found |= linear(f"{ours}.attention.out", f"{theirs}.attention.o_proj")
        found |= linear(f"{ours}.mlp.fc1", f"{theirs}.mlp.fc1") | linear(f"{ours}.mlp.fc2", f"{theirs}.mlp.fc2")
    found |= linear("norm", "layernorm")
    if "classifier.weight" in taken:
        found |= linear("head", "classifier")
    return found


def _qkv(taken: SourceTensors, names: Mapping[str, str], ours: str, attention: str) -> dict[str, Incoming]:
    """One tensor out of query, key and value; biases that are not there (`qkv_bias=False`) become 0."""
    theirs = [f"{attention}.{role}_proj" for role in "qkv"]
    weights = [taken.take(f"{name}.weight") for name in theirs]
    source = " + ".join(names[f"{name}.weight"] for name in theirs)
    found = {f"{ours}.weight": Incoming(torch.cat(weights), source)}
    if f"{theirs[0]}.bias" not in taken:
        zeros = torch.zeros(sum(len(weight) for weight in weights))
        found[f"{ours}.bias"] = Incoming(zeros, "", "no bias in the source: 0", adapted=True)
        return found
    biases = [taken.take(f"{name}.bias") for name in theirs]
    found[f"{ours}.bias"] = Incoming(torch.cat(biases), " + ".join(names[f"{name}.bias"] for name in theirs))
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


def _labels(config: Mapping[str, Any], found: Mapping[str, Incoming]) -> tuple[str, ...] | None:
    """Class names from `id2label`, unless they are transformers' placeholders (LABEL_0 ...) or do not fit the head."""
    table = config.get("id2label")
    if "head.weight" not in found or not isinstance(table, Mapping):
        return None
    by_index = {str(index): str(name) for index, name in table.items()}
    order = [str(index) for index in range(len(found["head.weight"].tensor))]
    if set(by_index) != set(order) or all(by_index[index] == f"LABEL_{index}" for index in order):
        return None
    return tuple(by_index[index] for index in order)
