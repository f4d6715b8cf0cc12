"""A model that is ready to predict, on its device."""

from __future__ import annotations

import os
from dataclasses import replace

import torch
from torch import nn

from tubelet.config import PreprocessingConfig
from tubelet.device import resolve_device
from tubelet.errors import ConfigError
from tubelet.exported.model import device_for
from tubelet.given_model import unwrapped
from tubelet.model import ViViT


def ready(
    model: nn.Module | str | os.PathLike[str], device: str | torch.device | None = None, *, resample: bool = True
) -> tuple[ViViT, PreprocessingConfig]:
    """The model, loaded if need be and moved to its device, and how its videos are preprocessed.

    Args:
        model: a model, one in a wrapper (see `tubelet.given_model.unwrapped`), or what `tubelet.load` reads.
        device: by default that of the model, or `auto` for one that is loaded here.
        resample: False takes frames by number, whatever the frame rate.

    Raises:
        ConfigError: the model has no head, or no `preprocessing`.
    """
    model = unwrapped(model)
    if not isinstance(model, ViViT):
        from tubelet.weights import load

        model, device = load(os.fspath(model)), device or "auto"
    device = device_for(model, device)
    if model.preprocessing is None:
        raise ConfigError(
            "the model does not say how videos are preprocessed; set it as it was in training: "
            "model.preprocessing = tubelet.PreprocessingConfig(num_frames=..., resize=..., crop_size=...)"
        )
    if not model.config.heads:
        raise ConfigError("the model has no head (num_classes=0); model.reset_classifier gives it one")
    if device is not None:
        model.to(resolve_device(device))
    return model, replace(model.preprocessing, resample=model.preprocessing.resample and resample)
