"""A model in evaluation mode, in whose place its fastest form computes wherever that cannot be told apart."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar, cast

import torch
from torch import nn

from tubelet.inference.optimised import OptimisedViViT
from tubelet.model import ViViT
from tubelet.nn.attention import takes_manual_path
from tubelet.nn.untouched import is_untouched

Model = TypeVar("Model", bound=nn.Module)


class Evaluating(Generic[Model]):
    """`with evaluating() as model:` gives what to compute with.

    On a CPU that is `optimise(model)`, made when it is first wanted: 5 to 30 % faster, with logits that differ by
    rounding. Elsewhere, and where more is wanted of the model than its output, it is the model: hooks, recorded
    attention, a class or a compiled call of somebody's own.

    Args:
        model: a ViViT, or what takes its place. It may learn, change its head or move on between two uses.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._optimised: OptimisedViViT | None = None
        self._made_of: list[object] = []

    @contextmanager
    def __call__(self) -> Iterator[Model]:
        """Inside, what is given is in evaluation mode; afterwards the model is as it was."""
        if (optimised := self._in_its_place()) is not None:
            yield cast(Model, optimised)  # of its class, or of one below
            return
        training = self._model.training
        self._model.eval()
        try:
            yield self._model
        finally:
            self._model.train(training)

    def _in_its_place(self) -> OptimisedViViT | None:
        if not isinstance(self._model, ViViT) or not _only_its_output_counts(self._model):
            return None
        parts: list[object] = [*self._model.modules(), *self._model.parameters()]
        same = len(parts) == len(self._made_of) and all(map(operator.is_, parts, self._made_of))
        if self._optimised is None or not same:
            self._optimised, self._made_of = OptimisedViViT(self._model), parts
        return self._optimised


def _only_its_output_counts(model: ViViT) -> bool:
    if type(model) is not ViViT or model._compiled_call_impl is not None or takes_manual_path(model):
        return False
    if not all(map(is_untouched, model.modules())):
        return False
    return all(tensor.device == torch.device("cpu") for tensor in model.parameters())
