"""From whatever names an image transformer to its description: a file, a folder, a name, a model, or tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn

from tubelet.config import ModelConfig
from tubelet.errors import WeightsError
from tubelet.weights import image_vit_timm as timm_format
from tubelet.weights.hf_folder import read_weights
from tubelet.weights.image_vit import ImageViT, per_channel
from tubelet.weights.image_vit_hf import from_hf_folder, from_hf_tensors
from tubelet.weights.image_vit_npz import from_npz, read_npz
from tubelet.weights.json_config import read_json
from tubelet.weights.pickled import load_pickled
from tubelet.weights.scenic import read_parameters
from tubelet.weights.tensor_files import load_tensors

PICKLES = (".pth", ".pt", ".bin")
CHECKPOINTS = (".checkpoint", ".msgpack")
SUFFIXES = (".npz", ".safetensors", *PICKLES, *CHECKPOINTS)
WRAPPERS = ("model", "state_dict", "model_state_dict", "model_ema", "state_dict_ema")
"""Keys under which training scripts put a state dict."""

FORMATS = "an .npz file, a .safetensors or .pth file with timm's keys, a folder of transformers, or a model of timm"


def read_image_vit(
    source: str | Path | nn.Module | Mapping[str, Any] | ImageViT, *, architecture: str | None = None
) -> ImageViT:
    """Describe an image transformer, checked, wherever it is.

    Args:
        source: one of

            - a file: `.npz` (the published layout), `.safetensors`, `.pth`, `.pt` or `.bin` (timm's or transformers'
              keys; pickles are read with `weights_only=True`), `.checkpoint` (an image ViT of Scenic);
            - a folder: with the `config.json` of transformers (`ViTModel`) or of timm;
            - a name: of timm (`vit_base_patch16_224.augreg_in21k`), whose weights come through timm's own code, or of a
              folder on the Hugging Face Hub (`google/vit-base-patch16-224`, `timm/...`);
            - a model object of timm or transformers, or a state dict.
        architecture: timm's name of the architecture, for files that hold timm's keys and nothing else. Where neither
            the file nor `architecture` says it, activation and eps are assumed, and `notes` say so.

    Raises:
        WeightsError: it cannot be read, or is not a ViT whose block is ViViT's; the error says what it is instead.
    """
    if isinstance(source, ImageViT):
        vit = source
    elif isinstance(source, nn.Module):
        vit = _from_module(source)
    elif isinstance(source, Mapping):
        vit = _from_tensors(_without_numpy(source), "the given tensors", architecture)
    else:
        vit = _from_path(Path(source).expanduser(), str(source), architecture)
    if architecture is not None and (vit.format != "timm" or isinstance(source, ImageViT | nn.Module)):
        raise WeightsError(
            f"{vit.source}: architecture={architecture!r} is for files with timm's keys; leave it out, "
            f"since this is {vit.format!r} and says it itself"
        )
    return vit


def _from_path(path: Path, source: str, architecture: str | None) -> ImageViT:
    if path.is_dir():
        return _from_folder(path, architecture)
    if path.is_file():
        return _from_file(path, architecture)
    if path.suffix in SUFFIXES or path.is_absolute() or source.startswith("."):
        raise WeightsError(f"{source}: there is no such file or folder")
    return _from_name(source)


def _from_module(model: nn.Module) -> ImageViT:
    name = type(model).__name__
    config = getattr(model, "config", None)
    if isinstance(config, ModelConfig):
        raise WeightsError("the source is a video model; tubelet.weights.adapt makes one ViViT out of another")
    if hasattr(model, "patch_embed") or hasattr(model, "blocks"):
        return timm_format.from_timm_model(model, name)
    if config is not None and hasattr(config, "model_type") and hasattr(config, "to_dict"):
        return from_hf_tensors(model.state_dict(), name, config.to_dict())
    raise WeightsError(f"{name} is not an image transformer of timm or transformers; give {FORMATS}")


def _without_numpy(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The same with NumPy's arrays (what `numpy.load` gives) as tensors; others stay, and are refused later."""
    return {
        name: torch.from_numpy(array) if isinstance(array, numpy.ndarray) and array.dtype.kind in "fiu" else array
        for name, array in arrays.items()
    }


