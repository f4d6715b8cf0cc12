"""A model in evaluation mode, or its optimised form where only the outputs are used."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar, cast
from weakref import WeakKeyDictionary

from torch import nn

from tubelet.fast.hooks import has_no_hooks, no_global_hooks
from tubelet.fast.optimised import OptimisedViViT
from tubelet.model import ViViT
from tubelet.nn.attention import DotProduct

Model = TypeVar("Model", bound=nn.Module)


class Evaluating(Generic[Model]):
    """`with evaluating() as model:` gives what to compute with.

    On a CPU that is `optimise(model)`, made at the first use: 5 to 30 % faster, with logits that differ by rounding. On
    other devices, and if the model has hooks, records attention, is compiled or of another class, it is the model.
    Several threads may be inside at once.

    Args:
        model: a ViViT or any other module. It may be trained, changed or moved between two uses.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._optimised: OptimisedViViT | None = None

    @contextmanager
    def __call__(self) -> Iterator[Model]:
        """Yield the model to compute with, in evaluation mode; afterwards each module has its former mode."""
        if (optimised := self._optimised_form()) is not None:
            yield cast(Model, optimised)  # also a ViViT
            return
        _enter(self._model)
        try:
            yield self._model
        finally:
            _leave(self._model)

    def _optimised_form(self) -> OptimisedViViT | None:
        if not isinstance(self._model, ViViT) or not _is_plain(self._model):
            return None
        if self._optimised is None:
            self._optimised = OptimisedViViT(self._model)
        return self._optimised


_LOCK = threading.Lock()
_INSIDE: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
_MODES: WeakKeyDictionary[nn.Module, dict[str, bool]] = WeakKeyDictionary()


def _enter(model: nn.Module) -> None:
    """Put the model in evaluation mode; the first thread to do so keeps the mode that each module was in."""
    with _LOCK:
        _INSIDE[model] = _INSIDE.get(model, 0) + 1
        if _INSIDE[model] == 1:
            _MODES[model] = {name: module.training for name, module in model.named_modules()}
            model.eval()


def _leave(model: nn.Module) -> None:
    """The last thread puts the modes back."""
    with _LOCK:
        _INSIDE[model] -= 1
        if not _INSIDE[model]:
            modes = _MODES.pop(model)
            for name, module in model.named_modules():
                module.training = modes.get(name, model.training)


def _is_plain(model: ViViT) -> bool:
    if type(model) is not ViViT or model._compiled_call_impl is not None or not no_global_hooks():
        return False
    for module in model.modules():
        if not has_no_hooks(module) or (isinstance(module, DotProduct) and not module.fused):
            return False
        if any(values is not None and not values.is_cpu for values in module._parameters.values()):
            return False
    return True
