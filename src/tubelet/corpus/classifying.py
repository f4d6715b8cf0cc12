"""A model that gives logits and an embedding in one pass."""

from __future__ import annotations

import numpy
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from tubelet.device import Precision, autocast, resolve_precision
from tubelet.evaluation.averaging import VIEWS_PER_FORWARD
from tubelet.fast import Evaluating
from tubelet.given_model import logits_by_head
from tubelet.model import ViViT


class Classifier:
    """A model on its device. No pass holds views of two videos, so that a row does not depend on other rows.

    Args:
        model: with a head, on its device.
        precision: of matrix products.
    """

    def __init__(self, model: ViViT, precision: Precision = "float32") -> None:
        self.model = model
        self._evaluating = Evaluating(model)
        self._device = next(model.parameters()).device
        self._dtype = resolve_precision(precision, self._device)

    @torch.no_grad()
    def __call__(
        self, views: Float[Tensor, "V T C H W"], frame_mask: Bool[Tensor, "V T"] | None
    ) -> tuple[dict[str, NDArray[numpy.float64]], NDArray[numpy.float32]]:
        """Logits and embedding of one video.

        Args:
            views: preprocessed.
            frame_mask: True where a frame is real.

        Returns:
            {head: float64 [K]}, the mean over the views; and the mean of their pooled vectors, float32 [D], divided by
            its length.
        """
        logits: dict[str, list[Tensor]] = {}
        vectors = []
        with self._evaluating() as model, autocast(self._device, self._dtype):
            for first in range(0, len(views), VIEWS_PER_FORWARD):
                chunk = slice(first, first + VIEWS_PER_FORWARD)
                mask = None if frame_mask is None else frame_mask[chunk].to(self._device)
                pooled = model.forward_pooled(views[chunk].to(self._device), mask)
                vectors.append(pooled)
                for head, values in logits_by_head(model, model.classify(pooled)).items():
                    logits.setdefault(head, []).append(values)
        mean = torch.cat(vectors).double().mean(dim=0)
        embedding = torch.nn.functional.normalize(mean, dim=0).float().cpu().numpy()
        return {
            head: torch.cat(values).double().mean(dim=0).cpu().numpy() for head, values in logits.items()
        }, embedding
