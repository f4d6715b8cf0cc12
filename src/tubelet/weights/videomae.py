"""VideoMAE folders of the `transformers` library, into model 1.

VideoMAE's encoder (Tong et al., NeurIPS 2022) is model 1 without a class token: tubelets, attention over all of them.
What differs are details: positions are a fixed sine and cosine table over the token's index; query and value have a
bias and the key has none, which is a key bias of zero; the activation is the exact GELU.

    VideoMAEForVideoClassification    use_mean_pooling: the mean of the tokens, then fc_norm (whose eps is PyTorch's
                                      default, not the configuration's), then the classifier
                                      otherwise: the last LayerNorm, then the first token (there is no class token)
    VideoMAEModel, ...ForPreTraining  the encoder; the decoder of the pre-training is left out
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tubelet.model import ViViT
from tubelet.weights.hf_config import FolderConfig
from tubelet.weights.hf_folder import FolderFormat, load_folder
from tubelet.weights.hf_layers import LayerNames, block_tensors, count_classes, count_layers, layout_of, whole_tubelets
from tubelet.weights.hf_preprocessing import VIDEOMAE
from tubelet.weights.source_tensors import SourceTensors
from tubelet.weights.tensors import MappedTensor

FC_NORM_EPS = 1e-5
"""PyTorch's default: transformers makes `fc_norm` without naming an eps."""

PRETRAINING = ("decoder.", "encoder_to_decoder.", "mask_token")


def load_videomae(folder: str | Path, **options: Any) -> ViViT:
    """Read a VideoMAE folder of the `transformers` library, with the options of `load_folder`."""
    unused = dict.fromkeys(PRETRAINING, "the decoder of the pre-training")
    return load_folder(
        folder, FolderFormat("videomae", "transformers VideoMAE", VIDEOMAE, _described, _mapped, unused), **options
    )


def _described(config: FolderConfig, stored: SourceTensors, prefix: str) -> tuple[dict[str, Any], list[str]]:
    """The fields of `ModelConfig`, and notes."""
    tubelet_frames = config.integer("tubelet_size", 2)
    num_frames, notes = whole_tubelets(config.integer("num_frames", 16), tubelet_frames)
    num_classes = count_classes(stored, config, "VideoMAEForVideoClassification")
    fields = {
        **config.common_fields("gelu", 1e-12),
        "num_layers": count_layers(stored, prefix, layout_of(stored, prefix), config),
        "image_size": config.sizes("image_size", (224, 224)),
        "num_frames": num_frames,
        "tubelet_size": (tubelet_frames, *config.sizes("patch_size", (16, 16))),
        "num_classes": num_classes,
        "positions": "sinusoidal",
        "pool": "mean",
    }
    if config.flag("use_mean_pooling", True):
        fields |= {"output_norm": "after_pool", "output_norm_eps": FC_NORM_EPS}
    elif num_classes:
        fields["pool"] = "first"
        notes.append("use_mean_pooling is off: the first token alone is classified, as transformers does")
    return fields, notes


def _mapped(
    config: FolderConfig, stored: SourceTensors, prefix: str, described: dict[str, Any]
) -> dict[str, MappedTensor]:
    names = layout_of(stored, prefix)
    tensors = stored.module("embedding", f"{prefix}embeddings.patch_embeddings.projection")
    for layer in range(described["num_layers"]):
        block = f"{prefix}{names.layer.format(layer)}"
        tensors |= block_tensors(stored, prefix, names, layer, _biases(config, stored, block, names))
    norm = "fc_norm" if config.flag("use_mean_pooling", True) else f"{prefix}layernorm"
    if described["num_classes"]:
        tensors |= stored.module("head", "classifier")
    elif norm == "fc_norm":
        why, dim = "an encoder alone has no fc_norm: scale 1, bias 0", described["hidden_size"]
        tensors["encoder.norm.weight"] = MappedTensor(torch.ones(dim), "", why)
        tensors["encoder.norm.bias"] = MappedTensor(torch.zeros(dim), "", why)
        return tensors
    return tensors | stored.module("encoder.norm", norm)


def _biases(config: FolderConfig, stored: SourceTensors, block: str, names: LayerNames) -> list[str | None]:
    """Names within the block of the biases of query, key and value, which are stored in two ways."""
    if not config.flag("qv_bias", config.flag("qkv_bias", True)):
        return [None, None, None]
    query, value = "attention.attention.q_bias", "attention.attention.v_bias"
    if f"{block}.{query}" not in stored:
        query, value = f"{names.query}.bias", f"{names.value}.bias"
    return [query, None, value]
