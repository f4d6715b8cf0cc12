"""ViViT: the four models of the paper, put together from `tubelet.nn`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.errors import ConfigError
from tubelet.nn.activations import ACTIVATIONS
from tubelet.nn.attention import AxisAttention, FactorisedDotProductAttention, SelfAttention
from tubelet.nn.batch_norm import BatchNorm
from tubelet.nn.blocks import MLP, Block, FactorisedSelfAttentionBlock
from tubelet.nn.embedding import ConvStemEmbedding, TubeletEmbedding, UniformFrameEmbedding, hold_masked_frames
from tubelet.nn.encoder import Encoder
from tubelet.nn.initialisation import initialise_head, initialise_parameters
from tubelet.provenance import Provenance

Labels = Mapping[str, Sequence[str]]

Frozen = Literal["none", "embedding", "spatial", "encoder"]
"""How much of a model is kept as it is; see `ViViT.freeze`."""


class ViViT(nn.Module):
    """A Video Vision Transformer (Arnab et al., ICCV 2021): one of four models, as `config.variant` says.

        video [B, T, C, H, W] -> embedding -> tokens [B, t, h, w, D]

        1 spatio_temporal            encoder over all t*h*w tokens
        2 factorised_encoder         spatial_encoder over the h*w tokens of each time -> one vector a time
                                     -> temporal_encoder over these t vectors (or their mean: temporal_layers=0)
        3 factorised_self_attention  encoder whose blocks attend over space, then over time
        4 factorised_dot_product     encoder whose heads attend half over time, half over space

        -> pool -> (head_norm) -> head -> logits [B, K], or a dictionary of them with several heads

    Any number of frames and any height and width that divide into tubelets may be given, not only those of the
    configuration: positions are interpolated.

    Args:
        config: the architecture.
        preprocessing: what the video must go through first; kept with the weights.
        labels: class names of each head, `{"label": [...]}` for a single one; kept with the weights.

    Attributes:
        config, preprocessing, labels: as above; `preprocessing` and `labels` may be None.
        embedding, encoder (or spatial_encoder and temporal_encoder), head_norm, head: the parts.
        load_report: a `tubelet.weights.LoadReport` after `tubelet.load`, None for a new model.
        provenance: the videos that the weights, and those that they were started from, learned from; kept with the
            weights. None if that is not known.
        sample_clips: file of clips with the logits of these weights, where they were loaded from; None without.
        frozen: what `freeze` was told last.
    """

    config: ModelConfig
    load_report: Any = None
    provenance: Provenance | None = None
    sample_clips: Path | None = None
    frozen: Frozen = "none"

    def __init__(
        self, config: ModelConfig, preprocessing: PreprocessingConfig | None = None, labels: Labels | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.preprocessing = preprocessing
        self.labels = _checked_labels(labels, config)
        self.embedding = _embedding(config)
        time, height, width = config.grid
        if config.variant == "factorised_encoder":
            assert config.temporal_layers is not None
            self.spatial_encoder = _encoder(config, (1, height, width), config.num_layers)
            if config.temporal_layers:
                self.temporal_encoder = _encoder(config, (time, 1, 1), config.temporal_layers)
        else:
            self.encoder = _encoder(config, (time, height, width), config.num_layers)
        self.head_norm = BatchNorm(config.hidden_size, affine=False) if config.head_norm == "batch" else nn.Identity()
        self.head = _head(config)
        initialise_parameters(self, config.residual_init)
        initialise_head(self.head)

    def forward(
        self, video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """Classify.

        Args:
            video: [B, T, C, H, W], preprocessed (see `preprocessing`; [-1, 1] for the paper's weights), of any
                floating-point type: it is converted to that of the weights.
            frame_mask: [B, T], True where a frame is real, for clips that are too short. What a masked frame holds does
                not change the result: it is never attended to nor pooled, and a tubelet that it shares with a real
                frame sees that frame held.

        Returns:
            logits [B, K], or {head: [B, K]} where `num_classes` names several heads.

        Raises:
            ConfigError: the video's shape does not fit the model, or a sample has no real frame.
        """
        return self.forward_head(self.forward_features(video, frame_mask), frame_mask)

    def forward_features(
        self, video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B N D"]:
        """The tokens that the head pools.

        Args:
            video, frame_mask: as in `forward`.

        Returns:
            [B, N, D] with N = 1 + t*h*w for model 1 with a class token, t*h*w for models 1, 3 and 4 without;
            1 + t (or t) from the temporal encoder of model 2; t for its average-pool baseline.
        """
        tokens = self.embed(video, frame_mask)
        return self.encode_tokens(tokens, self._time_mask(frame_mask), self._kept_places(tokens))

    def _kept_places(self, tokens: Float[Tensor, "B t h w D"]) -> Int[Tensor, "B n"] | None:
        """The places that `token_drop` leaves in training; None is all."""
        if not self.training or not self.config.token_drop:
            return None
        count = tokens.shape[2] * tokens.shape[3]
        return draw_places(len(tokens), count, self.config.token_drop).to(tokens.device)

    def embed(
        self, video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B t h w D"]:
        """The token grid, without positions."""
        self._check_input(video, frame_mask)
        if frame_mask is not None:
            video = hold_masked_frames(video, frame_mask)
        weights = next((weight for weight in self.embedding.parameters() if weight.is_floating_point()), video)
        return self.embedding(video.to(weights.dtype))

    def encode_tokens(
        self,
        tokens: Float[Tensor, "B t h w D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
        places: Int[Tensor, "B n"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """What `forward_features` does after `embed`: from the token grid to the tokens that the head pools.

        Args:
            tokens: [B, t, h, w, D].
            time_mask: True at the times that are real.
            places: encode the tokens of these places alone, at every time (see `Encoder.forward`); then N is smaller.
        """
        if self.config.variant != "factorised_encoder":
            return self.encoder(tokens, time_mask, places)
        return self.encode_times(self.encode_space(tokens, places), time_mask)

    def encode_space(
        self, tokens: Float[Tensor, "B t h w D"], places: Int[Tensor, "B n"] | None = None
    ) -> Float[Tensor, "B t D"]:
        """Factorised encoder alone: one vector for every time, which depends on that time's tokens and nothing else."""
        times = tokens.shape[1]
        of_each_time = None if places is None else places.repeat_interleave(times, dim=0)
        frames = self.spatial_encoder.pooled(tokens.flatten(0, 1).unsqueeze(1), None, of_each_time)
        return frames.unflatten(0, (-1, times))

    def encode_times(
        self,
        frames: Float[Tensor, "B t D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """Factorised encoder alone: the temporal encoder over the vectors of `encode_space`; the baseline has none."""
        if not self.config.temporal_layers:
            return frames
        return self.temporal_encoder(frames[:, :, None, None], time_mask)

    def forward_head(
        self,
        tokens: Float[Tensor, "B N D"],
        frame_mask: Bool[Tensor, "B T"] | None = None,
        pre_logits: bool = False,
    ) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """Pool what `forward_features` gave and classify it.

        Args:
            tokens: [B, N, D].
            frame_mask: the one that `forward_features` was given.
            pre_logits: return the pooled vector [B, D], before `head_norm`, instead of logits.
        """
        pooled = self._pool(tokens, self._time_mask(frame_mask))
        return pooled if pre_logits else self.classify(pooled)

    def forward_times(
        self, frames: Float[Tensor, "B t D"], time_mask: Bool[Tensor, "B t"] | None = None
    ) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """Factorised encoder alone: from the vectors of `encode_space` to logits.

        Args:
            frames: [B, t, D].
            time_mask: True at the times that are real.
        """
        return self.classify(self.pool_times(frames, time_mask))

    def pool_times(
        self, frames: Float[Tensor, "B t D"], time_mask: Bool[Tensor, "B t"] | None = None
    ) -> Float[Tensor, "B D"]:
        """Factorised encoder alone: the vector of a clip from those of its times (see `forward_times`)."""
        if self.config.temporal_layers:
            return self.temporal_encoder.pooled(frames[:, :, None, None], time_mask)
        return self._pool(frames, time_mask)

    def classify(self, pooled: Float[Tensor, "B D"]) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """Logits of what `forward_head` pools; the same vectors where there is no head."""
        if isinstance(self.head, nn.Identity):
            return pooled
        normed = self.head_norm(pooled)
        if isinstance(self.head, nn.ModuleDict):
            return {name: head(normed) for name, head in zip(self.config.heads, self.head.values(), strict=True)}
        return self.head(normed)

    def reset_classifier(self, num_classes: int | dict[str, int], labels: Labels | None = None) -> None:
        """Replace the head (or heads) by a new one, drawn at random; 0 takes it away. `config` and `labels` follow.

        Raises:
            ConfigError: `labels` does not have `num_classes` names.
        """
        config = replace(self.config, num_classes=num_classes)
        self.labels = _checked_labels(labels, config)
        self.config = config
        like = next(self.embedding.parameters())
        self.head = _head(config).to(like.device, like.dtype)
        initialise_head(self.head)

    def reconfigure(self, **changes: Any) -> None:
        """Change how the encoders compute, in place; `config` follows.

        Every parameter stays the object that it is, so that an optimiser may hold it already. Only an input norm comes
        or goes: a new one starts with scale 1 and bias 0.

        Args:
            changes: of `activation`, `layer_norm_eps`, `output_norm_eps`, `input_norm` and `output_norm`.

        Raises:
            ConfigError: another field, or a value that it cannot have.
        """
        changeable = ("activation", "layer_norm_eps", "output_norm_eps", "input_norm", "output_norm")
        for name in changes:
            if name not in changeable:
                raise ConfigError(f"{name} cannot be changed in place; these can: {', '.join(changeable)}")
        self.config = config = replace(self.config, **changes)
        for encoder in [module for module in self.modules() if isinstance(module, Encoder)]:
            if config.input_norm != isinstance(encoder.input_norm, nn.LayerNorm):
                norm = nn.LayerNorm(config.hidden_size).to(encoder.norm.weight)
                encoder.input_norm = norm if config.input_norm else nn.Identity()
            encoder.output_norm = config.output_norm
            for module in encoder.modules():
                if isinstance(module, nn.LayerNorm):
                    module.eps = config.layer_norm_eps
                elif isinstance(module, MLP):
                    module.activation = ACTIVATIONS[config.activation]
            encoder.norm.eps = config.output_norm_eps or config.layer_norm_eps

    def freeze(self, part: Frozen) -> None:
        """Keep the first part of the model as it is: no gradients, and neither dropout nor drop-path in training.

        Args:
            part: `embedding`, the tubelets; `spatial`, the spatial encoder of the factorised encoder as well;
                `encoder`, everything but the head (a linear probe); `none` lets everything learn again.

        Raises:
            ConfigError: the model has no such part, or nothing would be left to learn.
        """
        if part == "spatial" and self.config.variant != "factorised_encoder":
            raise ConfigError(
                f"freeze='spatial': variant={self.config.variant!r} has no spatial encoder of its own; use 'encoder' "
                "(everything but the head) or 'embedding', or variant='factorised_encoder'"
            )
        if part == "encoder" and isinstance(self.head, nn.Identity):
            raise ConfigError("freeze='encoder' leaves the head to learn, and num_classes=0 has none")
        self.frozen = part
        still = {id(module) for module in self._frozen_parts()}
        for module in self.children():
            module.requires_grad_(id(module) not in still)
        self.train(self.training)

    def train(self, mode: bool = True) -> ViViT:
        """Training or evaluation mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        for module in self._frozen_parts():
            module.eval()
        return self

    def _frozen_parts(self) -> list[nn.Module]:
        if self.frozen == "none":
            return []
        if self.frozen == "embedding":
            return [self.embedding]
        if self.frozen == "spatial":
            return [self.embedding, self.spatial_encoder]
        return [module for name, module in self.named_children() if name not in ("head_norm", "head")]

    def set_checkpointing(self, enabled: bool = True) -> None:
        """Activation checkpointing in training: keep each block's input, compute the rest again for the gradient."""
        for module in self.modules():
            if isinstance(module, Encoder):
                module.checkpointing = enabled

    def _pool(self, tokens: Tensor, time_mask: Tensor | None) -> Tensor:
        if self.config.variant != "factorised_encoder":
            return self.encoder.pool(tokens, time_mask)
        if self.config.temporal_layers:
            return self.temporal_encoder.pool(tokens, time_mask)
        if time_mask is None:
            return tokens.mean(dim=1)
        return tokens.masked_fill(~time_mask[:, :, None], 0).sum(dim=1) / time_mask.sum(dim=1, keepdim=True)

    def _time_mask(self, frame_mask: Tensor | None) -> Tensor | None:
        return None if frame_mask is None else self.embedding.token_mask(frame_mask)

    def _check_input(self, video: Tensor, frame_mask: Tensor | None) -> None:
        if video.ndim != 5 or video.shape[2] != self.config.in_channels:
            raise ConfigError(
                f"expected a video [B, T, {self.config.in_channels}, H, W], got {list(video.shape)}; "
                "channels come after frames, and a single clip needs a batch axis: video[None]"
            )
        if not video.is_floating_point():
            raise ConfigError(
                f"expected a float video, preprocessed as the model was trained, got {video.dtype}; "
                "tubelet.video.Preprocessing(model.preprocessing) does it"
            )
        self.config.grid_of(video.shape[1], video.shape[3], video.shape[4])
        if frame_mask is None:
            return
        if frame_mask.dtype != torch.bool or frame_mask.shape != video.shape[:2]:
            raise ConfigError(
                f"expected a bool frame_mask {list(video.shape[:2])}, one value a frame, "
                f"got {frame_mask.dtype} {list(frame_mask.shape)}"
            )
        if not torch.compiler.is_compiling() and not bool(frame_mask.any(dim=1).all()):
            raise ConfigError("frame_mask marks every frame of a sample as not real; leave such a sample out")


def draw_places(batch: int, places: int, left_out: float) -> Int[Tensor, "B n"]:
    """A random part of the places of the token grid for each sample, ascending; on the CPU, from torch's generator.

    Args:
        batch: how many samples, B.
        places: of the grid, h * w.
        left_out: share of them that is left out; at least one stays.
    """
    count = max(1, places - round(left_out * places))
    return torch.rand(batch, places).argsort(dim=1)[:, :count].sort(dim=1).values


def _embedding(config: ModelConfig) -> TubeletEmbedding | ConvStemEmbedding:
    if config.embedding == "uniform_frames":
        patch_size = config.tubelet_size[1:]
        return UniformFrameEmbedding(config.in_channels, config.hidden_size, patch_size, config.sampled_frames)
    kind = ConvStemEmbedding if config.embedding == "conv_stem" else TubeletEmbedding
    return kind(config.in_channels, config.hidden_size, config.tubelet_size)


def _encoder(config: ModelConfig, grid: tuple[int, int, int], num_layers: int) -> Encoder:
    assert config.pool is not None
    return Encoder(
        [_block(config, rate) for rate in _drop_path_ramp(config.drop_path, num_layers)],
        grid,
        config.hidden_size,
        factorised=config.variant in ("factorised_self_attention", "factorised_dot_product"),
        pool=config.pool,
        positions=config.positions,
        input_norm=config.input_norm,
        output_norm=config.output_norm,
        eps=config.layer_norm_eps,
        output_eps=config.output_norm_eps or config.layer_norm_eps,
        dropout=config.dropout,
    )


def _drop_path_ramp(rate: float, num_layers: int) -> list[float]:
    """0 at the first block, `rate` at the last, as in the original code; it starts anew in a temporal encoder."""
    return [rate * layer / max(num_layers - 1, 1) for layer in range(num_layers)]


def _block(config: ModelConfig, drop_path: float) -> nn.Module:
    dim, heads, eps = config.hidden_size, config.num_heads, config.layer_norm_eps
    dropouts = {"dropout": config.dropout, "attention_dropout": config.attention_dropout}
    mlp = MLP(dim, config.mlp_dim, config.activation, config.dropout)
    if config.variant == "factorised_self_attention":
        assert config.attention_order is not None
        space = AxisAttention(dim, heads, "space", **dropouts)
        time = AxisAttention(dim, heads, "time", **dropouts)
        return FactorisedSelfAttentionBlock(space, time, mlp, config.attention_order, dim, eps, drop_path)
    kind = FactorisedDotProductAttention if config.variant == "factorised_dot_product" else SelfAttention
    return Block(kind(dim, heads, **dropouts), mlp, dim, eps, drop_path)


def _head(config: ModelConfig) -> nn.Module:
    if isinstance(config.num_classes, int):
        return nn.Linear(config.hidden_size, config.num_classes) if config.num_classes else nn.Identity()
    own = nn.ModuleDict()
    taken = {name: f"{name}-head" for name in config.heads if hasattr(own, name)}  # `type`, `values`, `keys`, ...
    for name, size in config.heads.items():
        own[taken.get(name, name)] = nn.Linear(config.hidden_size, size)
    return own


def _checked_labels(labels: Labels | None, config: ModelConfig) -> dict[str, list[str]] | None:
    if labels is None:
        return None
    sizes = {head: len(names) for head, names in labels.items()}
    if sizes != config.heads:
        raise ConfigError(f"labels give {sizes} names, but the model's heads have {config.heads} classes")
    return {head: list(names) for head, names in labels.items()}
