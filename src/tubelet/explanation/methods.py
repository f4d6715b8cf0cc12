"""The methods by name."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.explanation.attention import legrad, rollout
from tubelet.explanation.attribution import Attribution, Progress
from tubelet.explanation.balanced import balanced_gradients
from tubelet.explanation.hiding import Filling
from tubelet.explanation.integrated import integrated_gradients
from tubelet.explanation.perturbation import occlusion, rise
from tubelet.explanation.shapley import shapley_attribution
from tubelet.explanation.target import Target
from tubelet.model import ViViT
from tubelet.text import did_you_mean


class Method(Protocol):
    """From the views of a video to a value of each token."""

    def __call__(
        self, model: ViViT, video: Tensor, frame_mask: Tensor | None, target: Target, progress: Progress
    ) -> Attribution: ...


METHODS: dict[str, Method] = {
    "balanced": balanced_gradients,
    "balanced_tokens": partial(balanced_gradients, levels="tokens"),
    "shapley": shapley_attribution,
    "legrad": legrad,
    "rollout": rollout,
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
    "rise": rise,
}
"""By name. `balanced` is for every variant; `shapley` for the factorised encoder; `legrad` for spatio-temporal
attention. The last three need nothing of the model but its output or its gradient."""

DEFAULT = "balanced_tokens"

SLOW = ("integrated_gradients", "occlusion", "rise")
"""They compare the clip with hidden ones, and need about a hundred passes and more."""


def method_of(name: str, filling: Filling = "mean") -> Method:
    """The method of that name; one that hides tokens, or starts from a hidden clip, replaces them by `filling`.

    Raises:
        ConfigError: there is none.
    """
    if name not in METHODS:
        raise ConfigError(f"no method {name!r}{did_you_mean(name, ('auto', *METHODS))}")
    method = METHODS[name]
    return partial(method, filling=filling) if name in SLOW else method  # type: ignore[call-arg]  # they take it


def methods_for(model: ViViT) -> list[str]:
    """The methods that this variant has."""
    variant = model.config.variant
    only = {"shapley": "factorised_encoder", "legrad": "spatio_temporal"}
    return [name for name in METHODS if only.get(name, variant) == variant]
