"""`config.json` of the `transformers` library, read without trusting it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tubelet.config.model import LARGEST_SIZE
from tubelet.errors import WeightsError
from tubelet.weights.image_vit import Activation
from tubelet.weights.json_config import is_number, read_json

CONFIG_FILE = "config.json"

ACTIVATIONS: dict[str, Activation] = {
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "quick_gelu": "gelu_quick",
}
"""Activation by their name of it. Several names are the same function."""


class FolderConfig:
    """The values of `config.json`; one of a wrong type is an error that names it.

    Args:
        folder: with `config.json`.
        model_type: that it must have.
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
        if not is_number(value):
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
        """Our name of `hidden_act`."""
        value = self._get("hidden_act", default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise WeightsError(
                f"{self.where}: hidden_act={value!r} is an activation that tubelet does not have; "
                f"it has {', '.join(ACTIVATIONS)}"
            )
        return ACTIVATIONS[value]

    def common_fields(self, activation: str, layer_norm_eps: float) -> dict[str, Any]:
        """The fields of `ModelConfig` that all their transformers have by the same names.

        Args:
            activation, layer_norm_eps: defaults of their configuration class.
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
        if self._get("head_dim", head_width) != head_width:
            raise WeightsError(
                f"{self.where}: head_dim={self.values['head_dim']} is not hidden_size / num_attention_heads = "
                f"{head_width}; tubelet has no such attention"
            )
        return fields

    def labels(self, num_classes: int) -> tuple[dict[str, list[str]] | None, list[str]]:
        """Class names from `id2label` (None if they are placeholders like "LABEL_3"), and notes for the report."""
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
