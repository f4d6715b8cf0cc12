"""Models of which it is known what decides, and videos as cameras write them."""

from __future__ import annotations

from pathlib import Path

import torch

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.model import ViViT

PREPROCESSING = PreprocessingConfig(num_frames=8, frame_stride=2, resize=32, crop_size=(32, 32))


def model_of_a_corner(row: int, column: int) -> ViViT:
    """A model in which the logit of class 0 is the brightness of the tokens at one place, at every time."""
    model = model_of_brightness()
    with torch.no_grad():
        model.encoder.pool_weights.grid.zero_()
        model.encoder.pool_weights.grid[:, row, column] = 1
    return model


def model_of_brightness() -> ViViT:
    """A model in which the logit of class 0 is the brightness of all tokens.

    One block without attention or MLP (their output layers are 0): the mean over tokens of one channel, which the
    embedding fills from the brightness, and a weight of pooling takes it.
    """
    config = ModelConfig(
        variant="spatio_temporal",
        image_size=32,
        num_frames=8,
        tubelet_size=(2, 8, 8),
        hidden_size=8,
        num_layers=1,
        num_heads=2,
        mlp_dim=8,
        num_classes=2,
        pool="weighted",
        output_norm="before_pool",
    )
    model = ViViT(config, PREPROCESSING, {"label": ["bright", "other"]}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embedding.weight[0] = 1 / model.embedding.weight[0].numel()
        model.embedding.bias[1] = 1  # so that the norm sees more than one value
        model.encoder.norm.weight.fill_(1)
        model.encoder.pool_weights.grid.fill_(1)
        model.head.weight[0, 0] = 1
    return model


def set_rotation(path: Path, degrees: int) -> None:
    """Write a rotation into the track header of an MP4: the matrix that players turn the picture by."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4
    matrix = place + 4 + 20 + 8 + 8
    values = {90: (0, 1, -1, 0), 270: (0, -1, 1, 0)}[degrees]
    for offset, value in zip((0, 4, 12, 16), values, strict=True):
        data[matrix + offset : matrix + offset + 4] = (value * 65536).to_bytes(4, "big", signed=True)
    path.write_bytes(data)
