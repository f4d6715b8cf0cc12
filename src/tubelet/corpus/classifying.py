"""A model that gives logits, and an embedding in the same pass."""

from __future__ import annotations

import numpy
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from tubelet.device import Precision, autocast, resolve_precision
from tubelet.errors import ConfigError
from tubelet.evaluation.averaging import VIEWS_PER_FORWARD
from tubelet.exported import ExportedViViT
from tubelet.fast import Evaluating
from tubelet.given_model import logits_by_head
from tubelet.model import ViViT


def require_embeddings(model: ViViT) -> None:
    """Raise a ConfigError if a model gives logits alone."""
    if isinstance(model, ExportedViViT):
        raise ConfigError("an exported model gives logits alone; for embeddings use the run that it was made from")


class Classifier:
    """A model on its device. No pass holds views of two videos, so that a row does not depend on other rows.

    Args:
        model: with a head, on its device.
        precision: of matrix products.
        embeds: whether embeddings are asked for.
    """

    def __init__(self, model: ViViT, precision: Precision = "float32", *, embeds: bool = True) -> None:
        self.model = model
        self._embeds = embeds
        self._evaluating = Evaluating(model)
        self._device = next(model.parameters()).device
        self._dtype = resolve_precision(precision, self._device)

    @torch.no_grad()
    def __call__(
        self, views: Float[Tensor, "V T C H W"], frame_mask: Bool[Tensor, "V T"] | None
    ) -> tuple[dict[str, NDArray[numpy.float64]], NDArray[numpy.float32] | None]:
        """Logits and embedding of one video.

        Args:
            views: preprocessed.
            frame_mask: True where a frame is real.

        Returns:
            {head: float64 [K]}, the mean over the views; and the mean of their pooled vectors, float32 [D], divided by
            its length, None without embeddings.
        """
        logits: dict[str, list[Tensor]] = {}
        vectors = []
        with self._evaluating() as model, autocast(self._device, self._dtype):
            for first in range(0, len(views), VIEWS_PER_FORWARD):
                chunk = slice(first, first + VIEWS_PER_FORWARD)
                mask = None if frame_mask is None else frame_mask[chunk].to(self._device)
                if self._embeds:
                    vectors.append(model.forward_pooled(views[chunk].to(self._device), mask))
                    found = model.classify(vectors[-1])
                else:
                    found = model(views[chunk].to(self._device), mask)
                for head, values in logits_by_head(model, found).items():
                    logits.setdefault(head, []).append(values)
        means = {head: torch.cat(values).double().mean(dim=0).cpu().numpy() for head, values in logits.items()}
        if not self._embeds:
            return means, None
        mean = torch.cat(vectors).double().mean(dim=0)
        return means, torch.nn.functional.normalize(mean, dim=0).float().cpu().numpy()