def _from_tensors(tensors: Mapping[str, Any], source: str, architecture: str | None) -> ImageViT:
    """By the keys."""
    if any(not isinstance(name, str) for name in tensors):
        raise WeightsError(f"{source}: expected tensors by name, but a key is not a name")
    if any(name.endswith("embedding/kernel") for name in tensors):
        return from_npz(tensors, source)
    if any("embeddings.patch_embeddings.projection" in name for name in tensors):
        return from_hf_tensors(tensors, source)
    if any(name.startswith(("blocks.", "patch_embed.")) for name in tensors):
        if architecture is None:
            return timm_format.from_timm_tensors(tensors, source)
        facts = timm_format.facts_of_architecture(architecture, tensors, source)
        return timm_format.from_timm_tensors(tensors, source, facts)
    found = ", ".join(list(tensors)[:4]) or "nothing"
    raise WeightsError(f"{source}: no known image transformer has these keys ({found} ...); expected {FORMATS}")


def _from_folder(folder: Path, architecture: str | None) -> ImageViT:
    config = _config_in(folder)
    if config is None:
        raise WeightsError(f"{folder}: there is no config.json; expected a folder of transformers or of timm")
    return _by_config(folder, config, read_weights(folder).left, str(folder), architecture)


def _from_file(file: Path, architecture: str | None) -> ImageViT:
    source = str(file)
    if file.suffix == ".npz":
        return from_npz(read_npz(file), source)
    if file.suffix in CHECKPOINTS or file.name.startswith("checkpoint"):
        parameters, notes = read_parameters(file)
        return dataclasses.replace(from_npz(parameters, source), format="scenic", notes=tuple(notes))
    if file.suffix not in SUFFIXES:
        raise WeightsError(f"{file}: an image model's file is called {', '.join(SUFFIXES)}")
    tensors = load_tensors(file)[0] if file.suffix == ".safetensors" else _read_pickle(file)
    return _by_config(file.parent, _config_in(file.parent) or {}, tensors, source, architecture)


def _config_in(folder: Path) -> dict[str, Any] | None:
    file = folder / "config.json"
    return read_json(file) if file.is_file() else None


def _by_config(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Any], source: str, architecture: str | None
) -> ImageViT:
    """By what `config.json` says, unless `architecture` says it."""
    if "tubelet" in config:
        raise WeightsError(f"{source} holds a video model of tubelet, not an image model; tubelet.load reads it")
    if "architecture" in config and architecture is None:
        return timm_format.from_timm_tensors(tensors, source, _facts_of_config(config, tensors, source))
    if "model_type" in config:
        return from_hf_folder(folder, tensors)
    return _from_tensors(tensors, source, architecture)


def _from_name(name: str) -> ImageViT:
    if "/" not in name:
        return timm_format.from_timm_model(timm_format.build(name, name, pretrained=True), name)
    from tubelet.weights.hub import download, hub_note

    folder = download(name)
    vit = _from_folder(folder, None)
    return dataclasses.replace(vit, source=name, notes=(hub_note(name, folder), *vit.notes))


def _facts_of_config(config: Mapping[str, Any], tensors: Mapping[str, Any], source: str) -> timm_format.TimmFacts:
    """From timm's own config.json: {"architecture": ..., "model_args": {...}, "pretrained_cfg": {...}}."""
    arguments = config.get("model_args") or {}
    pretrained = config.get("pretrained_cfg") or {}
    if not isinstance(arguments, Mapping) or not isinstance(pretrained, Mapping):
        raise WeightsError(f"{source}: config.json: model_args and pretrained_cfg should be tables")
    if config.get("global_pool") and "global_pool" not in arguments:
        arguments = {**arguments, "global_pool": config["global_pool"]}
    facts = timm_format.facts_of_architecture(str(config["architecture"]), tensors, source, arguments)
    labels = config.get("label_names")
    return dataclasses.replace(
        facts,
        mean=per_channel(pretrained.get("mean"), "pretrained_cfg.mean", source) or facts.mean,
        std=per_channel(pretrained.get("std"), "pretrained_cfg.std", source) or facts.std,
        labels=tuple(map(str, labels)) if isinstance(labels, list) else facts.labels,
    )


def _read_pickle(file: Path) -> Mapping[str, Any]:
    """A state dict written by `torch.save`, also where a training script has wrapped it. Nothing in it is executed."""
    contents = load_pickled(file, mmap=True)
    for wrapper in WRAPPERS:
        if isinstance(contents, Mapping) and isinstance(contents.get(wrapper), Mapping):
            contents = contents[wrapper]
            break
    if not isinstance(contents, Mapping) or not all(isinstance(name, str) for name in contents):
        raise WeightsError(f"{file}: expected tensors by name, got {type(contents).__name__}")
    if contents and all(name.startswith("module.") for name in contents):  # written through DistributedDataParallel
        contents = {name.removeprefix("module."): tensor for name, tensor in contents.items()}
    return contents
