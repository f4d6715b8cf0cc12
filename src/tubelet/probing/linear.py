"""A linear classifier on features: multinomial logistic regression with a ridge penalty."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
"""Tried from the strongest to the weakest, each from the solution of the one before."""

ITERATIONS = 300


class LinearClassifier:
    """A linear function of standardised features, to logits.

    Attributes:
        weight: [D, K], for standardised features.
        bias: [K].
        penalty: of the fit.
    """

    def __init__(self, mean: Tensor, scale: Tensor, weight: Tensor, bias: Tensor, penalty: float) -> None:
        self._mean, self._scale = mean, scale
        self.weight, self.bias, self.penalty = weight, bias, penalty

    def __call__(self, features: Float[Tensor, "M D"]) -> Float[Tensor, "M K"]:
        standardised = (features.to(self._mean) - self._mean) / self._scale
        return standardised @ self.weight + self.bias


def fit_linear(
    features: Float[Tensor, "N D"],
    labels: Int[Tensor, "N"],
    num_classes: int,
    *,
    penalties: Sequence[float] = PENALTIES,
    held_out: Bool[Tensor, "N"] | None = None,
) -> LinearClassifier:
    """Fit a linear classifier to the optimum: nothing is random.

    It makes mean cross entropy + penalty / 2 * |weight|^2 smallest, in features standardised by their mean and standard
    deviation; L-BFGS in double precision (single on devices without it).

    Args:
        features: to learn from.
        labels: their classes.
        num_classes: K.
        penalties: to choose from.
        held_out: True at the samples by which the penalty is chosen (highest accuracy, then the smallest loss) among
            those fitted to the others; then all samples are fitted. None takes the last of `penalties`.
    """
    dtype = torch.float32 if features.device.type == "mps" else torch.float64
    features = features.to(dtype)
    best = penalties[-1]
    if held_out is not None and len(penalties) > 1:
        path = _fit_path(features[~held_out], labels[~held_out], num_classes, penalties)
        best = max(path, key=lambda fitted: _score(fitted, features[held_out], labels[held_out])).penalty
    upto = [penalty for penalty in penalties if penalty >= best]
    return _fit_path(features, labels, num_classes, upto)[-1]


def _score(classifier: LinearClassifier, features: Tensor, labels: Tensor) -> tuple[float, float]:
    logits = classifier(features)
    accuracy = (logits.argmax(dim=1) == labels).double().mean().item()
    return accuracy, -F.cross_entropy(logits, labels).item()


def _fit_path(features: Tensor, labels: Tensor, num_classes: int, penalties: Sequence[float]) -> list[LinearClassifier]:
    mean, scale = features.mean(dim=0), features.std(dim=0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)
    x = (features - mean) / scale
    weight = x.new_zeros(x.shape[1], num_classes, requires_grad=True)
    bias = x.new_zeros(num_classes, requires_grad=True)
    fitted = []
    for penalty in penalties:
        _minimise(x, labels, weight, bias, penalty)
        fitted.append(LinearClassifier(mean, scale, weight.detach().clone(), bias.detach().clone(), penalty))
    return fitted


def _minimise(x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor, penalty: float) -> None:
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, tolerance_grad=1e-9, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(x @ weight + bias, labels) + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(loss)
