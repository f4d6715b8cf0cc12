"""Every augmentation at once: a clip is settled by seed, epoch and index, whoever makes it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from tubelet.config import NO_AUGMENTATION, AugmentationConfig, PreprocessingConfig
from tubelet.data import Batch, ClipDataset, MixupCutmix, batch_generator, make_loader, read_table
from tubelet.data.draws import Draws
from tubelet.data.temporal_sampling import training_indices

EVERYTHING = AugmentationConfig(
    reverse=0.5,
    reverse_labels={"label": {"clap": "wave"}},
    scale_jitter=(0.7, 1.4),
    flip=0.5,
    flip_labels={"label": {"jump": "wave"}},
    colour=0.8,
    grey=0.3,
    rand_augment_layers=2,
    rand_augment_magnitude=9,
    erase=0.5,
    mixup=0.4,
    cutmix=1.0,
    label_smoothing=0.1,
)
DENSE = PreprocessingConfig(num_frames=4, frame_stride=2, resize=24, crop_size=(16, 16))
UNIFORM = dataclasses.replace(DENSE, sampling="uniform", frame_stride=1)


@pytest.mark.parametrize(
    ("preprocessing", "changes"),
    [
        (DENSE, {"speed": (0.5, 2.0)}),
        (UNIFORM, {"coverage": (0.4, 1.0), "temporal": "segments", "rand_augment_ops": "torchvision"}),
    ],
)
def test_a_batch_does_not_depend_on_the_number_of_workers(
    folder: Path, preprocessing: PreprocessingConfig, changes: dict[str, Any]
) -> None:
    config = dataclasses.replace(EVERYTHING, **changes)
    table = read_table(folder)
    mixer = MixupCutmix(config, table.heads)

    def batches(workers: int, seed: int, epoch: int) -> list[Batch]:
        clips = ClipDataset(table, preprocessing, augmentation=config, seed=seed)
        loader = make_loader(clips, 5, workers=workers, epoch=epoch, pin_memory=False)
        return [mixer.batch(batch, batch_generator(seed, epoch, number)) for number, batch in enumerate(loader)]

    first = batches(0, 1, 2)
    assert not any(batch.failures for batch in first)
    for workers in (1, 2):
        for one, other in zip(first, batches(workers, 1, 2), strict=True):
            assert torch.equal(one.video, other.video)
            assert torch.equal(one.targets["label"], other.targets["label"])
            assert torch.equal(one.indices, other.indices)
    for seed, epoch in ((1, 3), (2, 2)):
        assert not torch.equal(first[0].video, batches(0, seed, epoch)[0].video)


@pytest.mark.parametrize(
    ("preprocessing", "changes"),
    [
        (DENSE, {"temporal": "random"}),
        (DENSE, {"speed": (0.5, 2.0)}),
        (UNIFORM, {"temporal": "random"}),
        (UNIFORM, {"temporal": "segments"}),
        (UNIFORM, {"coverage": (0.3, 0.9)}),
    ],
)
def test_the_frames_of_a_clip_are_settled_by_seed_epoch_and_index(
    preprocessing: PreprocessingConfig, changes: dict[str, Any]
) -> None:
    config = dataclasses.replace(NO_AUGMENTATION, **changes)

    def frames(seed: int, epoch: int) -> list[list[int]]:
        torch.rand(3)  # torch's own generator plays no part
        return [training_indices(90, config, preprocessing, Draws(seed, epoch, index))[0] for index in range(20)]

    first = frames(0, 0)
    assert first == frames(0, 0)
    assert first != frames(0, 1)
    assert first != frames(1, 0)
    assert len(set(map(tuple, first))) > 5
