"""From a configuration to the modules of a model: embedding, encoder with its blocks, head."""

from __future__ import annotations

from torch import nn

from tubelet.config import ModelConfig
from tubelet.nn.attention import AxisAttention, FactorisedDotProductAttention, SelfAttention
from tubelet.nn.blocks import MLP, Block, FactorisedSelfAttentionBlock
from tubelet.nn.embedding import ConvStemEmbedding, TubeletEmbedding, UniformFrameEmbedding
from tubelet.nn.encoder import Encoder


def build_embedding(config: ModelConfig) -> TubeletEmbedding | ConvStemEmbedding:
    """The embedding, from video to tokens."""
    if config.embedding == "uniform_frames":
        patch_size = config.tubelet_size[1:]
        return UniformFrameEmbedding(config.in_channels, config.hidden_size, patch_size, config.sampled_frames)
    kind = ConvStemEmbedding if config.embedding == "conv_stem" else TubeletEmbedding
    return kind(config.in_channels, config.hidden_size, config.tubelet_size)


def build_encoder(config: ModelConfig, grid: tuple[int, int, int], num_layers: int) -> Encoder:
    """An encoder of `num_layers` blocks over a token grid (t, h, w)."""
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
    """Linear from 0 at the first block to `rate` at the last; a temporal encoder has its own ramp, as in Scenic."""
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


def build_head(config: ModelConfig) -> nn.Module:
    """A linear layer, a dictionary of them with several heads, or the identity without classes."""
    if isinstance(config.num_classes, int):
        return nn.Linear(config.hidden_size, config.num_classes) if config.num_classes else nn.Identity()
    heads = nn.ModuleDict()
    for name, size in config.heads.items():
        key = f"{name}-head" if hasattr(heads, name) else name  # ModuleDict refuses `type`, `keys`, ...
        heads[key] = nn.Linear(config.hidden_size, size)
    return heads
