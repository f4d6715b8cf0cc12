"""Small models of every kind."""

from __future__ import annotations

from typing import Any

import tubelet
from tubelet.model import ViViT

TINY: dict[str, Any] = {
    "image_size": (16, 24),
    "num_frames": 4,
    "tubelet_size": (2, 8, 8),
    "hidden_size": 16,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_dim": 24,
    "num_classes": 3,
}

KINDS: dict[str, dict[str, Any]] = {
    "model 1": {"variant": "spatio_temporal"},
    "model 1, mean": {"variant": "spatio_temporal", "pool": "mean"},
    "model 1, frames": {"variant": "spatio_temporal", "embedding": "uniform_frames", "tubelet_size": (1, 8, 8)},
    "model 1, sampled frames": {
        "variant": "spatio_temporal",
        "embedding": "uniform_frames",
        "tubelet_size": (1, 8, 8),
        "sampled_frames": 3,
    },
    "model 2": {"variant": "factorised_encoder", "temporal_layers": 1},
    "model 2, mean": {"variant": "factorised_encoder", "temporal_layers": 1, "pool": "mean"},
    "model 2, average": {"variant": "factorised_encoder", "temporal_layers": 0},
    "model 3": {"variant": "factorised_self_attention", "attention_order": "time_space"},
    "model 4": {"variant": "factorised_dot_product"},
    "several heads": {"variant": "spatio_temporal", "num_classes": {"noun": 4, "verb": 2}},
}


def tiny(**fields: Any) -> ViViT:
    """A small model with random weights, in evaluation mode."""
    config = tubelet.ModelConfig(**{**TINY, **fields})
    return tubelet.create(config).eval()
