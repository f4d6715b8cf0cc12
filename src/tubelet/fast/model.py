"""A ViViT of fast blocks, whose call pools in the encoder."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.model import ViViT


class FastViViT(ViViT):
    """A ViViT whose encoders are `FastEncoder`s: its call asks them for pooled vectors, not for all tokens."""

    def forward(
        self, video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """As `ViViT.forward`."""
        tokens = self.embed(video, frame_mask)
        time_mask, kept = self._time_mask(frame_mask), self._kept_positions(tokens)
        if self.config.variant == "factorised_encoder":
            return self.forward_times(self.encode_space(tokens, kept), time_mask)
        return self.classify(self.encoder.forward_pooled(tokens, time_mask, kept))


def source_of(model: ViViT) -> ViViT:
    """The model that a form of `optimise` was made from; any other model itself."""
    (source,) = vars(model).get("_source", (model,))
    return source


def require_unchanged(module: nn.Module, fn: Callable[[Tensor], Tensor]) -> None:
    """For modules that share parameters with a model: refuse a conversion, which would reach a part of the model alone.

    Args:
        module: whose tensors are converted.
        fn: the conversion, as `nn.Module._apply` takes it.
    """
    if any(fn(tensor) is not tensor for tensor in (*module.parameters(), *module.buffers())):
        raise ConfigError(
            f"a {type(module).__name__} shares its weights with the model that it was made from; move or cast that one "
            "with model.to(...)"
        )
