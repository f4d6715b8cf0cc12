"""A data set of features: each clip of a table is decoded and encoded once, whatever the number of epochs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from tubelet.config import NO_AUGMENTATION
from tubelet.data import ClipDataset, Draw, Failure, Item, Table, make_loader
from tubelet.data.dataset import targets_of
from tubelet.device import autocast
from tubelet.errors import ConfigError
from tubelet.evaluation.averaging import VIEWS_PER_FORWARD
from tubelet.features.identity import describe
from tubelet.features.split_model import Stage, as_video, feature_shape, features_of, require_stage
from tubelet.features.store import Features, FeatureStore
from tubelet.model import ViViT


class FeatureClips(ClipDataset):
    """A `ClipDataset` with features in place of pixels, as `tubelet.features.AfterFeatures` takes them.

    `Item.video` is [t, D, 1, 1] in training and [V, t, D, 1, 1] in evaluation (see `tubelet.features.split_model`).
    Each sample is computed on its own, without augmentation, so that its features do not depend on other samples, and
    stored. A video that cannot be read is tried once and is a `Failure` each time.

    Args:
        table: the samples.
        model: with `preprocessing`, in evaluation mode up to `stage`. Its weights must not change.
        stage: see `tubelet.features.Stage`.
        folder: where features are stored (`FeatureStore`).
        gigabytes: of features in memory.
        dtype: of matrix products.
        mode: `train`: the clip of a training without augmentation; `evaluate`: all views.
        clips: evaluation: how many clips are spread over the video.
        crops: evaluation: of each clip.
        seed: of the order of training.
        use_damaged: see `ClipDataset`.

    Raises:
        ConfigError: the model cannot be cut there, or is in training mode up to there.
    """

    def __init__(
        self,
        table: Table,
        model: ViViT,
        stage: Stage,
        folder: str | Path,
        *,
        gigabytes: float = 2.0,
        dtype: torch.dtype = torch.float32,
        mode: Literal["train", "evaluate"] = "train",
        clips: int = 1,
        crops: int = 1,
        seed: int = 0,
        use_damaged: bool | None = None,
    ) -> None:
        require_stage(model, stage)
        first_half = [model.embedding, model.spatial_encoder] if stage == "spatial" else _all_but_head(model)
        if any(module.training for module in first_half):
            raise ConfigError(
                f"features of a model in training mode vary; call model.freeze({stage!r}) or model.eval()"
            )
        if model.preprocessing is None:
            raise ConfigError("the model does not say how videos are preprocessed; set model.preprocessing")
        augmentation = NO_AUGMENTATION if mode == "train" else None
        super().__init__(
            table,
            model.preprocessing,
            mode=mode,
            clips=clips,
            crops=crops,
            augmentation=augmentation,
            seed=seed,
            use_damaged=use_damaged,
        )
        self.model, self.stage, self.dtype, self._count = model, stage, dtype, clips
        self.store = FeatureStore(folder, describe(model, self, stage, dtype), table.samples, gigabytes)
        self._failures: dict[int, Failure] = {}

    @property
    def video_shape(self) -> tuple[int, ...]:
        """Shape of an item's features."""
        clip = (*feature_shape(self.model, self.stage), 1, 1)
        return clip if self.mode == "train" else (self._count * self.crops, *clip)

    def __getitem__(self, wanted: int | Draw) -> Item | Failure:
        index = wanted.index if isinstance(wanted, Draw) else wanted
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} samples")
        if index in self._failures:
            return self._failures[index]
        try:
            kept = self.store.get(index)
        except OSError as error:
            return self._failed(Failure(index, self.table.samples[index].path, error.strerror or str(error)))
        if kept is None:
            item = super().__getitem__(index)
            if isinstance(item, Failure):
                return self._failed(item)
            kept = self._compute(index, item["video"], item["frame_mask"])
        video = as_video(kept.values)
        mask = kept.mask
        if self.mode == "train":
            video, mask = video[0], None if mask is None else mask[0]
        targets = targets_of(self.table.samples[index].shown, self.table)
        return Item(video=video, frame_mask=mask, targets=targets, index=index, frames=None)

    def fill(self, workers: int | None = None) -> Iterator[tuple[int, int]]:
        """Compute the features that are not stored yet. Worker processes decode the videos.

        Args:
            workers: of `make_loader`.

        Yields:
            (samples done, samples to do), after each.
        """
        missing = [index for index in range(len(self)) if not self._is_stored(index)]
        if not missing:
            return
        raw = ClipDataset(
            self.table.select(missing),
            self.preprocessing,
            mode=self.mode,
            clips=self.clips,
            crops=self.crops,
            augmentation=NO_AUGMENTATION if self.mode == "train" else None,
            backend=self.backend,
            use_damaged=self.use_damaged,
        )
        loader = make_loader(raw, 1, workers=min(len(missing), workers) if workers else workers, shuffle=False)
        for done, batch in enumerate(loader, 1):
            index = missing[done - 1]
            if batch.failures:
                self._failed(Failure(index, batch.failures[0].path, batch.failures[0].reason))
            else:
                mask = None if batch.frame_mask is None else batch.frame_mask[0]
                self._compute(index, batch.video[0], mask)
            yield done, len(missing)

    def _is_stored(self, index: int) -> bool:
        try:
            return index in self.store
        except OSError:
            return False

    def _failed(self, failure: Failure) -> Failure:
        self._failures[failure.index] = failure
        return failure

    @torch.no_grad()
    def _compute(self, index: int, video: Tensor, mask: Tensor | None) -> Features:
        device = next(self.model.parameters()).device
        if self.mode == "train":
            video, mask = video[None], None if mask is None else mask[None]
        parts = []
        with autocast(device, self.dtype):
            for first in range(0, len(video), VIEWS_PER_FORWARD):
                views = slice(first, first + VIEWS_PER_FORWARD)
                real = None if mask is None else mask[views].to(device)
                parts.append(features_of(self.model, video[views].to(device), real, self.stage))
        masks = [real for _, real in parts if real is not None]
        features = Features(torch.cat([values for values, _ in parts]).cpu(), torch.cat(masks).cpu() if masks else None)
        self.store.put(index, features)
        return features


def _all_but_head(model: ViViT) -> list[nn.Module]:
    return [module for name, module in model.named_children() if name not in ("head_norm", "head")]
