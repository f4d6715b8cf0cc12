"""What a folder cannot say of a model is refused when it is saved, not when it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tubelet
from tubelet import ConfigError, WeightsError
from tubelet.model import ViViT
from unit.weights.kinds import KINDS, tiny


class Adapter(nn.Module):
    """A low-rank addition to a layer, as adapters are put around one."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer, self.down = layer, nn.Linear(layer.in_features, 2, bias=False)
        self.up = nn.Linear(2, layer.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + self.up(self.down(x))


class Scaled(torch.Tensor):
    """A tensor that stands for other numbers, as those of quantised weights do."""


class Cosine(nn.Module):
    """A head with the tensors of a linear layer that computes something else."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(3, 16)), nn.Parameter(torch.ones(3))


def head(module: nn.Module) -> Callable[[Any], object]:
    return lambda model: setattr(model, "head", module)


CHANGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "more classes": (head(nn.Linear(16, 5)), r"head\.weight"),
    "a deeper head": (head(nn.Sequential(nn.Dropout(0.1), nn.Linear(16, 3))), r"head \(Sequential\)"),
    "a head without bias": (head(nn.Linear(16, 3, bias=False)), r"head\.bias"),
    "no head": (head(nn.Identity()), r"head \(Identity\)"),
    "another kind of head": (head(Cosine()), r"head \(Cosine\)"),
    "an adapter": (
        lambda model: setattr(model.encoder.blocks[0].mlp, "fc1", Adapter(model.encoder.blocks[0].mlp.fc1)),
        r"fc1 \(Adapter\)",
    ),
    "another eps": (lambda model: setattr(model.encoder.norm, "eps", 0.1), r"encoder\.norm"),
    "another activation": (lambda model: setattr(model.encoder.blocks[0].mlp, "activation", nn.ReLU()), "mlp"),
    "fewer blocks": (lambda model: model.encoder.blocks.pop(1), r"blocks\.1 "),
}


@pytest.mark.parametrize("format", ["native", "transformers", "scenic"])
@pytest.mark.parametrize("change", CHANGES)
def test_changed_layers_are_refused_by_every_format(change: str, format: str, tmp_path: Path) -> None:
    model = tiny()
    make, name = CHANGES[change]
    make(model)
    with pytest.raises(ConfigError, match=rf"saving takes layers .*{name}.*reset_classifier"):
        tubelet.convert(model, tmp_path / "out", format=format)
    assert not (tmp_path / "out").exists()


def test_weights_of_a_class_of_their_own_are_not_saved(tmp_path: Path) -> None:
    model = tiny()
    model.head.weight = nn.Parameter(model.head.weight.detach().as_subclass(Scaled))
    with pytest.raises(WeightsError, match=r"expected plain tensors, got others in .*head\.weight"):
        tubelet.save(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path) -> None:
    model = tiny()
    with torch.no_grad():
        model.head.bias[1] = float("nan")
    with pytest.raises(WeightsError, match=r"cannot be saved: head\.bias holds 1 numbers that are NaN"):
        tubelet.save(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "labels",
    [{"label": ["a"]}, {"label": [1, 2, 3]}, {"label": "abc"}, ["a", "b", "c"], {"verb": ["a", "b", "c"]}],
    ids=str,
)
def test_labels_that_could_not_be_loaded_are_not_saved(labels: Any, tmp_path: Path) -> None:
    model = tiny()
    model.labels = labels
    with pytest.raises(WeightsError, match=r"model\.labels must be .*'label': 3"):
        tubelet.save(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_computes_the_same_is_saved(kind: str, tmp_path: Path) -> None:
    """An optimised model, hooks, a new head by `reset_classifier`, and weights that are frozen."""
    model: ViViT = tubelet.create(tiny(**KINDS[kind]).config)
    model.reset_classifier(5)
    model.labels = {"label": list("abcde")}
    model.register_forward_hook(lambda *_: None)
    model.requires_grad_(False)
    tubelet.save(tubelet.optimise(model), tmp_path)
    loaded = tubelet.load(tmp_path)
    assert loaded.labels == {"label": list("abcde")}
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())
