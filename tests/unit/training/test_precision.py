"""What `precision = "auto"` is in a training on a CPU."""

from __future__ import annotations

import pytest
import torch

from tubelet import device
from tubelet.config import TrainConfig, override
from tubelet.device import resolve_precision
from tubelet.training.task import training_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize("units", [True, False])
def test_auto_is_bfloat16_where_a_processor_has_matrix_units(monkeypatch: pytest.MonkeyPatch, units: bool) -> None:
    monkeypatch.setattr(device, "has_matrix_units", lambda device: units)
    assert training_dtype(CPU, TrainConfig()) == (torch.bfloat16 if units else torch.float32)
    assert training_dtype(CPU, override(TrainConfig(), precision="float32")) == torch.float32


def test_blocks_in_plain_form_and_predictions_stay_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backward pass of plain attention is slow in bfloat16 (compiled models, adapters); predictions are exact."""
    monkeypatch.setattr(device, "has_matrix_units", lambda device: True)
    assert training_dtype(CPU, override(TrainConfig(), compile=True)) == torch.float32
    assert training_dtype(CPU, override(TrainConfig(), lora=4)) == torch.float32
    assert resolve_precision("auto", CPU) == torch.float32
