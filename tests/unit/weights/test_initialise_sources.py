"""One image transformer in every layout that can be read makes one and the same video model, in all four variants."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tubelet import ModelConfig, ViViT
from tubelet.weights import LoadReport
from tubelet.weights.image_vit_read import read_image_vit
from tubelet.weights.initialise import config_for, initialise
from tubelet.weights.msgpack_tree import unflatten, write_tree

VARIANTS = ["spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"]
BASE = ModelConfig(image_size=32, num_frames=8, tubelet_size=(2, 8, 8), num_classes=5)
HF_CONFIG = {
    "model_type": "vit",
    "hidden_size": 16,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
    "hidden_act": "gelu_new",
    "layer_norm_eps": 1e-6,
}
PARTS = {
    "timm": {"norm_attention": "norm1", "norm_mlp": "norm2", "attention.out": "attn.proj"},
    4: {
        "norm_attention": "layernorm_before",
        "norm_mlp": "layernorm_after",
        "attention.out": "attention.output.dense",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    },
    5: {"norm_attention": "layernorm_before", "norm_mlp": "layernorm_after", "attention.out": "attention.o_proj"},
}
QKV = {4: "attention.attention.{}", 5: "attention.{}_proj"}
ROLES = {4: ("query", "key", "value"), 5: ("q", "k", "v")}


def to_timm(file: Path) -> dict[str, Tensor]:
    ours = {name: incoming.tensor.contiguous() for name, incoming in read_image_vit(file).tensors.items()}
    state = {
        "cls_token": ours.pop("cls")[None],
        "pos_embed": torch.cat([ours.pop("positions.cls"), ours.pop("positions.grid").flatten(0, 1)])[None],
    }
    for name, tensor in ours.items():
        for part, theirs in PARTS["timm"].items():
            name = name.replace(part, theirs)
        state[name.replace("attention.", "attn.").replace("embedding.", "patch_embed.proj.")] = tensor
    return state


def to_transformers(file: Path, layout: int) -> dict[str, Tensor]:
    ours = {name: incoming.tensor.contiguous() for name, incoming in read_image_vit(file).tensors.items()}
    state = {
        "vit.embeddings.cls_token": ours.pop("cls")[None],
        "vit.embeddings.position_embeddings": torch.cat(
            [ours.pop("positions.cls"), ours.pop("positions.grid").flatten(0, 1)]
        )[None],
    }
    for name, tensor in ours.items():
        for part, theirs in PARTS[layout].items():
            name = name.replace(part, theirs)
        name = "vit." + name.replace("blocks.", "encoder.layer." if layout == 4 else "layers.")
        name = name.replace("vit.embedding.", "vit.embeddings.patch_embeddings.projection.")
        name = name.replace("vit.head.", "classifier.").replace("vit.norm.", "vit.layernorm.")
        if ".qkv." not in name:
            state[name] = tensor
            continue
        for role, part in zip(ROLES[layout], tensor.chunk(3), strict=True):
            state[name.replace("attention.qkv", QKV[layout].format(role))] = part.contiguous()
    return state


def a_safetensors_file(file: Path) -> Path:
    save_file(to_timm(file), file.with_name("timm.safetensors"))
    return file.with_name("timm.safetensors")


def a_pth_file(file: Path) -> Path:
    torch.save({"state_dict": to_timm(file), "epoch": 1}, file.with_name("timm.pth"))
    return file.with_name("timm.pth")


def a_folder_of(layout: int) -> Callable[[Path], Path]:
    def write(file: Path) -> Path:
        folder = file.with_name(f"transformers_{layout}")
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(HF_CONFIG))
        save_file(to_transformers(file, layout), folder / "model.safetensors")
        return folder

    return write


def a_scenic_checkpoint(file: Path) -> Path:
    tree = unflatten({name: torch.from_numpy(array) for name, array in numpy.load(file).items()})
    tree["output_projection"] = tree.pop("head")
    write_tree({"params": tree}, file.with_name("image.checkpoint"))
    return file.with_name("image.checkpoint")


SOURCES: dict[str, Callable[[Path], Any]] = {
    "scenic checkpoint": a_scenic_checkpoint,
    "timm safetensors": a_safetensors_file,
    "timm pth": a_pth_file,
    "timm state dict": to_timm,
    "transformers 4": a_folder_of(4),
    "transformers 5": a_folder_of(5),
}


def started(source: Any, variant: str) -> tuple[ViViT, LoadReport]:
    torch.manual_seed(7)  # what is new is drawn alike
    config = config_for(source, BASE, variant=variant, num_heads=4)
    model = ViViT(config)
    return model, initialise(model, source, head=True)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_makes_the_same_model(kind: str, variant: str, published_vit: Any) -> None:
    file = published_vit()
    (expected, of_npz), (model, report) = started(file, variant), started(SOURCES[kind](file), variant)
    theirs = expected.state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    assert report.counts() == of_npz.counts()
    assert set(report.names("new")) == set(of_npz.names("new"))


WHAT_IS_NEW = {
    "spatio_temporal": set(),
    "factorised_encoder": {"temporal_encoder"},
    "factorised_self_attention": {"encoder"},
    "factorised_dot_product": set(),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_carried_over(variant: str, published_vit: Any) -> None:
    """The table of docs/weights.md, for a source with a class token."""
    report = started(published_vit(), variant)[1]
    new, unused = set(report.names("new")), set(report.names("unused"))
    assert {name.split(".")[0] for name in new} == WHAT_IS_NEW[variant]
    if variant == "factorised_self_attention":
        assert all(".time.out." in name for name in new)
        assert all(f"encoder.blocks.{n}.time.qkv.weight" in report.names("adapted") for n in range(2))
    assert unused == ({"cls"} if variant in VARIANTS[2:] else set())
    encoder = "spatial_encoder" if variant == "factorised_encoder" else "encoder"
    assert {"embedding.weight", f"{encoder}.positions.grid"} <= set(report.names("adapted")) | (
        set(report.names("loaded")) if variant == "factorised_encoder" else set()
    )
