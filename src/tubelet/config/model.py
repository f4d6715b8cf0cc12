"""The architecture of one ViViT: its fields are public API."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from tubelet.config.serialise import check_types
from tubelet.errors import ConfigError
from tubelet.text import did_you_mean

Variant = Literal["spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"]
Embedding = Literal["tubelet", "uniform_frames", "conv_stem"]
Pool = Literal["cls", "mean", "max", "weighted", "first"]
"""How the tokens become one vector; see `ModelConfig.pool`."""

CONV_STEM_STRIDE = 4
"""Pixels of height and width that one cell of the convolutional stem's feature map stands for."""

LARGEST_SIZE = 10_000_000
"""Of any size and of the number of tokens."""

LARGEST_FACTOR = 1000.0
"""Of `residual_init`."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One of the paper's models (Arnab et al., ICCV 2021), in full.

    The defaults are ViViT-B/16x2, model 1, for Kinetics-400. A field that has no meaning in a variant must be left at
    None there; after construction it is either None or its default.

    Attributes:
        variant: model 1 `spatio_temporal`, 2 `factorised_encoder`, 3 `factorised_self_attention`,
            4 `factorised_dot_product` (section 3.3).
        image_size: (height, width) in pixels; an int means a square.
        num_frames: frames of a clip, T.
        in_channels: channels of a frame, C.
        embedding: `tubelet`, `uniform_frames` (section 3.2), or `conv_stem`: tubelets cut from the feature map of a
            small 3-D ConvNet over frames and their differences (the hybrid ViT in space and time).
        tubelet_size: (frames, height, width) of a tubelet; frames is 1 with `uniform_frames`.
        sampled_frames: `uniform_frames` alone: how many of the T frames are embedded, picked by
            `uniform_frame_indices`. None embeds every frame.
        hidden_size: width of a token, D.
        num_layers: blocks of the encoder (of the spatial one in a factorised encoder).
        num_heads: attention heads; divides `hidden_size`.
        mlp_dim: hidden width of the MLP.
        temporal_layers: factorised encoder alone: blocks of the temporal encoder, 4 by default; 0 is the paper's
            average-pool baseline.
        attention_order: factorised self-attention alone: `space_time` (the paper, the default) or `time_space`
            (Scenic's default).
        pool: `cls`, `mean`, `max`; `weighted`: the mean of the tokens, each times a learned weight for its place and
            channel (a global depthwise convolution; Chen et al., CCBR 2018, "MobileFaceNets"), so that what is seen
            where reaches the head from the first step; or `first`: the first token and no class token (Scenic's
            classifier '0', and what transformers does to a VideoMAE without mean pooling). Models 3 and 4 have no class
            token. Default: `cls` for models 1 and 2, `mean` for 3 and 4.
        num_classes: an int, or a size for each of several heads: `{"verb": 97, "noun": 300}`. 0 means no head.
        multi_label: heads whose classes exclude nothing: a video may show several of them, or none. Their probabilities
            are sigmoids of the logits; those of the other heads are a softmax.
        head_norm: `none`, or `batch`: the pooled vector is normalised over the batch before the heads, without scale
            and bias (as in MAE's linear probe, He et al., CVPR 2022). Where all clips look much alike their vectors
            hardly differ, and a training from scratch is slow to find what does; with it, it learns many times faster.
            In evaluation it is a constant map, which other formats get inside the heads. With accumulation each part
            of a batch has its own statistics.
        residual_init: factor on the first kernels that add to the tokens: output of the attention, second layer of the
            MLP. 1 is the paper; near 0, a training from scratch begins with the embedding alone, which is easier to
            optimise, and the blocks come in as they learn (Zhang et al., ICLR 2019, "Fixup"; Bachlechner et al., UAI
            2021, "ReZero").
        positions: `learned`, or `sinusoidal`: fixed sine and cosine over the token index (VideoMAE).
        activation: of the MLP: `gelu_tanh` (Scenic), `gelu` (timm) or `gelu_quick` (CLIP).
        layer_norm_eps: of every LayerNorm.
        input_norm: a LayerNorm between positions and the first block (CLIP's image models have it).
        output_norm: the last LayerNorm comes `before_pool` (Scenic) or `after_pool` (VideoMAE, timm's mean-pooled
            models).
        output_norm_eps: of that last LayerNorm, where it has its own (transformers' VideoMAE classifiers); None is
            `layer_norm_eps`.
        dropout: after positions and after each linear layer of a block's output.
        attention_dropout: on attention weights.
        drop_path: stochastic depth rate of the last block, growing linearly from 0 at the first (equation 10).
        token_drop: share of the places of the token grid that a clip is trained without, drawn anew each time (Liu et
            al., 2023, "PatchDropout"). Whole tubes are left out, the same places at every time, so that the grid stays
            one in all four models. Training is cheaper, too.
    """

    variant: Variant = "spatio_temporal"
    image_size: tuple[int, int] = (224, 224)
    num_frames: int = 32
    in_channels: int = 3
    embedding: Embedding = "tubelet"
    tubelet_size: tuple[int, int, int] = (2, 16, 16)
    sampled_frames: int | None = None
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    mlp_dim: int = 3072
    temporal_layers: int | None = None
    attention_order: Literal["space_time", "time_space"] | None = None
    pool: Pool | None = None
    num_classes: int | dict[str, int] = 400
    multi_label: tuple[str, ...] = ()
    head_norm: Literal["none", "batch"] = "none"
    residual_init: float = 1.0
    positions: Literal["learned", "sinusoidal"] = "learned"
    activation: Literal["gelu_tanh", "gelu", "gelu_quick"] = "gelu_tanh"
    layer_norm_eps: float = 1e-6
    input_norm: bool = False
    output_norm: Literal["before_pool", "after_pool"] = "before_pool"
    output_norm_eps: float | None = None
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0
    token_drop: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.image_size, int):
            self._set("image_size", (self.image_size, self.image_size))
        check_types(self)
        self._set("image_size", tuple(self.image_size))
        self._set("tubelet_size", tuple(self.tubelet_size))
        self._set("multi_label", tuple(self.multi_label))
        self._fill_defaults()
        self._check_numbers()
        self._check_input_size()
        self._check_variant()

    # --- sizes that follow from the fields -------------------------------------------------------------------------

    @property
    def grid(self) -> tuple[int, int, int]:
        """The token grid (t, h, w) at the configured frames and image size."""
        return self.grid_of(self.num_frames, *self.image_size)

    @property
    def num_tokens(self) -> int:
        """Tokens that come out of the embedding, without class tokens: t * h * w."""
        return math.prod(self.grid)

    @property
    def heads(self) -> dict[str, int]:
        """Classes by head name; a single head is called `label`. Empty without a head."""
        if isinstance(self.num_classes, int):
            return {"label": self.num_classes} if self.num_classes else {}
        return dict(self.num_classes)

    def grid_of(self, num_frames: int, height: int, width: int) -> tuple[int, int, int]:
        """The token grid (t, h, w) of a video of this size.

        Raises:
            ConfigError: the size does not divide into tubelets; the error names the nearest sizes that do.
        """
        frames, tubelet_height, tubelet_width = self.tubelet_size
        _check_multiple("num_frames", num_frames, frames, "frames")
        _check_multiple("height", height, tubelet_height, "pixels")
        _check_multiple("width", width, tubelet_width, "pixels")
        if self.sampled_frames is not None:
            time = len(uniform_frame_indices(num_frames, self.sampled_frames))
        else:
            time = num_frames // frames
        return time, height // tubelet_height, width // tubelet_width

    # --- checks ----------------------------------------------------------------------------------------------------

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _fill_defaults(self) -> None:
        has_cls = self.variant in ("spatio_temporal", "factorised_encoder")
        if self.pool is None:
            self._set("pool", "cls" if has_cls else "mean")
        if self.variant == "factorised_encoder" and self.temporal_layers is None:
            self._set("temporal_layers", 4)
        if self.variant == "factorised_self_attention" and self.attention_order is None:
            self._set("attention_order", "space_time")

    def _check_numbers(self) -> None:
        at_least_one = ["num_frames", "in_channels", "hidden_size", "num_layers", "num_heads", "mlp_dim"]
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be at least 1")
        for name in (*at_least_one, "image_size", "tubelet_size", "temporal_layers", "sampled_frames", "heads"):
            given = getattr(self, name)
            sizes = given if isinstance(given, tuple) else given.values() if isinstance(given, dict) else (given or 0,)
            if max(sizes, default=0) > LARGEST_SIZE:
                raise ConfigError(f"{name}={given} is no size of a ViViT; the largest possible is {LARGEST_SIZE:,}")
        for name in ("image_size", "tubelet_size"):
            if min(getattr(self, name)) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be at least 1 in every direction")
        for name in ("dropout", "attention_dropout", "drop_path", "token_drop"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} is a probability; use a number from 0 to below 1")
        for name in ("layer_norm_eps", "output_norm_eps"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be above 0 and at most 1")
        if not 0 < self.residual_init <= LARGEST_FACTOR:
            raise ConfigError(
                f"residual_init={self.residual_init} must be above 0, from which some kernels never move, and at most "
                f"{LARGEST_FACTOR}"
            )
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"hidden_size={self.hidden_size} is not a multiple of num_heads={self.num_heads}; "
                f"use {nearest_multiples(self.hidden_size, self.num_heads)}"
            )
        if self.positions == "sinusoidal" and self.hidden_size % 2:
            raise ConfigError(f"sinusoidal positions need an even hidden_size, got {self.hidden_size}")
        self._check_heads()

    def _check_heads(self) -> None:
        if isinstance(self.num_classes, int):
            if self.num_classes < 0:
                raise ConfigError(f"num_classes={self.num_classes} must be 0 (no head) or more")
        elif not self.num_classes or min(self.num_classes.values()) < 1:
            raise ConfigError(f"num_classes={self.num_classes} needs at least one head, each with at least one class")
        elif any(not name.isidentifier() for name in self.num_classes):
            raise ConfigError(f"num_classes={self.num_classes}: a head's name is letters, digits and _, as in 'verb'")
        for name in self.multi_label:
            if name not in self.heads:
                raise ConfigError(
                    f"multi_label names {name!r}, which is no head; heads: {', '.join(self.heads) or 'none'}"
                )

    def _check_input_size(self) -> None:
        frames, height, width = self.tubelet_size
        if self.embedding == "uniform_frames":
            if frames != 1:
                raise ConfigError(
                    f"tubelet_size={self.tubelet_size}: uniform_frames embeds single frames; use (1, {height}, {width})"
                )
            if self.sampled_frames is not None and not 1 <= self.sampled_frames <= self.num_frames:
                raise ConfigError(
                    f"sampled_frames={self.sampled_frames} must be from 1 to num_frames={self.num_frames}"
                )
        elif self.sampled_frames is not None:
            raise ConfigError(
                f"sampled_frames={self.sampled_frames} belongs to embedding='uniform_frames'; "
                f"leave it out with embedding={self.embedding!r}"
            )
        if self.embedding == "conv_stem" and (height % CONV_STEM_STRIDE or width % CONV_STEM_STRIDE):
            raise ConfigError(
                f"tubelet_size={self.tubelet_size}: the stem's feature map has one cell for {CONV_STEM_STRIDE}x"
                f"{CONV_STEM_STRIDE} pixels; use a height and width that are multiples of {CONV_STEM_STRIDE}"
            )
        self.grid_of(self.num_frames, *self.image_size)
        if self.num_tokens > LARGEST_SIZE:
            raise ConfigError(
                f"{self.num_tokens:,} tokens are more than any ViViT has; num_frames={self.num_frames} or "
                f"image_size={self.image_size} is wrong"
            )

    def _check_variant(self) -> None:
        if self.token_drop and self.pool == "first":
            raise ConfigError(
                f"token_drop={self.token_drop} would leave out the first token, which pool='first' classifies; use "
                "pool='cls' or 'mean', or token_drop=0"
            )
        if self.variant != "factorised_encoder" and self.temporal_layers is not None:
            raise ConfigError(
                f"temporal_layers={self.temporal_layers} belongs to variant='factorised_encoder'; "
                f"leave it out with variant={self.variant!r}"
            )
        if self.temporal_layers is not None and self.temporal_layers < 0:
            raise ConfigError(f"temporal_layers={self.temporal_layers} must be 0 (average over time) or more")
        if self.variant != "factorised_self_attention" and self.attention_order is not None:
            raise ConfigError(
                f"attention_order={self.attention_order!r} belongs to variant='factorised_self_attention'; "
                f"leave it out with variant={self.variant!r}"
            )
        if self.variant in ("factorised_self_attention", "factorised_dot_product") and self.pool == "cls":
            raise ConfigError(
                f"variant={self.variant!r} has no class token (paper, section 3.3: it would belong to no time and no "
                "place); use pool='mean'"
            )
        if self.variant == "factorised_dot_product" and self.num_heads % 2:
            raise ConfigError(
                f"num_heads={self.num_heads}: factorised_dot_product gives half of the heads to time, half to space; "
                f"use an even number, {self.num_heads + 1} for example"
            )


