"""A model cut in two: features, which are computed once, and the part after them.

Data sets, batches and models pass features in the place of a video: a feature of t times and width D is a video of t
frames, D channels and one pixel, [t, D, 1, 1]. `as_video` and `from_video` are the only places that know the layout.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.model import ViViT

Stage = Literal["spatial", "encoder"]
"""The cut: after the spatial encoder of model 2 (a vector per time step), or before the head (one vector)."""


def require_stage(model: ViViT, stage: Stage) -> None:
    """Raise a ConfigError if the model has no such cut."""
    if stage == "spatial" and model.config.variant != "factorised_encoder":
        raise ConfigError(
            f"variant={model.config.variant!r} has no vector for each time: space and time are not apart; features "
            "after the spatial encoder are the factorised encoder's alone"
        )


def feature_shape(model: ViViT, stage: Stage) -> tuple[int, int]:
    """(t, D) of a clip's features; t is 1 at the stage `encoder`."""
    return (model.config.grid[0] if stage == "spatial" else 1), model.config.hidden_size


def features_of(
    model: ViViT, video: Float[Tensor, "V T C H W"], frame_mask: Bool[Tensor, "V T"] | None, stage: Stage
) -> tuple[Float[Tensor, "V t D"], Bool[Tensor, "V t"] | None]:
    """Features of views: the part of the model before the cut.

    Returns:
        features, and a mask of the time steps that are real; None if all are.
    """
    if stage == "encoder":
        return model.forward_pooled(video, frame_mask)[:, None], None
    frames = model.encode_space(model.embed(video, frame_mask))
    return frames, None if frame_mask is None else model.embedding.token_mask(frame_mask)


def as_video(features: Float[Tensor, "*V t D"]) -> Float[Tensor, "*V t D 1 1"]:
    """Features in the layout of a video."""
    return features[..., None, None]


def from_video(video: Float[Tensor, "*V t D 1 1"]) -> Float[Tensor, "*V t D"]:
    """Features of `as_video`."""
    return video.flatten(-3)


class AfterFeatures(nn.Module):
    """The part of a model after the cut, with the model's own parameters. Its input is that of `FeatureClips`.

    Args:
        model: the whole model.
        stage: where it is cut.
    """

    def __init__(self, model: ViViT, stage: Stage) -> None:
        super().__init__()
        require_stage(model, stage)
        self.model = model
        self.stage = stage

    def forward(
        self, video: Float[Tensor, "B t D 1 1"], frame_mask: Bool[Tensor, "B t"] | None = None
    ) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """Features in the layout of a video to logits."""
        features = from_video(video)
        if self.stage == "encoder":
            return self.model.classify(features[:, 0])
        return self.model.forward_times(features, frame_mask)
