"""Weights that others published and tubelet loads: where they are, what they see, under which licence."""

from __future__ import annotations

from dataclasses import dataclass

BUCKET = "https://storage.googleapis.com/scenic-bucket/vivit"


@dataclass(frozen=True, kw_only=True)
class PublicWeights:
    """One set of weights.

    Attributes:
        name: id on the Hugging Face Hub, name in timm, or address of the file.
        model: what it is.
        load: Python that loads it; a file has to be downloaded first.
        train: words of `tubelet train DATA` that start from it.
        preprocessing: frames and their distance, pixels of a side, range or mean and std.
        licence: as its publisher says; of the repository where the file has none of its own.
        accuracy: top-1, as published; None where there is no figure for the whole model.
        source: where licence and figure are said.
    """

    name: str
    model: str
    load: str
    train: str
    preprocessing: str
    licence: str
    accuracy: str | None
    source: str


def _scenic(path: str, model: str, accuracy: str, fields: str = "image_size=224, num_frames=32") -> PublicWeights:
    return PublicWeights(
        name=f"{BUCKET}/{path}/checkpoint",
        model=model,
        load=f'tubelet.load("checkpoint", {fields})',
        train="--init checkpoint",
        preprocessing="32 frames, every 2nd; 224 pixels of 256; [-1, 1]",
        licence="Apache-2.0",
        accuracy=accuracy,
        source="README of Scenic, projects/vivit",
    )


def _hub(name: str, model: str, preprocessing: str, licence: str, accuracy: str | None) -> PublicWeights:
    return PublicWeights(
        name=name,
        model=model,
        load=f'tubelet.load("{name}")',
        train=f"--init {name}",
        preprocessing=preprocessing,
        licence=licence,
        accuracy=accuracy,
        source="model card on the Hub",
    )


PUBLIC_WEIGHTS: tuple[PublicWeights, ...] = (
    _scenic("kinetics_400/vivit_base_16x2_unfactorized", "ViViT-B/16x2, model 1", "79.9 % of Kinetics-400, 4x3 views"),
    _scenic("kinetics_400/vivit_base_16x2_fe", "ViViT-B/16x2, model 2", "78.4 % of Kinetics-400, 4x3 views"),
    _scenic("kinetics_400/vivit_large_16x2_fe", "ViViT-L/16x2, model 2", "80.3 % of Kinetics-400, 4x3 views"),
    _scenic("kinetics_600/vivit_large_16x2_fe", "ViViT-L/16x2, model 2", "81.6 % of Kinetics-600, 4x3 views"),
    _scenic(
        "epic_kitchens/vivit_large_16x2_fe", "ViViT-L/16x2, model 2", "43.6 % of EPIC-Kitchens-100 actions, 4x1 views"
    ),
    _hub(
        "google/vivit-b-16x2-kinetics400",
        "ViViT-B/16x2, model 1",
        "32 frames, every 2nd; 224 pixels of 224; see docs/weights.md for the range",
        "MIT",
        None,
    ),
    _hub("google/vivit-b-16x2", "ViViT-B/16x2, model 1", "32 frames, every 2nd; 224 pixels; [-1, 1]", "MIT", None),
    _hub(
        "MCG-NJU/videomae-base-finetuned-kinetics",
        "VideoMAE, ViT-B, tubelets of 2 frames; model 1 with mean pooling",
        "16 frames, every 4th; 224 pixels; ImageNet mean and std",
        "CC-BY-NC-4.0",
        "80.9 % of Kinetics-400",
    ),
    PublicWeights(
        name="vit_base_patch16_224.augreg_in21k",
        model="image ViT-B/16, ImageNet-21k (AugReg), to start any of the four models from",
        load='tubelet.initialise(tubelet.create("vivit_base_16x2_fe"), "vit_base_patch16_224.augreg_in21k")',
        train="--init vit_base_patch16_224.augreg_in21k --preset vivit_base_16x2_fe",
        preprocessing="224 pixels; [-1, 1]",
        licence="Apache-2.0",
        accuracy=None,
        source="model card of timm",
    ),
)
"""In the order in which they are shown."""
