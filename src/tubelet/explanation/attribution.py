"""What a method says about one clip, before it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.exported import ExportedViViT
from tubelet.fast.model import source_of
from tubelet.model import ViViT

Progress = Callable[[int, int], None]
"""Called with (done, all) forward passes."""


def explained_model(model: ViViT) -> ViViT:
    """The plain model that any form of it was made from.

    Raises:
        ConfigError: an exported model.
    """
    plain = source_of(model)
    if isinstance(plain, ExportedViViT):
        raise ConfigError(
            f"{plain.folder} is an exported model, which has no gradients and takes no hidden tokens; explain the run "
            "that it was made from"
        )
    return plain


def no_progress(done: int, total: int) -> None:
    """Shows nothing."""


def within(progress: Progress, part: int, parts: int) -> Progress:
    """For one of several parts of the same length: `progress` over all of them."""
    return lambda done, total: progress(part * total + done, parts * total)


def each_view(
    video: Float[Tensor, "V T C H W"], frame_mask: Bool[Tensor, "V T"] | None
) -> Iterator[tuple[int, Float[Tensor, "1 T C H W"], Bool[Tensor, "1 T"] | None]]:
    """The number, the clip and the frame mask of each view."""
    for view in range(len(video)):
        yield view, video[view : view + 1], None if frame_mask is None else frame_mask[view : view + 1]


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
    """

    map: Float[Tensor, "V t h w"]
    logit: float
    unattributed: Mapping[str, float] | None = None
    split: Mapping[str, float] = field(default_factory=dict)
    error: float | None = None
