"""What a method says about one clip, before it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

Progress = Callable[[int, int], None]
"""Called with (done, all) forward passes."""


def no_progress(done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """A value for each token of each view.

    Attributes:
        map: [V, t, h, w], in logits where the method has a unit.
        logit: of the target, the mean over the views.
        unattributed: parts of the logit that belong to no token, by name; None where the method is not complete. The
            sum of the map over tokens, averaged over views, and of these parts is the logit.
        split: how much of the logit each kind of layer adds, the mean over the blocks; models 3 and 4 alone.
        error: standard error of the curve, where it is an estimate.
        passes: forward passes that were needed, for one view; a backward pass counts as two.
    """

    map: Float[Tensor, "V t h w"]
    logit: float
    unattributed: Mapping[str, float] | None = None
    split: Mapping[str, float] = field(default_factory=dict)
    error: float | None = None
    passes: float = 1.0