def uniform_frame_indices(num_frames: int, sampled_frames: int) -> list[int]:
    """Which of T frames uniform frame sampling embeds (section 3.2; `sample_frames_uniformly` of Scenic).

    With step = T / (n + 1): round(step), round(2 * step), ... below T, ties to even, at most T - 1; every frame where n
    is T or more. As in Scenic, the positions are accumulated in single precision: that decides some ties, and for
    some pairs one more frame than asked for comes out: 18 of 128 gives 19.

    Returns:
        frame indices in [0, T), ascending.
    """
    if sampled_frames >= num_frames:
        return list(range(num_frames))
    step = num_frames / (sampled_frames + 1)
    count = math.ceil((num_frames - step) / step)
    start = _single(step)
    delta = _single(_single(step + step) - start)
    return [min(round(_single(start + _single(i * delta))), num_frames - 1) for i in range(count)]


def _single(value: float) -> float:
    """The nearest number of single precision (24 bits), ties to even. Only what torch.compile can trace."""
    mantissa, exponent = math.frexp(value)
    return math.ldexp(round(mantissa * 2**24), exponent - 24)


def nearest_multiples(value: int, of: int) -> str:
    """For 15 and 2: "14 or 16"; only the upper one where the lower is 0."""
    below = value // of * of
    return f"{below} or {below + of}" if below else f"{below + of}"


