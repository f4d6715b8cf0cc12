"""Whether a model can be saved completely, so that it can be loaded again."""

from __future__ import annotations

from typing import Any

import torch

from tubelet.errors import WeightsError
from tubelet.fast.model import source_of
from tubelet.given_model import require_as_configured, unwrapped
from tubelet.model import ViViT
from tubelet.text import listing
from tubelet.weights.tensors import check_tensor


def saveable(model: Any, *, replaced: bool = False) -> ViViT:
    """The model to save: the one that a form of `optimise` was made from, the one in a wrapper, or the model itself.

    Args:
        model: a ViViT, a form of it, or a wrapper.
        replaced: let layers pass that are not as `model.config` describes them.

    Raises:
        ConfigError: it is no ViViT, or a layer is not as `model.config` describes it.
        WeightsError: weights are of a tensor class of their own, NaN or infinite, or `model.labels` does not fit.
    """
    model = source_of(unwrapped(model))
    if not replaced:
        require_as_configured(model, "saving")
    tensors = model.state_dict()
    special = [name for name, tensor in tensors.items() if type(tensor) is not torch.Tensor]  # quantised, for instance
    if special:
        raise WeightsError(
            f"the model cannot be saved: expected plain tensors, got others in {listing(special)}; save "
            "model.state_dict() with torch.save"
        )
    for name, tensor in tensors.items():
        check_tensor(tensor, name, "the model cannot be saved")
    _check_labels(model.labels, model.config.heads)
    return model


def _check_labels(labels: Any, heads: dict[str, int]) -> None:
    if labels is None:
        return
    fits = isinstance(labels, dict) and set(labels) == set(heads)
    for head, names in labels.items() if fits else ():
        fits = fits and isinstance(names, list | tuple) and len(names) == heads[head]
        fits = fits and all(isinstance(name, str) for name in names)
    if not fits:
        raise WeightsError(
            f"the model cannot be saved: model.labels must be None or a list of class names for each head, as many as "
            f"it has classes ({heads}), got {labels!r:.200}"
        )
