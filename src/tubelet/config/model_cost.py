"""The cost of a model from its configuration: parameters, tokens and multiply-adds (MACs)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tubelet.config.model import CONV_STEM_STRIDE, ModelConfig


@dataclass(frozen=True)
class Cost:
    """Of one clip at the configured size.

    Attributes:
        parameters: learned numbers, all heads included.
        tokens: tokens out of the embedding, without class tokens.
        multiply_adds: of all matrix products and convolutions. What the paper calls FLOPs is this; it counts 0.4 to
            0.8 % more, for elementwise work. Every token goes through every block here, as in the model; `tubelet.fast`
            leaves the others out of the last one where a class token is classified.
    """

    parameters: int
    tokens: int
    multiply_adds: int


def cost(config: ModelConfig) -> Cost:
    """Count parameters, tokens and multiply-adds of one clip (batch 1)."""
    time, height, width = config.grid
    places, dim = height * width, config.hidden_size
    cls = int(config.pool == "cls")
    classes = sum(config.heads.values())
    parameters, multiply_adds = _embedding(config)
    parameters += classes * (dim + 1)
    multiply_adds += classes * dim
    if config.variant == "factorised_encoder":
        layers, temporal_layers = config.num_layers, config.temporal_layers or 0
        parameters += _encoder_parameters(config, places, layers)
        multiply_adds += time * layers * _joint_block(config, places + cls)
        if temporal_layers:
            parameters += _encoder_parameters(config, time, temporal_layers)
            multiply_adds += temporal_layers * _joint_block(config, time + cls)
        return Cost(parameters, config.num_tokens, multiply_adds)
    parameters += _encoder_parameters(config, time * places, config.num_layers)
    tokens = time * places
    if config.variant == "spatio_temporal":
        block = _joint_block(config, tokens + cls)
    else:
        over_space, over_time = tokens * places * dim * 2, tokens * time * dim * 2
        if config.variant == "factorised_self_attention":
            block = 2 * _projections(config, tokens) + _mlp(config, tokens) + over_space + over_time
        else:
            block = _projections(config, tokens) + _mlp(config, tokens) + (over_space + over_time) // 2
    return Cost(parameters, config.num_tokens, multiply_adds + config.num_layers * block)


def multiply_adds_text(count: float) -> str:
    """1.995e11 as 199.5 G."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count:,.0f}"


def _embedding(config: ModelConfig) -> tuple[int, int]:
    """Parameters and multiply-adds of the embedding."""
    frames, height, width = config.tubelet_size
    dim, channels = config.hidden_size, config.in_channels
    if config.embedding != "conv_stem":
        kernel = channels * frames * height * width * dim
        return kernel + dim, config.num_tokens * kernel
    first, second = stem_channels(dim)
    half_height, half_width = math.ceil(config.image_size[0] / 2), math.ceil(config.image_size[1] / 2)
    cells = config.num_frames * math.ceil(half_height / 2) * math.ceil(half_width / 2)
    kernel1, kernel2 = 27 * 2 * channels * first, 27 * first * second
    kernel = second * frames * (height // CONV_STEM_STRIDE) * (width // CONV_STEM_STRIDE) * dim
    parameters = kernel1 + 2 * first + kernel2 + 2 * second + kernel + dim
    multiply_adds = config.num_frames * half_height * half_width * kernel1 + cells * kernel2
    return parameters, multiply_adds + config.num_tokens * kernel


def _encoder_parameters(config: ModelConfig, positions: int, layers: int) -> int:
    dim, mlp_dim = config.hidden_size, config.mlp_dim
    attention, norm = 4 * (dim * dim + dim), 2 * dim
    mlp = 2 * dim * mlp_dim + mlp_dim + dim
    axes = 2 if config.variant == "factorised_self_attention" else 1
    block = axes * (attention + norm) + norm + mlp
    cls = int(config.pool == "cls")
    learned_positions = (positions + cls) * dim if config.positions == "learned" else 0
    weights = positions * dim if config.pool == "weighted" else 0
    return layers * block + norm * (1 + config.input_norm) + cls * dim + learned_positions + weights


def _joint_block(config: ModelConfig, tokens: int) -> int:
    return _projections(config, tokens) + _mlp(config, tokens) + 2 * tokens * tokens * config.hidden_size


def _projections(config: ModelConfig, tokens: int) -> int:
    return 4 * tokens * config.hidden_size**2


def _mlp(config: ModelConfig, tokens: int) -> int:
    return 2 * tokens * config.hidden_size * config.mlp_dim


def stem_channels(hidden_size: int) -> tuple[int, int]:
    """Channels of the two convolutions of a stem that makes tokens of this width."""
    return max(hidden_size // 8, 8), max(hidden_size // 4, 16)
