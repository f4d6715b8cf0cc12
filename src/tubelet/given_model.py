"""Models of users: in a wrapper, with replaced layers, with a replaced head."""

from __future__ import annotations

import os
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tubelet.errors import ConfigError
from tubelet.exported import ExportedViViT
from tubelet.model import ViViT
from tubelet.nn.batch_norm import BatchNorm
from tubelet.text import listing

Path_ = TypeVar("Path_", bound=str | os.PathLike[str])


@overload
def unwrapped(model: nn.Module) -> ViViT: ...
@overload
def unwrapped(model: nn.Module | Path_) -> ViViT | Path_: ...
def unwrapped(model: Any) -> Any:
    """The ViViT in a wrapper of `torch.compile`, `DataParallel`, DDP or peft.

    Args:
        model: a ViViT, a wrapper, or a path, which is returned as it is.

    Raises:
        ConfigError: anything else.
    """
    if isinstance(model, ViViT | str | os.PathLike):
        return model
    if type(model).__module__.startswith("torch._dynamo."):  # `OptimizedModule`, without importing the compiler
        return unwrapped(model._orig_mod)
    if isinstance(model, nn.DataParallel | DistributedDataParallel):
        return unwrapped(model.module)
    if type(model).__module__.startswith("peft."):
        return unwrapped(model.get_base_model())
    raise ConfigError(
        f"expected a ViViT (or one in torch.compile, DataParallel, DistributedDataParallel or peft), or what "
        f"tubelet.load reads: a run, a model folder, a Hub id; got a {type(model).__name__}"
    )


def require_as_configured(model: ViViT, purpose: str) -> None:
    """Check that all layers are as `model.config` describes them, since the configuration is all that is saved.

    Raises:
        ConfigError: a layer was replaced, or has other sizes.
    """
    if isinstance(model, ExportedViViT):
        raise ConfigError(
            f"{purpose} takes weights, and {model.folder} is an exported model; name the run that it is from"
        )
    if changed := replaced_layers(model):
        raise ConfigError(
            f"{purpose} takes layers as model.config describes them, and these are others: "
            f"{listing(changed, 3)}; model.reset_classifier makes a new head, adapters are merged into their "
            "layers first, and anything else is saved with torch.save(model.state_dict(), file)"
        )


def replaced_layers(model: ViViT) -> list[str]:
    """The layers that are not those that `model.config` makes, with their classes; or tensors of other sizes."""
    with torch.device("meta"):
        described = ViViT(model.config)
    expected, own = dict(described.named_modules()), dict(model.named_modules())
    types = {name: (type(expected.get(name)), type(own.get(name))) for name in {**expected, **own} if name}
    changed = [f"{name} ({found.__name__})" for name, (wanted, found) in types.items() if not _same_type(wanted, found)]
    for name in expected.keys() & own.keys():
        found, wanted = vars(own[name]), vars(expected[name])
        changed += [f"{name}.{value}" for value in ("eps", "activation") if found.get(value) != wanted.get(value)]
    shapes = {name: list(tensor.shape) for name, tensor in described.state_dict().items()}
    sizes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    return changed or [
        f"{name} {sizes.get(name, 'missing')}" for name in {**shapes, **sizes} if shapes.get(name) != sizes.get(name)
    ]


def _same_type(expected: type, own: type) -> bool:
    sharded = own.__name__ == f"FSDP{expected.__name__}" and issubclass(own, expected)  # by `fully_shard`
    return own is expected or sharded or (issubclass(own, BatchNorm) and issubclass(expected, BatchNorm))


def logits_by_head(model: nn.Module, logits: Any) -> dict[str, Tensor]:
    """The output of a model as {head: [B, K]}; a single head is called `label`.

    Raises:
        ConfigError: other heads or other numbers of classes than `model.config` says, as after its head was replaced.
    """
    found = logits if isinstance(logits, dict) else {"label": logits}
    sizes = {head: values.shape[-1] for head, values in found.items()}
    if isinstance(model, ViViT) and sizes != model.config.heads:
        raise ConfigError(
            f"model.head gives {sizes} logits, and model.config describes {model.config.heads} classes; "
            f"model.reset_classifier({next(iter(sizes.values())) if len(sizes) == 1 else sizes}) makes a head that the "
            "configuration knows, whose weights can then be replaced"
        )
    return found
