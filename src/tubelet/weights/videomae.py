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

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tubelet.config import PreprocessingConfig
from tubelet.model import ViViT
from tubelet.weights.hf_folder import FolderConfig, Stored, build, finished, read_weights
from tubelet.weights.hf_layers import LayerNames, block_tensors, count_classes, count_layers, layout_of, whole_tubelets
from tubelet.weights.hf_preprocessing import VIDEOMAE
from tubelet.weights.tensors import Incoming

FC_NORM_EPS = 1e-5
"""PyTorch's default: transformers makes `fc_norm` without naming an eps."""

PRETRAINING = ("decoder.", "encoder_to_decoder.", "mask_token")


def load_videomae(
    folder: str | Path,
    *,
    pixel_range: tuple[float, float] | None = None,
    preprocessing: PreprocessingConfig | None = None,
    allow_unexpected: Iterable[str] = (),
    **fields: Any,
) -> ViViT:
    """Read a VideoMAE folder of the `transformers` library; `model.load_report` says what was loaded.

    Args:
        folder: `config.json` and the weights (safetensors, whole or in shards, or `pytorch_model.bin`).
        pixel_range: what black and white become, instead of what the folder's processor makes of them.
        preprocessing: instead of the folder's processor.
        allow_unexpected: names, or patterns with `*`, of tensors that the folder may hold beyond the model's.
        fields: of `ModelConfig`, to adapt the model to: `num_frames`, `image_size`, `num_classes`, ... (`adapt`).

    Returns:
        the model, in evaluation mode, on the CPU, in the floating-point type of the file. Without a classifier in the
        folder it has no head: `num_classes=...` makes one.

    Raises:
        WeightsError: the folder is damaged, or something in it is unknown to tubelet.
    """
    folder = Path(folder)
    config = FolderConfig(folder, "videomae")
    stored = read_weights(folder)
    prefix = "videomae." if any(name.startswith("videomae.") for name in stored.tensors) else ""
    described, notes = _described(config, stored, prefix)
    labels, label_notes = config.labels(described["num_classes"])
    tensors, new = _incoming(config, stored, prefix, described)
    unused = {name: "the decoder of the pre-training" for name in stored.rest() if name.startswith(PRETRAINING)}
    model = build(
        described,
        None,
        labels,
        tensors,
        where=config.where,
        source=stored.source,
        format="transformers VideoMAE",
        new=new,
        unused=unused,
        unexpected=[name for name in stored.rest() if name not in unused],
        allow_unexpected=allow_unexpected,
        notes=[*notes, *label_notes],
    )
    return finished(model, folder, VIDEOMAE, pixel_range, preprocessing, fields)


def _described(config: FolderConfig, stored: Stored, prefix: str) -> tuple[dict[str, Any], list[str]]:
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


def _incoming(
    config: FolderConfig, stored: Stored, prefix: str, described: Mapping[str, Any]
) -> tuple[dict[str, Incoming], dict[str, str]]:
    """Our tensors, and those that the folder has nothing for."""
    names = layout_of(stored, prefix)
    projection = f"{prefix}embeddings.patch_embeddings.projection"
    tensors = {
        f"embedding.{kind}": Incoming(stored.take(f"{projection}.{kind}"), f"{projection}.{kind}")
        for kind in ("weight", "bias")
    }
    for layer in range(described["num_layers"]):
        block = f"{prefix}{names.layer.format(layer)}"
        tensors |= block_tensors(stored, prefix, names, layer, _biases(config, stored, block, names))
    norm = "fc_norm" if config.flag("use_mean_pooling", True) else f"{prefix}layernorm"
    new = {}
    for kind in ("weight", "bias"):
        if norm == "fc_norm" and not described["num_classes"]:
            new[f"encoder.norm.{kind}"] = "an encoder alone has no fc_norm: scale 1, bias 0"
        else:
            tensors[f"encoder.norm.{kind}"] = Incoming(stored.take(f"{norm}.{kind}"), f"{norm}.{kind}")
        if described["num_classes"]:
            tensors[f"head.{kind}"] = Incoming(stored.take(f"classifier.{kind}"), f"classifier.{kind}")
    return tensors, new


def _biases(config: FolderConfig, stored: Stored, block: str, names: LayerNames) -> list[str | None]:
    """Names within the block of the biases of query, key and value, which are stored in two ways."""
    if not config.flag("qv_bias", config.flag("qkv_bias", True)):
        return [None, None, None]
    query, value = "attention.attention.q_bias", "attention.attention.v_bias"
    if f"{block}.{query}" not in stored:
        query, value = f"{names.query}.bias", f"{names.value}.bias"
    return [query, None, value]
