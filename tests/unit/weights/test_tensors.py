"""Putting tensors into a model: all or nothing, and every reason for nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tubelet import WeightsError
from tubelet.weights.tensors import MappedTensor, assign_tensors


@pytest.fixture
def model() -> nn.Linear:
    return nn.Linear(3, 2)


def incoming(**changes: torch.Tensor) -> dict[str, MappedTensor]:
    tensors = {"weight": torch.ones(2, 3), "bias": torch.ones(2), **changes}
    return {name: MappedTensor(tensor, f"their.{name}") for name, tensor in tensors.items()}


def put(model: nn.Module, tensors: dict[str, MappedTensor], **options: object) -> None:
    assign_tensors(model, tensors, source="x.bin", format="test", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (torch.tensor([1.0, float("nan")]), "their.bias holds 1 numbers that are NaN or infinite"),
        (torch.tensor([float("inf"), float("-inf")]), "their.bias holds 2 numbers that are NaN or infinite"),
        (torch.ones(3), r"their.bias gives \[3\] where the model has \[2\]"),
        (torch.ones(2, dtype=torch.int64), "their.bias holds int64"),
    ],
)
def test_a_bad_tensor_is_named_and_the_model_stays_as_it_was(model: nn.Linear, bad: torch.Tensor, reason: str) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError, match=f"x.bin: {reason}"):
        put(model, incoming(bias=bad))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_missing_tensor_is_an_error_unless_it_is_new_on_purpose(model: nn.Linear) -> None:
    only_weight = {"weight": incoming()["weight"]}
    with pytest.raises(WeightsError, match="bias is missing"):
        put(model, only_weight)
    bias = model.bias.detach().clone()
    report = assign_tensors(model, only_weight, source="x.bin", format="test", new={"bias": "zero"})
    assert report.counts() == {"loaded": 1, "adapted": 0, "new": 1, "unused": 0}
    assert torch.equal(model.bias, bias)


def test_an_unexpected_tensor_is_an_error_unless_allowed_by_name(model: nn.Linear) -> None:
    with pytest.raises(WeightsError, match=r"extra\.0, extra\.1 are not expected.*allow_unexpected"):
        put(model, incoming(), unexpected=["extra.0", "extra.1"])
    with pytest.raises(WeightsError, match=r"extra\.1 is not expected"):
        put(model, incoming(), unexpected=["extra.0", "extra.1"], allow_unexpected=["extra.0"])
    report = assign_tensors(
        model, incoming(), source="x", format="test", unexpected=["extra.0", "extra.1"], allow_unexpected=["extra.*"]
    )
    assert report.names("unused") == ["extra.0", "extra.1"]


def test_half_precision_fills_a_model_of_single_precision(model: nn.Linear) -> None:
    put(model, incoming(weight=torch.full((2, 3), 0.5, dtype=torch.bfloat16)))
    assert model.weight.dtype == torch.float32
    assert torch.equal(model.weight, torch.full((2, 3), 0.5))
