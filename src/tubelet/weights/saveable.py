"""Whether a file can say all of a model, so that what is saved can be loaded again."""

from __future__ import annotations

from typing import Any

from tubelet.errors import WeightsError
from tubelet.fast.model import source_of
from tubelet.model import ViViT, require_as_configured, unwrapped


def saveable(model: Any) -> ViViT:
    """The model to save: the one that a form of `optimise` was made from, the one in a wrapper, or the model itself.

    Raises:
        ConfigError: it is no ViViT, or a layer is not as `model.config` describes it.
        WeightsError: `model.labels` does not fit.
    """
    model = source_of(unwrapped(model))
    require_as_configured(model, "saving")
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
