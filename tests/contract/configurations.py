"""Every variant x embedding x pooling, small enough to run in milliseconds."""

from __future__ import annotations

import itertools

from tubelet.config import ModelConfig

VARIANTS = ("spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product")
EMBEDDINGS = ("tubelet", "uniform_frames", "conv_stem")


def small(variant: str = "spatio_temporal", embedding: str = "tubelet", **fields: object) -> ModelConfig:
    """Six frames of 16 x 24 pixels: three times of 2 x 3 places."""
    defaults: dict[str, object] = {
        "image_size": (16, 24),
        "num_frames": 6,
        "tubelet_size": (1 if embedding == "uniform_frames" else 2, 8, 8),
        "sampled_frames": 3 if embedding == "uniform_frames" else None,
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "mlp_dim": 48,
        "num_classes": 5,
    }
    return ModelConfig(variant=variant, embedding=embedding, **{**defaults, **fields})  # type: ignore[arg-type]


def every_configuration() -> dict[str, ModelConfig]:
    """By name; class tokens where the paper has them; the average-pool baseline and what small-data trains, too."""
    table = {}
    for variant, embedding, pool in itertools.product(VARIANTS, EMBEDDINGS, ("cls", "mean", "max")):
        if pool == "cls" and variant in ("factorised_self_attention", "factorised_dot_product"):
            continue
        table[f"{variant}-{embedding}-{pool}"] = small(variant, embedding, pool=pool)
        if variant == "factorised_encoder":
            table[f"average_pool-{embedding}-{pool}"] = small(variant, embedding, pool=pool, temporal_layers=0)
    for variant in VARIANTS:
        table[f"{variant}-tubelet-weighted"] = small(variant, pool="weighted")
    scratch = {"pool": "weighted", "head_norm": "batch", "residual_init": 0.1}
    table["from_scratch"] = small("factorised_encoder", "conv_stem", **scratch)
    return table


def a_few_configurations() -> list[str]:
    """Names out of `every_configuration` that have each variant, each embedding and each pooling between them."""
    variants = (*VARIANTS[:2], "average_pool", *VARIANTS[2:])
    poolings = ("cls", "mean", "max", "weighted", "max")
    embeddings = itertools.cycle(EMBEDDINGS)
    return [*map("-".join, zip(variants, embeddings, poolings, strict=False)), "from_scratch"]
