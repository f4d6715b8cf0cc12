"""Whether a model is what its configuration says, so that a file of its weights can be loaded again."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tubelet.errors import WeightsError
from tubelet.model import ViViT
from tubelet.weights.tensors import check_tensor, listing


def require_saveable(model: nn.Module) -> ViViT:
    """Hold that a file can say all of a model: the layers that its configuration describes, and names of its classes.

    Returns:
        the model.

    Raises:
        WeightsError: it is no ViViT, layers were replaced, added or taken away, weights are NaN or infinite, or
            `model.labels` does not fit.
    """
    if not isinstance(model, ViViT):
        raise WeightsError(
            f"expected a ViViT to save, got {type(model).__name__}; give the model inside it: `_orig_mod` of "
            "torch.compile, `module` of DataParallel and DistributedDataParallel, `merge_and_unload()` of peft"
        )
    with torch.device("meta"):
        described = ViViT(model.config)
    expected, found = described.state_dict(), model.state_dict()
    changed = [name for name in found if name not in expected]
    changed += [name for name, tensor in expected.items() if name not in found or found[name].shape != tensor.shape]
    changed += [name for name, tensor in found.items() if type(tensor) is not torch.Tensor]  # quantised, for instance
    theirs = dict(model.named_modules())
    for name, module in described.named_modules():
        if name in theirs and not _computes_like(theirs[name], module):
            changed.append(name)
    if changed:
        raise WeightsError(
            f"the model cannot be saved: {listing(changed)} {'is' if len(changed) == 1 else 'are'} not what "
            "model.config describes, so that nothing could load the file; change a head with "
            "model.reset_classifier(num_classes), merge adapters first, or save model.state_dict() yourself"
        )
    for name, tensor in found.items():
        check_tensor(tensor, name, "the model cannot be saved")
    _check_labels(model.labels, model.config.heads)
    return model


def _computes_like(module: nn.Module, described: nn.Module) -> bool:
    """The same kind of layer where it has weights, with the same eps and activation."""
    has_tensors = any(True for _ in described.parameters(recurse=False)) or any(True for _ in described.buffers(False))
    if has_tensors and not isinstance(module, type(described)):
        return False
    values = [(getattr(module, name, None), getattr(described, name, None)) for name in ("eps", "activation")]
    return all(value == expected or value is None for value, expected in values)


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
