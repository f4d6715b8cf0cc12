"""`behaviour="original"`: the numbers of Scenic, worked out here from the file with NumPy and SciPy."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from tubelet import ModelConfig, ViViT, WeightsError
from tubelet.weights.initialise import config_for, initialise

VARIANTS = ["spatio_temporal", "factorised_encoder", "factorised_self_attention", "factorised_dot_product"]
BASE = ModelConfig(image_size=32, num_frames=8, tubelet_size=(2, 8, 8), num_classes=5)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("source_cls", "pool"), [(True, "cls"), (True, "mean"), (False, "cls"), (False, "mean")])
@pytest.mark.parametrize("method", ["tile", "resize", "resize_tile"])
def test_positions_are_the_originals_for_other_grids(
    variant: str, source_cls: bool, pool: str, method: Any, published_vit: Any
) -> None:
    """Scenic's arithmetic on flat tables, done here with NumPy and SciPy."""
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy comes with the test extra")
    if variant in VARIANTS[2:] and pool == "cls":
        pool = "max"
    side = 4 if method == "tile" else 6
    time = 9 if method == "resize" else 4  # 9 * 6 * 6 is 18 squared
    file = published_vit(cls=source_cls)
    config = config_for(file, BASE, variant=variant, pool=pool, image_size=side * 8, num_frames=2 * time)
    model = ViViT(config)
    positions = (model.spatial_encoder if variant == "factorised_encoder" else model.encoder).positions
    own = positions.cls.detach().clone() if pool == "cls" else None
    wanted = side * side * (1 if variant == "factorised_encoder" else time)
    table = numpy.load(file)["Transformer/posembed_input/pos_embedding"][0]
    first, table = table[: int(source_cls)], table[int(source_cls) :]
    if method != "tile":
        new = int(numpy.sqrt(wanted if method == "resize" else wanted // time))
        table = ndimage.zoom(table.reshape(4, 4, -1), (new / 4, new / 4, 1), order=1).reshape(new * new, -1)
    if method != "resize":
        table = numpy.concatenate([table] * (wanted // len(table)))
    initialise(model, file, positions=method, behaviour="original")
    assert numpy.abs(positions.grid.detach().flatten(0, 2).numpy() - table).max() <= 1e-6
    if pool == "cls":
        assert torch.equal(positions.cls.detach(), torch.from_numpy(first) if source_cls else own)


def test_where_the_original_fails_this_fails_too(published_vit: Any) -> None:
    file = published_vit()
    model = ViViT(config_for(file, BASE, image_size=48, num_frames=8))  # 4 * 6 * 6 = 144 is a square, 3 * 36 is not
    initialise(model, file, positions="resize", behaviour="original")
    model = ViViT(config_for(file, BASE, image_size=48, num_frames=6))
    with pytest.raises(WeightsError, match="Scenic fails"):
        initialise(model, file, positions="resize", behaviour="original")
    with pytest.raises(WeightsError, match="Scenic fails"):
        initialise(model, file, positions="tile", behaviour="original")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("method", ["central_frame", "inflation", "rank_pooling"])
def test_blocks_and_kernels_are_the_originals_in_every_variant(variant: str, method: Any, published_vit: Any) -> None:
    file = published_vit(layers=2)
    arrays = numpy.load(file)
    model = ViViT(config_for(file, BASE, variant=variant, tubelet_size=(4, 8, 8)))
    own = snapshot(model)
    initialise(model, file, tubelet_init=method, behaviour="original", head=True)
    state = model.state_dict()
    encoder = "spatial_encoder" if variant == "factorised_encoder" else "encoder"
    kernel = arrays["embedding/kernel"]
    harmonic = numpy.concatenate([[0], numpy.cumsum(1 / numpy.arange(1, 5))])
    taps = {
        "central_frame": [0, 0, 1, 0],
        "inflation": [0.25] * 4,
        "rank_pooling": [(2 * (5 - i) - 5 * (harmonic[4] - harmonic[i - 1])) / 4 for i in range(1, 5)],
    }[method]
    for tap, weight in enumerate(taps):
        ours = state["embedding.weight"][:, :, tap].permute(2, 3, 1, 0).numpy()
        assert numpy.abs(ours - kernel * weight).max() <= 1e-6
    assert numpy.array_equal(state["head.weight"].numpy(), arrays["head/kernel"].T)
    for layer in range(2):
        theirs = f"Transformer/encoderblock_{layer}/MultiHeadDotProductAttention_1"
        parts = [arrays[f"{theirs}/{role}/kernel"].reshape(16, 16).T for role in ("query", "key", "value")]
        qkv, out = numpy.concatenate(parts), arrays[f"{theirs}/out/kernel"].reshape(16, 16).T
        names = ["space", "time"] if variant == "factorised_self_attention" else ["attention"]
        for name in names:
            assert numpy.array_equal(state[f"{encoder}.blocks.{layer}.{name}.qkv.weight"].numpy(), qkv)
            assert numpy.array_equal(state[f"{encoder}.blocks.{layer}.{name}.out.weight"].numpy(), out)
        if variant == "factorised_self_attention":
            time = f"{encoder}.blocks.{layer}.norm_time"
            assert torch.equal(state[f"{time}.weight"], own[f"{time}.weight"])
            assert not torch.equal(state[f"{encoder}.blocks.{layer}.norm_space.weight"], own[f"{time}.weight"])
