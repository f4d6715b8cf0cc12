"""A folder as the `transformers` library writes it: `config.json` beside safetensors or `pytorch_model.bin`.

`transformers` itself is never imported: the folder is read as data.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.config.model import LARGEST_SIZE
from tubelet.errors import ConfigError, WeightsError
from tubelet.model import ViViT
from tubelet.text import listing
from tubelet.weights.adapt import adapt
from tubelet.weights.hf_preprocessing import Family, read_preprocessing, with_pixel_range
from tubelet.weights.json_config import read_json
from tubelet.weights.pickled import load_pickled
from tubelet.weights.tensor_files import load_tensors
from tubelet.weights.tensors import FLOATS, Incoming, put_tensors

CONFIG_FILE = "config.json"
SAFETENSORS_FILE = "model.safetensors"
PICKLED_FILE = "pytorch_model.bin"

LONGEST_NAME = 255
"""Bytes of a file's name."""

ACTIVATIONS = {
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "quick_gelu": "gelu_quick",
}
"""Their name of an activation to ours. Several of theirs are one function."""


class FolderConfig:
    """`config.json` of a folder, read with care: a value of a wrong type is an error that names it.

    Args:
        folder: holds `config.json`.
        model_type: what it must say of itself.

    Raises:
        WeightsError: the file is missing, unreadable or about another kind of model.
    """

    def __init__(self, folder: Path, model_type: str) -> None:
        self.folder = folder
        self.where = str(folder / CONFIG_FILE)
        if not (folder / CONFIG_FILE).is_file():
            raise WeightsError(f"{folder}: expected a Hugging Face folder, but there is no {CONFIG_FILE}")
        self.values = read_json(folder / CONFIG_FILE)
        found = self.values.get("model_type")
        if found != model_type:
            raise WeightsError(f"{self.where}: expected model_type {model_type!r}, got {found!r}")

    def integer(self, name: str, default: int) -> int:
        """A size, from 1 to what a model can have."""
        value = self._get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_SIZE:
            raise self._wrong(name, f"a whole number from 1 to {LARGEST_SIZE}")
        return value

    def number(self, name: str, default: float) -> float:
        """A finite number."""
        value = self._get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self._wrong(name, "a number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """true or false."""
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def sizes(self, name: str, default: Sequence[int]) -> tuple[int, ...]:
        """As many sizes as `default` has; one number stands for all of them."""
        value = self._get(name, list(default))
        values = [value] * len(default) if isinstance(value, int) else value
        is_sizes = isinstance(values, list) and len(values) == len(default)
        if not is_sizes or not all(type(size) is int and 1 <= size <= LARGEST_SIZE for size in values):
            raise self._wrong(name, f"{len(default)} whole numbers from 1 to {LARGEST_SIZE}")
        return tuple(values)

    def activation(self, default: str) -> str:
        """Our name of `hidden_act`.

        Raises:
            WeightsError: an activation that tubelet does not have.
        """
        value = self._get("hidden_act", default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise WeightsError(
                f"{self.where}: hidden_act={value!r} is an activation that tubelet does not have; "
                f"it has {', '.join(ACTIVATIONS)}"
            )
        return ACTIVATIONS[value]

    def common_fields(self, activation: str, layer_norm_eps: float) -> dict[str, Any]:
        """The fields of `ModelConfig` that every transformer of theirs names alike.

        Args:
            activation, layer_norm_eps: what their configuration class has by default.
        """
        fields: dict[str, Any] = {
            "in_channels": self.integer("num_channels", 3),
            "hidden_size": self.integer("hidden_size", 768),
            "num_layers": self.integer("num_hidden_layers", 12),
            "num_heads": self.integer("num_attention_heads", 12),
            "mlp_dim": self.integer("intermediate_size", 3072),
            "activation": self.activation(activation),
            "layer_norm_eps": self.number("layer_norm_eps", layer_norm_eps),
            "dropout": self.number("hidden_dropout_prob", 0.0),
            "attention_dropout": self.number("attention_probs_dropout_prob", 0.0),
        }
        head_width = fields["hidden_size"] // fields["num_heads"]
        if self.values.get("head_dim", head_width) != head_width:
            raise WeightsError(
                f"{self.where}: head_dim={self.values['head_dim']} is not hidden_size / num_attention_heads = "
                f"{head_width}; tubelet has no such attention"
            )
        return fields

    def labels(self, num_classes: int) -> tuple[dict[str, list[str]] | None, list[str]]:
        """Class names out of `id2label`, and notes for the report.

        Names that only repeat the number ("LABEL_3") are no names: the classes then stay without.

        Raises:
            WeightsError: not one name for each of `num_classes` classes.
        """
        table = self.values.get("id2label")
        if num_classes == 0:
            return None, []
        if table is None:
            return None, [f"{CONFIG_FILE} has no class names: the {num_classes} classes are numbered"]
        numbers = [str(number) for number in range(num_classes)]
        if not isinstance(table, dict) or sorted(table) != sorted(numbers):
            raise WeightsError(
                f"{self.where}: id2label names {len(table) if isinstance(table, dict) else table!r} classes, but the "
                f"classifier has {num_classes}; it must have a name for each number from 0"
            )
        names = [table[number] for number in numbers]
        if not all(isinstance(name, str) for name in names):
            raise WeightsError(f"{self.where}: id2label must map numbers to names")
        if names == [f"LABEL_{number}" for number in numbers]:
            return None, [f"{CONFIG_FILE} has no class names: the {num_classes} classes are numbered"]
        return {"label": names}, []

    def _get(self, name: str, default: Any) -> Any:
        value = self.values.get(name)
        return default if value is None else value

    def _wrong(self, name: str, expected: str) -> WeightsError:
        return WeightsError(f"{self.where}: {name}: expected {expected}, got {self.values[name]!r:.80}")


class Stored:
    """The tensors of a folder, taken one by one, so that none is forgotten.

    Args:
        tensors: by the names of the file.
        source: the file, for errors.
    """

    def __init__(self, tensors: Mapping[str, Tensor], source: str) -> None:
        self.tensors = dict(tensors)
        self.source = source
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def take(self, name: str) -> Tensor:
        """The tensor of that name.

        Raises:
            WeightsError: there is none.
        """
        tensor = self._found(name)
        self._taken.add(name)
        return tensor

    def shape(self, name: str) -> list[int]:
        """The shape of a tensor that must be there, which is not taken yet."""
        return list(self._found(name).shape)

    def rest(self) -> list[str]:
        """The names that nobody took."""
        return [name for name in self.tensors if name not in self._taken]

    def _found(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise WeightsError(f"{self.source}: {name} is missing; {CONFIG_FILE} describes another model")
        return self.tensors[name]


def read_weights(folder: Path) -> Stored:
    """Every tensor of the folder, from safetensors where there are any, else from `pytorch_model.bin`; or from shards.

    Raises:
        WeightsError: there are no weights, or they are damaged, or a pickle holds anything but tensors.
    """
    for name in (SAFETENSORS_FILE, PICKLED_FILE):
        file, index = folder / name, folder / f"{name}.index.json"
        read = _read_safetensors if name == SAFETENSORS_FILE else read_pickled
        if file.is_file():
            return Stored(read(file), str(file))
        if index.is_file():
            return Stored(_read_shards(index, read), str(index))
    raise WeightsError(
        f"{folder}: expected {SAFETENSORS_FILE} or {PICKLED_FILE} (or the index of their shards) beside {CONFIG_FILE}"
    )


def read_pickled(file: Path) -> dict[str, Tensor]:
    """The tensors of a `pytorch_model.bin`; nothing in it is executed.

    Raises:
        WeightsError: the file is damaged, or holds anything but tensors.
    """
    tensors = load_pickled(file, mmap=True)
    is_tensors = isinstance(tensors, dict) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    )
    if not is_tensors:
        raise WeightsError(f"{file}: expected a table of tensors by name, got something else")
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise WeightsError(f"{file}: {name} claims the shape {list(tensor.shape)}, which the file does not hold")
    return tensors


def build(
    config: Mapping[str, Any],
    preprocessing: PreprocessingConfig | None,
    labels: dict[str, list[str]] | None,
    tensors: Mapping[str, Incoming],
    *,
    where: str,
    **report: Any,
) -> ViViT:
    """Make the model that a folder describes and put its tensors in; `model.load_report` says what became of each.

    Shapes are compared before any memory is taken for the model.

    Args:
        config: fields of `ModelConfig`.
        preprocessing, labels: kept with the model.
        tensors: our state-dict names to what belongs there.
        where: the configuration file, for errors.
        report: what `put_tensors` needs.

    Returns:
        the model, in evaluation mode, in the floating-point type of the file.

    Raises:
        WeightsError: sizes that cannot be, or that the tensors do not have.
    """
    try:
        fields = ModelConfig(**config)
        with torch.device("meta"):
            expected = {name: list(tensor.shape) for name, tensor in ViViT(fields).state_dict().items()}
        for name, incoming in tensors.items():
            if name in expected and list(incoming.tensor.shape) != expected[name]:
                raise ConfigError(
                    f"describes a model whose {name} is {expected[name]}, but {incoming.source} in {report['source']} "
                    f"makes it {list(incoming.tensor.shape)}"
                )
        model = ViViT(fields, preprocessing, labels)
    except (ConfigError, RuntimeError) as error:
        raise WeightsError(f"{where}: {error}") from error
    dtype = reduce(torch.promote_types, (incoming.tensor.dtype for incoming in tensors.values()))
    if dtype in FLOATS:
        model.to(dtype)
    model.load_report = put_tensors(model, tensors, **report)
    return model.eval()


def finished(
    model: ViViT,
    folder: Path,
    family: Family,
    pixel_range: tuple[float, float] | None,
    preprocessing: PreprocessingConfig | None,
    fields: Mapping[str, Any],
) -> ViViT:
    """Give a loaded model its preprocessing, and what else was asked for by `fields`.

    Args:
        model: with its report.
        folder: whose processor counts unless `preprocessing` is given.
        family: whose processor it is.
        pixel_range: instead of the processor's.
        preprocessing: instead of the folder's processor.
        fields: of `ModelConfig`, for `adapt`.
    """
    notes: list[str] = []
    if preprocessing is None:
        preprocessing, notes = read_preprocessing(folder, family, model.config)
    if pixel_range is not None:
        preprocessing = with_pixel_range(preprocessing, pixel_range)
        notes = [note for note in notes if not note.startswith("warning:")]
        notes.append(f"pixel_range={pixel_range} instead of what the folder's processor gives")
    model.preprocessing = preprocessing
    model.load_report = replace(model.load_report, notes=(*model.load_report.notes, *notes))
    return adapt(model, **fields) if fields else model


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
