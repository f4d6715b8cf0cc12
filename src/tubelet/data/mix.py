"""Mixup and cutmix of a whole batch, and the soft targets that every loss after them needs."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Collection, Mapping

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from tubelet.config import AugmentationConfig
from tubelet.data.batch import Batch
from tubelet.data.draws import generator_of, integer
from tubelet.errors import ConfigError, DataError


class MixupCutmix:
    """Mixes each clip of a batch with another, or smooths the targets, or both.

    Mixup (Zhang et al., ICLR 2018) as in Scenic's trainer: one weight from Beta(alpha, alpha) for the whole
    batch, and the partner is the clip at the same place of the reversed batch. Cutmix (Yun et al., ICCV 2019): a box of
    the partner is put in, the same one in all frames, a tube; the weight is the share of the frame that is left. Label
    smoothing comes after mixing, `on * (1 - s) + s / K`, as in Scenic. The classes of a multi-label head are mixed each
    for itself, and smoothed as two alternatives, shown or not: `on * (1 - s) + s / 2`.

    Args:
        config: `mixup`, `cutmix`, `mix_probability`, `label_smoothing`.
        heads: number of classes by head.
        multi_label: heads of which several classes may be shown.

    Raises:
        ConfigError: no head.
    """

    def __init__(self, config: AugmentationConfig, heads: Mapping[str, int], multi_label: Collection[str] = ()) -> None:
        if not heads:
            raise ConfigError("nothing to mix: the data has no labels")
        self.config = config
        self.heads = dict(heads)
        self.multi_label = frozenset(multi_label)

    def __call__(
        self, videos: Float[Tensor, "B T C H W"], targets: Mapping[str, Tensor], generator: Generator
    ) -> tuple[Float[Tensor, "B T C H W"], dict[str, Tensor]]:
        """Mix clips and targets.

        Args:
            videos: of a batch; not changed.
            targets: head to class indices, int64 [B]; of a multi-label head 0 and 1, float32 [B, K].
            generator: of every draw (`batch_generator`).

        Returns:
            videos, and head to soft targets, float32 [B, K], which sum to 1 but in multi-label heads.
        """
        mixed = self._mix(videos, targets, generator)
        return mixed[:2]

    def batch(self, batch: Batch, generator: Generator) -> Batch:
        """A mixed batch. A frame of a mixed clip is real if it is in either of the two."""
        video, targets, mixed = self._mix(batch.video, batch.targets, generator)
        mask = batch.frame_mask
        if mixed and mask is not None:
            mask = mask | mask.flip(0)
        return dataclasses.replace(batch, video=video, targets=targets, frame_mask=mask)

    def _mix(
        self, videos: Tensor, targets: Mapping[str, Tensor], generator: Generator
    ) -> tuple[Tensor, dict[str, Tensor], bool]:
        if set(targets) != set(self.heads):
            raise DataError(f"targets for {', '.join(targets)}, expected {', '.join(self.heads)}")
        hot = {
            head: targets[head]
            if head in self.multi_label
            else torch.nn.functional.one_hot(targets[head], classes).float()
            for head, classes in self.heads.items()
        }
        # numbers of the standard library: torch draws no beta from a generator
        draws = random.Random(integer(generator, 2**62))
        mixed = self.config.mixes and draws.random() < self.config.mix_probability
        if mixed:
            cut = bool(self.config.cutmix) and (not self.config.mixup or draws.random() < 0.5)
            alpha = self.config.cutmix if cut else self.config.mixup
            weight = draws.betavariate(alpha, alpha)
            if cut:
                videos, weight = _put_tube(videos, weight, draws)
            else:
                videos = torch.lerp(videos.flip(0), videos, weight)
            hot = {head: torch.lerp(target.flip(0), target, weight) for head, target in hot.items()}
        smoothing = self.config.label_smoothing
        if smoothing:
            hot = {
                head: target * (1 - smoothing) + smoothing / (2 if head in self.multi_label else target.shape[1])
                for head, target in hot.items()
            }
        return videos, hot, mixed


BatchMix = MixupCutmix
"""The former name."""


def batch_generator(seed: int, epoch: int, batch: int, rank: int = 0) -> Generator:
    """The generator for mixing one batch, a function of its position in the run, so that resuming is exact."""
    return generator_of(seed, epoch, batch, rank, "mix")


def _put_tube(videos: Tensor, weight: float, draws: random.Random) -> tuple[Tensor, float]:
    """Videos with a box of their partner, and the share of the frame that stayed their own."""
    height, width = videos.shape[-2:]
    side = math.sqrt(1 - weight)
    tall, wide = round(height * side), round(width * side)
    row, column = draws.randrange(height), draws.randrange(width)
    top, bottom = max(0, row - tall // 2), min(height, row - tall // 2 + tall)
    left, right = max(0, column - wide // 2), min(width, column - wide // 2 + wide)
    mixed = videos.clone()
    mixed[..., top:bottom, left:right] = videos.flip(0)[..., top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)
