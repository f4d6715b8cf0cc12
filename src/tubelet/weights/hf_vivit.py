"""ViViT folders of the `transformers` library, both ways: `VivitForVideoClassification` and `VivitModel`.

Theirs is model 1 of the paper with a class token. Two releases name the same tensors differently:

    transformers 4    vivit.encoder.layer.0.attention.attention.query.weight    ...intermediate.dense    ...output.dense
    transformers 5    vivit.layers.0.attention.q_proj.weight                    ...mlp.fc1               ...mlp.fc2

Both are read. Transformers 5 reads (and by default writes) the older layout too, so that is the default here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.errors import ConfigError, WeightsError
from tubelet.files import replacing
from tubelet.json_files import dump_json
from tubelet.model import ViViT
from tubelet.weights.fold import fold_head_norm
from tubelet.weights.hf_config import CONFIG_FILE, FolderConfig
from tubelet.weights.hf_folder import PICKLED_FILE, SAFETENSORS_FILE, FolderFormat, load_folder
from tubelet.weights.hf_layers import (
    LAYOUTS,
    KeyLayout,
    block_tensors,
    count_classes,
    count_layers,
    layout_of,
    whole_tubelets,
)
from tubelet.weights.hf_preprocessing import IMAGE_FILE, VIDEO_FILE, VIVIT, processor_file
from tubelet.weights.json_config import read_json
from tubelet.weights.saveable import saveable
from tubelet.weights.source_tensors import SourceTensors
from tubelet.weights.tensor_files import save_tensors
from tubelet.weights.tensors import MappedTensor

WRITTEN_ACTIVATIONS = {"gelu_tanh": "gelu_fast", "gelu": "gelu", "gelu_quick": "quick_gelu"}


def load_hf_vivit(folder: str | Path, **options: Any) -> ViViT:
    """Read a ViViT folder of the `transformers` library, with the options of `load_folder`.

    With the processor's defaults, pixels lie in [-3, 1], a range that Scenic's weights were not trained on: the report
    warns of it, and `pixel_range=(-1, 1)` changes it.
    """
    unused = {"pooler.": "the pooler is no part of ViViT"}
    return load_folder(
        folder, FolderFormat("vivit", "transformers ViViT", VIVIT, _described, _mapped, unused), **options
    )


def save_hf_vivit(
    model: ViViT, folder: str | Path, *, key_layout: KeyLayout = "transformers_4", overwrite: bool = False
) -> tuple[str, ...]:
    """Write a folder that `VivitForVideoClassification.from_pretrained` loads (`VivitModel` for a model without head).

    Args:
        model: model 1 with a class token and learned positions, on any device.
        folder: is made if it is not there.
        key_layout: names of transformers 4, which transformers 5 reads too; or those of 5, which 4 does not read.
        overwrite: replace a ViViT folder of theirs that is there already.

    Returns:
        what the folder cannot say of the model, in sentences.

    Raises:
        WeightsError: `VivitForVideoClassification` is not this model; or there is a model in the folder already.
    """
    folder, model = Path(folder), fold_head_norm(saveable(model))
    _refuse_what_they_lack(model, key_layout)
    _refuse_to_overwrite(folder, overwrite)
    notes = []
    files = {CONFIG_FILE: _their_config(model)}
    if model.preprocessing is None:
        notes.append(f"the model has no preprocessing, so there is no {IMAGE_FILE}")
    else:
        files[IMAGE_FILE], more = processor_file(model.preprocessing)
        notes += more
    if model.config.drop_path:
        notes.append(f"drop_path={model.config.drop_path} is unknown to transformers; it matters in training alone")
    if not model.config.heads:
        notes.append(
            "VivitModel has a pooler, which ViViT has not: VivitModel.from_pretrained(..., add_pooling_layer=False)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:  # every file is whole before the first gets its name
        for name, contents in files.items():
            file = stack.enter_context(replacing(folder / name))
            file.write_text(dump_json(contents, indent=2) + "\n", encoding="utf-8")
        weights_file = stack.enter_context(replacing(folder / SAFETENSORS_FILE))
        save_tensors(_their_tensors(model, key_layout), weights_file, {"format": "pt"})
    for name in (IMAGE_FILE, VIDEO_FILE):  # what another model has left there
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    return tuple(notes)


# --- reading ---------------------------------------------------------------------------------------------------------


def _described(config: FolderConfig, stored: SourceTensors, prefix: str) -> tuple[dict[str, Any], list[str]]:
    """The fields of `ModelConfig`, and notes."""
    tubelet_size = config.sizes("tubelet_size", (2, 16, 16))
    num_frames, notes = whole_tubelets(config.integer("num_frames", 32), tubelet_size[0])
    fields = {
        **config.common_fields("gelu_fast", 1e-6),
        "num_layers": count_layers(stored, prefix, layout_of(stored, prefix), config),
        "image_size": config.sizes("image_size", (224, 224)),
        "num_frames": num_frames,
        "tubelet_size": tubelet_size,
        "num_classes": count_classes(stored, config, "VivitForVideoClassification"),
        "pool": "cls",
    }
    return fields, notes


def _mapped(
    config: FolderConfig, stored: SourceTensors, prefix: str, described: dict[str, Any]
) -> dict[str, MappedTensor]:
    names = layout_of(stored, prefix)
    tensors = stored.module("embedding", f"{prefix}embeddings.patch_embeddings.projection")
    tensors |= stored.module("encoder.norm", f"{prefix}layernorm")
    if described["num_classes"]:
        tensors |= stored.module("head", "classifier")
    tensors |= _tokens_and_positions(stored, f"{prefix}embeddings", described)
    with_bias = config.flag("qkv_bias", True)
    biases = [f"{part}.bias" if with_bias else None for part in names.qkv]
    for layer in range(described["num_layers"]):
        tensors |= block_tensors(stored, prefix, names, layer, biases)
    return tensors


def _tokens_and_positions(stored: SourceTensors, prefix: str, described: Mapping[str, Any]) -> dict[str, MappedTensor]:
    token_name, positions_name = f"{prefix}.cls_token", f"{prefix}.position_embeddings"
    token, positions = stored.take(token_name), stored.take(positions_name)
    sizes = (described["num_frames"], *described["image_size"])
    grid = [size // part for size, part in zip(sizes, described["tubelet_size"], strict=True)]
    width = described["hidden_size"]
    if list(positions.shape) != [1, 1 + math.prod(grid), width] or list(token.shape) != [1, 1, width]:
        raise WeightsError(
            f"{stored.source}: {positions_name} is {list(positions.shape)}, but {CONFIG_FILE} describes a class token "
            f"and {' x '.join(map(str, grid))} tubelets of width {width}: {[1, 1 + math.prod(grid), width]}"
        )
    return {
        "encoder.cls": MappedTensor(token[0], token_name),
        "encoder.positions.cls": MappedTensor(positions[0, :1], positions_name, "its first position"),
        "encoder.positions.grid": MappedTensor(
            positions[0, 1:].unflatten(0, grid), positions_name, "all but its first"
        ),
    }


# --- writing ---------------------------------------------------------------------------------------------------------


def _refuse_what_they_lack(model: ViViT, key_layout: KeyLayout) -> None:
    config = model.config
    if key_layout not in LAYOUTS:
        raise ConfigError(f"key_layout={key_layout!r} is not one of {', '.join(LAYOUTS)}")
    reasons = {
        f"variant={config.variant!r}: it has model 1, spatio_temporal, alone": config.variant != "spatio_temporal",
        f"pool={config.pool!r}: it classifies a class token": config.pool != "cls",
        f"positions={config.positions!r}: it has learned ones": config.positions != "learned",
        "embedding='conv_stem': it cuts tubelets from pixels": config.embedding == "conv_stem",
        f"sampled_frames={config.sampled_frames}: it embeds every frame": config.sampled_frames is not None,
        "a LayerNorm before the first block (input_norm)": config.input_norm,
        f"several heads ({', '.join(config.heads)}): it has one": not isinstance(config.num_classes, int),
        f"image_size={config.image_size}: transformers 4 has square images; key_layout='transformers_5' can hold it": (
            config.image_size[0] != config.image_size[1] and key_layout == "transformers_4"
        ),
        f"output_norm_eps={config.output_norm_eps}: its LayerNorms share one eps": (
            config.output_norm_eps not in (None, config.layer_norm_eps)
        ),
    }
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    if reason:
        raise WeightsError(f"VivitForVideoClassification cannot hold this model: {reason}; use the native format")


def _refuse_to_overwrite(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise WeightsError(f"{folder} is a file; name a folder to save the model in")
    present = [name for name in (CONFIG_FILE, SAFETENSORS_FILE, PICKLED_FILE) if (folder / name).exists()]
    present += [file.name for file in folder.glob("*.index.json")]
    if not present:
        return
    ours = CONFIG_FILE in present and read_json(folder / CONFIG_FILE).get("model_type") == "vivit"
    if not ours or set(present) - {CONFIG_FILE, SAFETENSORS_FILE}:
        raise WeightsError(f"{folder} holds {', '.join(present)} that tubelet did not write; name another folder")
    if not overwrite:
        raise WeightsError(f"{folder} holds a model already; overwrite=True replaces it (--overwrite)")


def _their_config(model: ViViT) -> dict[str, Any]:
    config = model.config
    height, width = config.image_size
    contents: dict[str, Any] = {
        "architectures": ["VivitForVideoClassification" if config.heads else "VivitModel"],
        "model_type": "vivit",
        "image_size": height if height == width else [height, width],
        "num_frames": config.num_frames,
        "tubelet_size": list(config.tubelet_size),
        "num_channels": config.in_channels,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.mlp_dim,
        "hidden_act": WRITTEN_ACTIVATIONS[config.activation],
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "layer_norm_eps": config.layer_norm_eps,
        "qkv_bias": True,
    }
    if config.heads:
        numbered = [f"LABEL_{number}" for number in range(config.heads["label"])]
        names = model.labels["label"] if model.labels else numbered
        contents["id2label"] = {str(number): name for number, name in enumerate(names)}
        contents["label2id"] = {name: number for number, name in enumerate(names)}
        if config.multi_label:
            contents["problem_type"] = "multi_label_classification"
    return contents


def _their_tensors(model: ViViT, key_layout: KeyLayout) -> dict[str, Tensor]:
    """The state dict under their names; what safetensors demands: no shared memory, contiguous, on the CPU."""
    ours = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    names, prefix = LAYOUTS[key_layout], "vivit." if model.config.heads else ""
    positions = torch.cat([ours["encoder.positions.cls"], ours["encoder.positions.grid"].flatten(0, 2)])
    theirs = {
        f"{prefix}embeddings.cls_token": ours["encoder.cls"][None],
        f"{prefix}embeddings.position_embeddings": positions[None],
        f"{prefix}embeddings.patch_embeddings.projection.weight": ours["embedding.weight"],
        f"{prefix}embeddings.patch_embeddings.projection.bias": ours["embedding.bias"],
    }
    for kind in ("weight", "bias"):
        theirs[f"{prefix}layernorm.{kind}"] = ours[f"encoder.norm.{kind}"]
        if model.config.heads:
            theirs[f"classifier.{kind}"] = ours[f"head.{kind}"]
        for layer in range(model.config.num_layers):
            block, their_block = f"encoder.blocks.{layer}", f"{prefix}{names.layer.format(layer)}"
            for our_part, part in names.plain().items():
                theirs[f"{their_block}.{part}.{kind}"] = ours[f"{block}.{our_part}.{kind}"]
            qkv = ours[f"{block}.attention.qkv.{kind}"].chunk(3)
            for part, tensor in zip(names.qkv, qkv, strict=True):
                theirs[f"{their_block}.{part}.{kind}"] = tensor
    return {name: tensor.clone().contiguous() for name, tensor in theirs.items()}