def _check_multiple(name: str, value: int, of: int, unit: str) -> None:
    if value < 1 or value % of:
        raise ConfigError(
            f"{name}={value} is not a multiple of the tubelet's {of} {unit}; use {nearest_multiples(max(value, 0), of)}"
        )


def replace(config: ModelConfig, **changes: Any) -> ModelConfig:
    """A copy with other field values; fields that mean nothing in a new `variant` or `embedding` are dropped.

    Raises:
        ConfigError: no such field, or values that do not fit together.
    """
    known = [field.name for field in dataclasses.fields(ModelConfig)]
    for name in changes:
        if name not in known:
            raise ConfigError(f"unknown field {name!r} of ModelConfig{did_you_mean(name, known)}")
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    if changes.get("variant", config.variant) != config.variant:
        values.update(temporal_layers=None, attention_order=None)
        if changes["variant"] in ("factorised_self_attention", "factorised_dot_product") and values["pool"] == "cls":
            values["pool"] = None
    if changes.get("embedding", config.embedding) != config.embedding:
        values["sampled_frames"] = None
        if changes["embedding"] == "uniform_frames":
            values["tubelet_size"] = (1, *config.tubelet_size[1:])
    if "num_classes" in changes and "multi_label" not in changes:
        heads = dataclasses.replace(config, num_classes=changes["num_classes"], multi_label=()).heads
        values["multi_label"] = tuple(head for head in config.multi_label if head in heads)
    return ModelConfig(**{**values, **changes})
