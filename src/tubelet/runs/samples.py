"""The sample clips of a run: which they are, and what the trained model gives for them."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest

import torch
from torch import Tensor

from tubelet.config import PreprocessingConfig
from tubelet.data import ClipDataset, Failure, Sample, Table
from tubelet.errors import ConfigError
from tubelet.given_model import logits_by_head
from tubelet.model import ViViT
from tubelet.version import __version__
from tubelet.video import Preprocessing
from tubelet.weights.sample_clips import SampleClips, pack_clip, weights_checksum

MOST, LEAST = 32, 4
"""Clips of a run, and those that are kept however large they are."""

BUDGET = 32 * 2**20
"""Bytes of them: 32 clips of 32 frames of 224 x 224, filmed in colour, compressed to a fifth."""


def make_sample_clips(
    model: ViViT, table: Table, *, split: str | None = None, most: int = MOST, budget: int = BUDGET
) -> SampleClips | None:
    """Take clips of videos, and compute what the model gives for them.

    The clips are those that an evaluation with one view takes, of all classes alike: the same ones for the same table.
    Videos that cannot be read, or with damaged frames, are passed over.

    Args:
        model: trained; in evaluation mode, where it is. It computes as it is, in float32 products.
        table: labelled videos.
        split: only these samples of it.
        most: clips at most.
        budget: bytes, compressed, after which there are no more, once there are four.

    Returns:
        the clips; None if not one video can be read.

    Raises:
        ConfigError: the model does not say how to preprocess.
    """
    if model.preprocessing is None:
        raise ConfigError("the model does not say how videos are preprocessed; set model.preprocessing")
    preprocessing = Preprocessing(model.preprocessing)
    samples = _spread_over_classes(table if split is None else table.split(split))
    clips = ClipDataset(samples, preprocessing, mode="evaluate")
    packed: list[bytes] = []
    masks: list[Tensor | None] = []
    logits: dict[str, list[Tensor]] = defaultdict(list)
    for pixels, mask in _readable(clips, preprocessing):
        candidate = pack_clip(pixels)
        if len(packed) >= LEAST and sum(map(len, packed)) + len(candidate) > budget:
            break
        packed.append(candidate)
        masks.append(mask)
        for head, values in sample_logits(model, pixels, mask).items():
            logits[head].append(values)
        if len(packed) == most:
            break
    if not packed:
        return None
    frames, channels, height, width = pixels.shape
    whole = torch.ones(frames, dtype=torch.bool)
    return SampleClips(
        tuple(packed),
        (frames, channels, height, width),
        None if all(mask is None for mask in masks) else torch.stack([whole if m is None else m for m in masks]),
        {head: torch.stack(values) for head, values in logits.items()},
        weights_checksum(model),
        {
            "tubelet": __version__,
            "torch": torch.__version__,
            "device": str(next(model.parameters()).device),
            "split": split,
        },
    )


@torch.no_grad()
def sample_logits(
    model: torch.nn.Module,
    pixels: Tensor,
    mask: Tensor | None = None,
    *,
    preprocessing: PreprocessingConfig | None = None,
) -> dict[str, Tensor]:
    """What a model gives for one clip, {head: float32 [K]}, on the CPU.

    Args:
        model: a ViViT, or another form of one.
        pixels: uint8 [T, C, H, W].
        mask: bool [T], True where a frame is real.
        preprocessing: by default the model's.
    """
    config = preprocessing or model.preprocessing
    assert isinstance(config, PreprocessingConfig)
    device = next(model.parameters()).device
    video = Preprocessing(config).normalise(pixels)[None].to(device)
    given = model(video) if mask is None else model(video, mask[None].to(device))
    return {head: values[0].float().cpu() for head, values in logits_by_head(model, given).items()}


def _readable(clips: ClipDataset, preprocessing: Preprocessing) -> Iterator[tuple[Tensor, Tensor | None]]:
    """(uint8 pixels, frame mask) of the clips of undamaged videos."""
    for number in range(len(clips)):
        item = clips[number]
        if not isinstance(item, Failure) and not item.get("damaged"):
            mask = item["frame_mask"]
            yield preprocessing.denormalise(item["video"][0]), None if mask is None else mask[0]


def _spread_over_classes(table: Table) -> Table:
    """The table in the order in which its videos are taken: one of each class, then a second of each, and so on."""
    by_class: dict[tuple[tuple[int, ...], ...], list[Sample]] = defaultdict(list)
    for sample in sorted(table.samples, key=lambda sample: digest(table.key(sample))):
        by_class[tuple(sample.shown.values())].append(sample)
    rounds = zip_longest(*(by_class[labels] for labels in sorted(by_class)))
    taken = [sample for members in rounds for sample in members if sample is not None]
    return replace(table, samples=tuple(taken), notes=())


def digest(name: str) -> bytes:
    """What puts videos into an order that is random, and the same each time."""
    return hashlib.blake2b(os.fsencode(name), digest_size=16).digest()
