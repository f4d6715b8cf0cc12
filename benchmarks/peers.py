"""The same models from other packages, of the same size, and with the same weights where the model is the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from torch import nn

from tubelet.config import ModelConfig
from tubelet.model import ViViT

VIT_PYTORCH_VARIANTS = {
    "factorised_encoder": "factorized_encoder",
    "factorised_self_attention": "factorized_self_attention",
}


def transformers_vivit(model: ViViT) -> Any | None:
    """Hugging Face's ViViT with SDPA and the weights of `model`, through the folder that we write for it; model 1."""
    try:
        from transformers import VivitForVideoClassification
    except ImportError:
        print("transformers is not installed (pip install 'tubelet[bench]'): left out")
        return None
    from tubelet.weights.hf_vivit import save_hf_vivit

    with tempfile.TemporaryDirectory() as folder:
        save_hf_vivit(model, Path(folder) / "vivit")
        return VivitForVideoClassification.from_pretrained(Path(folder) / "vivit", attn_implementation="sdpa")


def vit_pytorch_vivit(config: ModelConfig) -> nn.Module | None:
    """vit-pytorch's ViViT of that size, models 2 and 3. Its details differ from the paper's; it has own weights."""
    if config.variant not in VIT_PYTORCH_VARIANTS:
        return None
    try:
        from vit_pytorch.vivit import ViViT
    except ImportError:
        print("vit-pytorch is not installed (pip install 'tubelet[bench]'): left out")
        return None
    return ViViT(
        image_size=config.image_size[0],
        image_patch_size=config.tubelet_size[1],
        frames=config.num_frames,
        frame_patch_size=config.tubelet_size[0],
        num_classes=400,
        dim=config.hidden_size,
        spatial_depth=config.num_layers,
        temporal_depth=config.temporal_layers or config.num_layers,
        heads=config.num_heads,
        dim_head=config.hidden_size // config.num_heads,
        mlp_dim=config.mlp_dim,
        variant=VIT_PYTORCH_VARIANTS[config.variant],
    )


def torchvision_swin() -> nn.Module:
    """torchvision's Video Swin Transformer B: another model, of 88 million parameters as ViViT-B has."""
    from torchvision.models.video import swin3d_b

    return swin3d_b()
