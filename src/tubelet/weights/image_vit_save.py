"""An image model of ours as the `.npz` file of an image ViT, from which `initialise` starts video models."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch

from tubelet.errors import WeightsError
from tubelet.files import replacing
from tubelet.model import ViViT
from tubelet.weights.fold import fold_head_norm
from tubelet.weights.scenic import refuse_what_they_lack
from tubelet.weights.scenic_layout import scenic_tensors


@torch.no_grad()
def save_image_vit(model: ViViT, path: str | Path) -> Path:
    """Write a model that sees a single frame in the layout of vision_transformer's `.npz` files.

    A `spatio_temporal` model with `embedding="uniform_frames"` and `num_frames=1` is an image ViT: its tokens are the
    patches of one picture.

    Args:
        model: such a model, trained with pixels in [-1, 1], as those files are taken to be.
        path: of the file; replaced if it is there.

    Returns:
        the path.

    Raises:
        WeightsError: the model sees more than one frame, or has what such files cannot say.
    """
    model = fold_head_norm(model)
    config = model.config
    if (config.variant, config.embedding, config.num_frames) != ("spatio_temporal", "uniform_frames", 1):
        raise WeightsError(
            f"variant={config.variant!r}, embedding={config.embedding!r}, num_frames={config.num_frames} is no image "
            "model; that is variant='spatio_temporal', embedding='uniform_frames', num_frames=1"
        )
    refuse_what_they_lack(config)
    tensors = scenic_tensors(config, model.state_dict())
    path = Path(path)
    with replacing(path) as partial, zipfile.ZipFile(partial, "w") as archive:  # what numpy.savez writes
        for name, tensor in tensors.items():
            with archive.open(f"{name}.npy", "w") as member:
                array = tensor.float().cpu().contiguous().numpy()
                np.lib.format.write_array(member, array, allow_pickle=False)
    return path
