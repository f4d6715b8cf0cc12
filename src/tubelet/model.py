"""ViViT: the four models of the paper, put together from `tubelet.nn`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tubelet.config import ModelConfig, OperatingPoint, PreprocessingConfig
from tubelet.config import replace as changed
from tubelet.errors import ConfigError
from tubelet.nn.activations import ACTIVATIONS
from tubelet.nn.batch_norm import BatchNorm
from tubelet.nn.blocks import MLP
from tubelet.nn.build import build_embedding, build_encoder, build_head
from tubelet.nn.embedding import hold_masked_frames
from tubelet.nn.encoder import Encoder
from tubelet.nn.initialisation import initialise_head, initialise_parameters
from tubelet.nn.pooling import pool_tokens
from tubelet.nn.token_drop import draw_kept_positions
from tubelet.provenance import Provenance

Labels = Mapping[str, Sequence[str]]

Frozen = Literal["none", "embedding", "spatial", "encoder"]
"""Which part of a model is not trained; see `ViViT.freeze`."""


class ViViT(nn.Module):
    """A Video Vision Transformer (Arnab et al., ICCV 2021): one of four models, as `config.variant` says.

        video [B, T, C, H, W] -> embedding -> tokens [B, t, h, w, D]

        1 spatio_temporal            encoder over all t*h*w tokens
        2 factorised_encoder         spatial_encoder over the h*w tokens of each time step -> one vector each
                                     -> temporal_encoder over these t vectors (or their mean: temporal_layers=0)
        3 factorised_self_attention  encoder whose blocks attend over space, then over time
        4 factorised_dot_product     encoder whose heads attend half over time, half over space

        -> pool -> (head_norm) -> head -> logits [B, K], or a dictionary of them with several heads

    The video may have another number of frames, height and width than the configuration if they divide into tubelets:
    positions are interpolated.

    Args:
        config: the architecture.
        preprocessing: how videos are preprocessed; saved with the weights.
        labels: class names of each head, `{"label": [...]}` for a single one; saved with the weights.

    Attributes:
        config, preprocessing, labels: as above; `preprocessing` and `labels` may be None.
        embedding, encoder (or spatial_encoder and temporal_encoder), head_norm, head: the parts.
        load_report: a `tubelet.weights.LoadReport` after `tubelet.load`, None for a new model.
        provenance: the videos that the weights, and those that they were initialised from, were trained on; saved with
            the weights. None if not known.
        sample_clips: file of clips with the logits of these weights, where they were loaded from; None without.
        frozen: the part that `freeze` was last called with.
        operating_points: by head, how probabilities become labels (thresholds, `unknown`); saved with the weights.
            Heads that have none report their best class, or, multi-label, those from 0.5 on.
    """

    config: ModelConfig
    load_report: Any = None
    provenance: Provenance | None = None
    sample_clips: Path | None = None
    frozen: Frozen = "none"
    operating_points: Mapping[str, OperatingPoint]

    def __init__(
        self, config: ModelConfig, preprocessing: PreprocessingConfig | None = None, labels: Labels | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.preprocessing = preprocessing
        self.labels = _checked_labels(labels, config)
        self.operating_points = {}
        self.embedding = build_embedding(config)
        time, height, width = config.grid
        if config.variant == "factorised_encoder":
            assert config.temporal_layers is not None
            self.spatial_encoder = build_encoder(config, (1, height, width), config.num_layers)
            if config.temporal_layers:
                self.temporal_encoder = build_encoder(config, (time, 1, 1), config.temporal_layers)
        else:
            self.encoder = build_encoder(config, (time, height, width), config.num_layers)
        self.head_norm = BatchNorm(config.hidden_size, affine=False) if config.head_norm == "batch" else nn.Identity()
        self.head = build_head(config)
        initialise_parameters(self, config.residual_init)
        initialise_head(self.head)

    def forward(
        self, video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """Classify.

        Args:
            video: [B, T, C, H, W], preprocessed (see `preprocessing`; [-1, 1] for the paper's weights), of any
                floating-point type: it is cast to that of the weights.
            frame_mask: [B, T], True at real frames, for clips that are padded. Masked frames do not change the result:
                they are neither attended to nor pooled, and a tubelet that holds both kinds sees the last real frame
                repeated.

        Returns:
            logits [B, K], or {head: [B, K]} where `num_classes` names several heads.

        Raises:
            ConfigError: the video's shape does not fit the model, or a sample has no real frame.
        """
        return self.forward_head(self.forward_features(video, frame_mask), frame_mask)

    def forward_pooled(
        self, video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B D"]:
        """The vectors that are classified: `forward` without `head_norm` and head.

        Args:
            video, frame_mask: as in `forward`.
        """
        tokens = self.forward_features(video, frame_mask)
        return self._pool(tokens, self._time_mask(frame_mask))

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
        return self.encode_tokens(tokens, self._time_mask(frame_mask), self._kept_positions(tokens))

    def _kept_positions(self, tokens: Float[Tensor, "B t h w D"]) -> Int[Tensor, "B n"] | None:
        """The spatial positions that `token_drop` keeps in training; None is all."""
        if not self.training or not self.config.token_drop:
            return None
        positions = tokens.shape[2] * tokens.shape[3]
        return draw_kept_positions(len(tokens), positions, self.config.token_drop).to(tokens.device)

    def embed(
        self, video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B t h w D"]:
        """The token grid, before position embeddings are added."""
        self._check_input(video, frame_mask)
        if frame_mask is not None:
            video = hold_masked_frames(video, frame_mask)
        # quantised weights are integers
        weights = next((weight for weight in self.embedding.parameters() if weight.is_floating_point()), video)
        return self.embedding(video.to(weights.dtype))

    def encode_tokens(
        self,
        tokens: Float[Tensor, "B t h w D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
        kept: Int[Tensor, "B n"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """The second step of `forward_features`, after `embed`: from the token grid to the tokens that the head pools.

        Args:
            tokens: [B, t, h, w, D].
            time_mask: True at real time steps.
            kept: encode only the tokens at these spatial positions (see `Encoder.forward`); N is then smaller.
        """
        if self.config.variant != "factorised_encoder":
            return self.encoder(tokens, time_mask, kept)
        return self.encode_times(self.encode_space(tokens, kept), time_mask)

    def encode_space(
        self, tokens: Float[Tensor, "B t h w D"], kept: Int[Tensor, "B n"] | None = None
    ) -> Float[Tensor, "B t D"]:
        """Factorised encoder only: the spatial encoder, which makes one vector of the tokens of each time step."""
        time_steps = tokens.shape[1]
        kept = None if kept is None else kept.repeat_interleave(time_steps, dim=0)
        features = self.spatial_encoder.forward_pooled(tokens.flatten(0, 1).unsqueeze(1), None, kept)
        return features.unflatten(0, (-1, time_steps))

    def encode_tubelets(self, video: Float[Tensor, "B T C H W"], place: int = 0) -> Float[Tensor, "B D"]:
        """Factorised encoder only: the vector that the spatial encoder makes of one tubelet of each clip.

        Args:
            video: frames of the tubelet; with a convolutional stem also those before and after it.
            place: of the tubelet among those that the frames make.
        """
        return self.encode_space(self.embed(video)[:, place : place + 1])[:, 0]

    def encode_times(
        self,
        features: Float[Tensor, "B t D"],
        time_mask: Bool[Tensor, "B t"] | None = None,
    ) -> Float[Tensor, "B N D"]:
        """Factorised encoder only: the temporal encoder over the vectors of `encode_space`, if there is one."""
        if not self.config.temporal_layers:
            return features
        return self.temporal_encoder(features[:, :, None, None], time_mask)

    def forward_head(
        self,
        tokens: Float[Tensor, "B N D"],
        frame_mask: Bool[Tensor, "B T"] | None = None,
        pre_logits: bool = False,
    ) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """Pool the output of `forward_features` and classify it.

        Args:
            tokens: [B, N, D].
            frame_mask: as given to `forward_features`.
            pre_logits: return the pooled vector [B, D], before `head_norm`, instead of logits.
        """
        pooled = self._pool(tokens, self._time_mask(frame_mask))
        return pooled if pre_logits else self.classify(pooled)

    def forward_times(
        self, features: Float[Tensor, "B t D"], time_mask: Bool[Tensor, "B t"] | None = None
    ) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """Factorised encoder only: from the vectors of `encode_space` to logits.

        Args:
            features: [B, t, D].
            time_mask: True at real time steps.
        """
        return self.classify(self.pool_times(features, time_mask))

    def pool_times(
        self, features: Float[Tensor, "B t D"], time_mask: Bool[Tensor, "B t"] | None = None
    ) -> Float[Tensor, "B D"]:
        """Factorised encoder only: from the vectors of `encode_space` to one vector of the clip."""
        if self.config.temporal_layers:
            return self.temporal_encoder.forward_pooled(features[:, :, None, None], time_mask)
        return self._pool(features, time_mask)

    def classify(self, pooled: Float[Tensor, "B D"]) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """Logits of the pooled vectors; the vectors themselves where there is no head."""
        if isinstance(self.head, nn.Identity):
            return pooled
        normed = self.head_norm(pooled)
        if isinstance(self.head, nn.ModuleDict):
            return {name: head(normed) for name, head in zip(self.config.heads, self.head.values(), strict=True)}
        return self.head(normed)

    def reset_classifier(
        self,
        num_classes: int | dict[str, int],
        labels: Labels | None = None,
        *,
        multi_label: Sequence[str] | None = None,
    ) -> None:
        """Replace the head (or heads) by a new, random one; 0 classes remove it. `config` and `labels` follow.

        Args:
            num_classes: see `ModelConfig`.
            labels: class names by head.
            multi_label: heads that are; those that are there now, by default.

        Raises:
            ConfigError: `labels` does not have `num_classes` names.
        """
        kinds: dict[str, Any] = {} if multi_label is None else {"multi_label": tuple(multi_label)}
        config = changed(self.config, num_classes=num_classes, **kinds)
        self.operating_points = {}
        self.labels = _checked_labels(labels, config)
        self.config = config
        like = next(self.embedding.parameters())
        self.head = build_head(config).to(like.device, like.dtype)
        initialise_head(self.head)

    def reconfigure(self, **changes: Any) -> None:
        """Change settings of the encoders in place; `config` follows.

        Every parameter stays the same object, so that an optimiser may hold it already. Only an input norm is added
        (with scale 1 and bias 0) or removed.

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
        """Freeze the first part of the model: no gradients, and evaluation mode (no dropout, no drop path).

        Args:
            part: `embedding`; `spatial`, which is embedding and spatial encoder of the factorised encoder; `encoder`,
                everything but the head (a linear probe); `none` trains everything again.

        Raises:
            ConfigError: no such part, also in this model; or nothing would be left to learn.
        """
        if part not in get_args(Frozen):
            raise ConfigError(f"freeze={part!r} is no part of a model; it is one of {', '.join(get_args(Frozen))}")
        if part == "spatial" and self.config.variant != "factorised_encoder":
            raise ConfigError(
                f"freeze='spatial': variant={self.config.variant!r} has no spatial encoder of its own; use 'encoder' "
                "(everything but the head) or 'embedding', or variant='factorised_encoder'"
            )
        if part == "encoder" and isinstance(self.head, nn.Identity):
            raise ConfigError("freeze='encoder' leaves the head to learn, and num_classes=0 has none")
        self.frozen = part
        frozen = set(self._frozen_parts())
        for module in self.children():
            module.requires_grad_(module not in frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> ViViT:
        """Training or evaluation mode; frozen parts stay in evaluation mode."""
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
        """Activation checkpointing in training: keep each block's input and recompute the rest in the backward pass."""
        for module in self.modules():
            if isinstance(module, Encoder):
                module.checkpointing = enabled

    def _pool(self, tokens: Tensor, time_mask: Tensor | None) -> Tensor:
        if self.config.variant != "factorised_encoder":
            return self.encoder.pool(tokens, time_mask)
        if self.config.temporal_layers:
            return self.temporal_encoder.pool(tokens, time_mask)
        return pool_tokens(tokens, "mean", time_mask)

    def time_mask(self, frame_mask: Bool[Tensor, "B T"]) -> Bool[Tensor, "B t"]:
        """True at the times of the token grid that have a real frame."""
        return self.embedding.token_mask(frame_mask)

    def _time_mask(self, frame_mask: Tensor | None) -> Tensor | None:
        return None if frame_mask is None else self.time_mask(frame_mask)

    def _check_input(self, video: Tensor, frame_mask: Tensor | None) -> None:
        given: dict[str, Any] = {"video": video} if frame_mask is None else {"video": video, "frame_mask": frame_mask}
        for name, value in given.items():
            if not isinstance(value, Tensor):
                raise ConfigError(f"expected {name} as a torch.Tensor, got a {type(value).__name__}")
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


def _checked_labels(labels: Any, config: ModelConfig) -> dict[str, list[str]] | None:
    if labels is None:
        return None
    if not isinstance(labels, Mapping) or any(isinstance(names, str) for names in labels.values()):
        raise ConfigError(
            f'labels are a list of class names for each head, {{"label": ["run", "walk"]}}; got {labels!r:.200}'
        )
    sizes = {head: len(names) for head, names in labels.items()}
    if sizes != config.heads:
        raise ConfigError(f"labels give {sizes} names, but the model's heads have {config.heads} classes")
    return {head: list(names) for head, names in labels.items()}
