"""A folder as the `transformers` library writes it: `config.json` beside safetensors or `pytorch_model.bin`.

`transformers` itself is never imported: the folder is read as data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.errors import ConfigError, WeightsError
from tubelet.model import ViViT
from tubelet.text import listing
from tubelet.weights.adapt import adapt
from tubelet.weights.hf_config import CONFIG_FILE, FolderConfig
from tubelet.weights.hf_preprocessing import Family, read_preprocessing, with_pixel_range
from tubelet.weights.json_config import read_json
from tubelet.weights.pickled import load_pickled
from tubelet.weights.source_tensors import SourceTensors
from tubelet.weights.tensor_files import load_tensors
from tubelet.weights.tensors import FLOATS, MappedTensor, assign_tensors, empty_model, meta_state

SAFETENSORS_FILE = "model.safetensors"
PICKLED_FILE = "pytorch_model.bin"

LONGEST_NAME = 255
"""Bytes of a file's name."""


def read_weights(folder: Path) -> SourceTensors:
    """All tensors of the folder, from safetensors if there are any, else from `pytorch_model.bin` (or shards)."""
    for name in (SAFETENSORS_FILE, PICKLED_FILE):
        file, index = folder / name, folder / f"{name}.index.json"
        read = _read_safetensors if name == SAFETENSORS_FILE else read_pickled
        if file.is_file():
            return _source_tensors(read(file), file)
        if index.is_file():
            return _source_tensors(_read_shards(index, read), index)
    raise WeightsError(
        f"{folder}: expected {SAFETENSORS_FILE} or {PICKLED_FILE} (or the index of their shards) beside {CONFIG_FILE}"
    )


def _source_tensors(tensors: Mapping[str, Tensor], file: Path) -> SourceTensors:
    return SourceTensors(tensors, str(file), f"{CONFIG_FILE} describes another model", dtype=None)


def read_pickled(file: Path) -> dict[str, Tensor]:
    """The tensors of a `pytorch_model.bin`; nothing in it is executed."""
    tensors = load_pickled(file, mmap=True)
    is_tensors = isinstance(tensors, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    )
    if not is_tensors:
        raise WeightsError(f"{file}: expected a table of tensors by name, got something else")
    return tensors


@dataclass(frozen=True)
class FolderFormat:
    """How the folders of one kind of model are read.

    Attributes:
        model_type: in `config.json`, and the prefix that tensors of the encoder may have.
        name: for the report.
        family: of their processors.
        describe: (configuration, tensors, prefix) to fields of `ModelConfig` and notes.
        map_tensors: (configuration, tensors, prefix, fields) to the tensors of our model.
        unused: prefixes of tensors that are left out, and why.
    """

    model_type: str
    name: str
    family: Family
    describe: Callable[[FolderConfig, SourceTensors, str], tuple[dict[str, Any], list[str]]]
    map_tensors: Callable[[FolderConfig, SourceTensors, str, dict[str, Any]], dict[str, MappedTensor]]
    unused: Mapping[str, str]


def load_folder(
    folder: str | Path,
    format: FolderFormat,
    *,
    pixel_range: tuple[float, float] | None = None,
    preprocessing: PreprocessingConfig | None = None,
    allow_unexpected: Iterable[str] = (),
    **fields: Any,
) -> ViViT:
    """Read a folder of the `transformers` library; `model.load_report` says what was loaded.

    The model computes what theirs computes, and its preprocessing gives the numbers that the folder's processor gives.

    Args:
        folder: `config.json` and the weights (safetensors, whole or in shards, or `pytorch_model.bin`).
        format: of the folder.
        pixel_range: values of black and white pixels, instead of those of the folder's processor.
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
    config, stored = FolderConfig(folder, format.model_type), read_weights(folder)
    prefix = f"{format.model_type}."
    prefix = prefix if any(name.startswith(prefix) for name in stored.left) else ""
    described, notes = format.describe(config, stored, prefix)
    labels, label_notes = config.labels(described["num_classes"])
    if described["num_classes"] and config.values.get("problem_type") == "multi_label_classification":
        described = {**described, "multi_label": ("label",)}
    tensors = format.map_tensors(config, stored, prefix, described)
    unused: dict[str, str] = {}
    for start, why in format.unused.items():
        unused |= stored.take_all(prefix + start, why) | stored.take_all(start, why)
    model = _matching_model(described, labels, tensors, config.where, stored.source)
    if preprocessing is None:
        preprocessing, more = read_preprocessing(folder, format.family, model.config)
        notes = [*notes, *label_notes, *more]
    else:
        notes = [*notes, *label_notes]
    if pixel_range is not None:
        preprocessing = with_pixel_range(preprocessing, pixel_range)
        notes = [note for note in notes if not note.startswith("warning:")]
        notes.append(f"pixel_range={pixel_range} instead of what the folder's processor gives")
    model.preprocessing = preprocessing
    model.load_report = assign_tensors(
        model,
        tensors,
        source=stored.source,
        format=format.name,
        unused=unused,
        unexpected=stored.left,
        allow_unexpected=allow_unexpected,
        notes=notes,
    )
    return adapt(model, **fields) if fields else model


def _matching_model(
    described: Mapping[str, Any],
    labels: dict[str, list[str]] | None,
    tensors: Mapping[str, MappedTensor],
    where: str,
    source: str,
) -> ViViT:
    """The described model, uninitialised, in evaluation mode and the dtype of the tensors; shapes are checked first."""
    try:
        config = ModelConfig(**described)
        expected = {name: list(tensor.shape) for name, tensor in meta_state(config).items()}
        for name, mapped in tensors.items():
            if name in expected and list(mapped.tensor.shape) != expected[name]:
                raise ConfigError(
                    f"describes a model whose {name} is {expected[name]}, but {mapped.source} in {source} "
                    f"makes it {list(mapped.tensor.shape)}"
                )
        model = empty_model(config, None, labels)
    except ConfigError as error:
        raise WeightsError(f"{where}: {error}") from error
    dtype = reduce(torch.promote_types, (mapped.tensor.dtype for mapped in tensors.values() if mapped.source))
    return (model.to(dtype) if dtype in FLOATS else model).eval()


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    return load_tensors(file)[0]


def _read_shards(index: Path, read: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{index}: expected a weight_map of tensor names to files")
    files = sorted({str(file) for file in weight_map.values()})
    strange = [file for file in files if Path(file).name != file or file in ("", ".", "..") or "\\" in file]
    strange += [file for file in files if len(os.fsencode(file)) > LONGEST_NAME or "\0" in file]
    if strange:
        raise WeightsError(f"{index}: {listing(strange)}: shards must be files of the same folder")
    tensors: dict[str, Tensor] = {}
    for file in files:
        if not (index.parent / file).is_file():
            raise WeightsError(f"{index}: its file {file} is missing; the download is incomplete")
        tensors.update(read(index.parent / file))
    missing = [name for name in weight_map if name not in tensors]
    if missing:
        raise WeightsError(f"{index}: {listing(missing)} is in none of its files; the folder is damaged")
    return tensors
