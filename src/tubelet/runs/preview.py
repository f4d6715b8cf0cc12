"""A batch as a training would see it, before there is one."""

from __future__ import annotations

from dataclasses import dataclass

from tubelet.config import TrainConfig
from tubelet.data import Batch, BatchMix, ClipDataset, batch_generator, make_loader, mirror_note, read_configured
from tubelet.training.model import build_model
from tubelet.training.splits import divide
from tubelet.video import Preprocessing


@dataclass(frozen=True, eq=False)
class Preview:
    """A batch of training clips.

    Attributes:
        batch: sampled, augmented, cropped, mixed.
        preprocessing: of the model that would be trained.
        classes: class names by head.
        notes: what to look at.
    """

    batch: Batch
    preprocessing: Preprocessing
    classes: dict[str, list[str]]
    notes: tuple[str, ...]


def preview_batch(config: TrainConfig, clips: int = 8, *, epoch: int = 0, plain: bool = False) -> Preview:
    """Make a batch of the training that a configuration describes; `tubelet.data.contact_sheet` draws it.

    Args:
        config: with `data.source`.
        clips: in the batch.
        epoch: that the draws belong to.
        plain: without augmentation, as in evaluation.

    Raises:
        ConfigError, DataError: as of `tubelet.train`.
    """
    table = divide(read_configured(config.data), config).train
    model, _ = build_model(config, table)
    assert model.preprocessing is not None
    notes: tuple[str, ...] = ()
    if plain:
        dataset = ClipDataset(table, model.preprocessing, mode="evaluate", seed=config.seed)
    else:
        note = mirror_note(table.classes, config.augmentation)
        notes = () if note is None else (note,)
        dataset = ClipDataset(table, model.preprocessing, augmentation=config.augmentation, seed=config.seed)
    batch = next(iter(make_loader(dataset, clips, workers=0, shuffle=True, epoch=epoch)))
    if config.augmentation.mixes and not plain and len(batch):
        batch = BatchMix(config.augmentation, table.heads).batch(batch, batch_generator(config.seed, epoch, 0))
    return Preview(batch, Preprocessing(model.preprocessing), table.classes, notes)
