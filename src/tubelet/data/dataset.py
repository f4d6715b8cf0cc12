"""Clips of a table, one by one: varied for training, or as views for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from tubelet.config import AugmentationConfig, PreprocessingConfig
from tubelet.data.cache import CachedFrames, FrameCache
from tubelet.data.draws import Draws, bernoulli
from tubelet.data.items import Draw, Failure, Item
from tubelet.data.label_maps import LabelMap
from tubelet.data.table import Sample, Table
from tubelet.data.temporal_sampling import check_temporal, real_mask, training_indices
from tubelet.errors import ConfigError, VideoError
from tubelet.video import Clip, Clips, Decoder, Preprocessing, open_video
from tubelet.video.clip import damage_in_words, why_unreadable
from tubelet.video.in_memory import InMemoryDecoder


def targets_of(shown: Mapping[str, Sequence[int]], table: Table) -> dict[str, int | Tensor]:
    """The targets of an `Item` out of `Sample.shown`."""
    targets: dict[str, int | Tensor] = {}
    for head, indices in shown.items():
        if head in table.multi_label:
            targets[head] = several = torch.zeros(len(table.classes[head]))
            several[list(indices)] = 1
        else:
            targets[head] = indices[0]
    return targets


class ClipDataset(Dataset[Item | Failure]):
    """The clips of a table.

    An item depends on the seed, the epoch and the index, not on the worker that makes it or on what was asked for
    before. A video that cannot be read becomes a `Failure`: no exception, and never another video in its place.

    Args:
        table: what there is; take a split first (`table.split("train")`).
        preprocessing: of the model.
        mode: `train`: one varied clip, as `augmentation` says; `evaluate`: all views, nothing random.
        clips: evaluation: how many clips are spread over the video, or which; see `tubelet.video.Preprocessing.clips`.
        crops: evaluation: of each clip.
        augmentation: training; None is `AugmentationConfig()`.
        seed: of the run.
        cache: keeps decoded and resized frames; None decodes each time. The items are the same.
        backend: see `tubelet.video.open_video`.
        use_damaged: take a clip with frames that are known to be damaged; otherwise it is a `Failure`. None does so
            in evaluation, and not in training.

    Raises:
        ConfigError: an option that means nothing in this mode, or classes to flip that the table does not have.
    """

    def __init__(
        self,
        table: Table,
        preprocessing: Preprocessing | PreprocessingConfig,
        *,
        mode: Literal["train", "evaluate"] = "train",
        clips: Clips = 1,
        crops: int = 1,
        augmentation: AugmentationConfig | None = None,
        seed: int = 0,
        cache: FrameCache | None = None,
        backend: str = "auto",
        use_damaged: bool | None = None,
    ) -> None:
        if mode == "train" and (clips, crops) != (1, 1):
            raise ConfigError(f"clips={clips}, crops={crops} belong to mode='evaluate'; training takes one clip")
        if mode == "evaluate" and augmentation is not None:
            raise ConfigError("augmentation belongs to mode='train'; evaluation has none")
        self.table = table
        self.preprocessing = (
            Preprocessing(preprocessing) if isinstance(preprocessing, PreprocessingConfig) else preprocessing
        )
        self.mode = mode
        self.clips, self.crops = clips, crops
        self.augmentation = augmentation or AugmentationConfig()
        self.seed = seed
        self.epoch = 0
        self.cache = cache
        self.backend = backend
        self.use_damaged = mode == "evaluate" if use_damaged is None else use_damaged
        if mode == "train":  # here, so that the workers that are forked later find it imported
            import tubelet.data.transforms  # noqa: F401  # torchvision, which takes seconds
        check_temporal(self.augmentation if mode == "train" else AugmentationConfig(), self.preprocessing.config)
        self._flipped = LabelMap(self.augmentation.flip_labels, table.classes, "flip_labels")
        self._reversed = LabelMap(self.augmentation.reverse_labels, table.classes, "reverse_labels")

    def __len__(self) -> int:
        return len(self.table)

    def set_epoch(self, epoch: int) -> None:
        """Which epoch `dataset[index]` draws for. A loader says so itself with each item that it asks for."""
        self.epoch = epoch

    @property
    def video_shape(self) -> tuple[int, ...]:
        """Shape of an item's video; where the number of clips depends on the video, that of a video of one clip."""
        config = self.preprocessing.config
        clip = (config.num_frames, len(config.mean), *config.crop_size)
        if self.mode == "train":
            return clip
        return ((self.clips if isinstance(self.clips, int) else 1) * self.crops, *clip)

    def __getitem__(self, wanted: int | Draw) -> Item | Failure:
        draw = wanted if isinstance(wanted, Draw) else Draw(wanted, self.epoch)
        if not 0 <= draw.index < len(self):
            raise IndexError(f"index {draw.index} of {len(self)} samples")
        sample = self.table.samples[draw.index]
        try:
            if self.mode == "train":
                return self._training_item(sample, draw)
            return self._evaluation_item(sample, draw.index)
        except (VideoError, OSError, MemoryError) as error:
            return Failure(draw.index, sample.path, why_unreadable(error))

    # --- training --------------------------------------------------------------------------------------------------

    def _training_item(self, sample: Sample, draw: Draw) -> Item:
        from tubelet.data.transforms import augment, is_flipped

        draws = Draws(self.seed, draw.epoch, draw.index, draw.repeat)
        backwards = self._reversed.names(sample.shown) and bernoulli(draws.rng("reverse"), self.augmentation.reverse)
        frames, real = self._training_frames(sample, draw.index, draws, backwards)
        shown = sample.shown
        if backwards:
            shown = self._reversed(shown)
        if is_flipped(self.augmentation, draws):
            shown = self._flipped(shown)
        targets = targets_of(shown, self.table)
        video = augment(frames, self.augmentation, self.preprocessing, draws)
        return Item(video=video, frame_mask=real_mask(real), targets=targets, index=draw.index, frames=None)

    def _training_frames(self, sample: Sample, index: int, draws: Draws, backwards: bool) -> tuple[Tensor, list[bool]]:
        """Resized frames of a training clip, uint8 [T, 3, H, W], and which of them are real."""
        real: list[bool] = []

        def choose(decoder: Decoder) -> list[int]:
            nonlocal real
            inside = self.preprocessing.frames_inside(decoder, start, end)
            chosen, real = training_indices(len(inside), self.augmentation, self.preprocessing.config, draws)
            if backwards:
                count = sum(real)
                chosen = chosen[:count][::-1] + [chosen[0]] * (len(chosen) - count)
            return [inside[position] for position in chosen]

        with self._opened(sample, index) as (decoder, start, end):
            clip = self.preprocessing.read(decoder, choose)
            self._allow(clip.damaged, len(clip), sample)
            return clip.frames, real

    # --- evaluation ------------------------------------------------------------------------------------------------

    def _evaluation_item(self, sample: Sample, index: int) -> Item:
        with self._opened(sample, index) as (decoder, start, end):
            views = self.preprocessing.views(decoder, self.clips, self.crops, start, end)
            frames = views.indices
            if isinstance(decoder, InMemoryDecoder):
                frames = [list(decoder.numbers_in_source(clip)) for clip in frames]
        self._allow(views.damaged, len({number for clip in views.indices for number in clip}), sample)
        return Item(
            video=views.video,
            frame_mask=views.frame_mask,
            targets=targets_of(sample.shown, self.table),
            index=index,
            frames=frames,
            damaged=len(views.damaged),
            resampled=views.resampled or self._kept_resampled(index),
        )

    def _allow(self, damaged: Sequence[int], total: int, sample: Sample) -> None:
        """Raise a VideoError for damaged frames that are not to be used."""
        if damaged and not self.use_damaged:
            raise VideoError(sample.path, f"{damage_in_words(damaged, total)}, or set use_damaged")

    # --- where frames come from ------------------------------------------------------------------------------------

    @contextmanager
    def _opened(self, sample: Sample, index: int) -> Iterator[tuple[Decoder, float | None, float | None]]:
        """A decoder of the sample's video, or of what the cache holds of it, and the seconds of it that count."""
        kept = self.cache.get(index) if self.cache is not None else None
        if kept is not None:
            yield self._decoder_of(sample, kept), None, None
            return
        threads = 1 if get_worker_info() is not None else 0
        with open_video(sample.path, self.backend, threads=threads) as decoder:
            held = self._keep(decoder, sample, index) if self.cache is not None else None
            if held is None:
                yield decoder, sample.start, sample.end
            else:
                yield held, None, None

    def _keep(self, decoder: Decoder, sample: Sample, index: int) -> InMemoryDecoder | None:
        """Decode all frames that any epoch can ask for, and keep them; None if they do not fit or cannot be had."""
        assert self.cache is not None
        inside: Sequence[int] = ()

        def choose(decoder: Decoder) -> list[int]:
            nonlocal inside
            inside = self.preprocessing.frames_inside(decoder, sample.start, sample.end)
            return [inside[position] for position in self._to_keep(len(inside))]

        height, width = self.preprocessing.resized_size(decoder.metadata.height, decoder.metadata.width)
        if not self.cache.has_room(index, 3 * height * width * len(choose(decoder))):
            return None
        try:
            clip = self.preprocessing.read(decoder, choose)
        except VideoError:
            clip = None
        if clip is None or clip.damaged:  # decoded each time, so that it is known of each clip whether it is damaged
            self.cache.refuse(index)
            return None
        self.cache.put(index, clip.frames, inside)
        return self._decoder_of(sample, CachedFrames(clip.frames, inside))

    def _decoder_of(self, sample: Sample, kept: CachedFrames) -> InMemoryDecoder:
        held = self._to_keep(len(kept.numbers))
        numbers = tuple(kept.numbers[position] for position in held)
        times = torch.tensor(list(held), dtype=torch.float64)
        return InMemoryDecoder(Clip(kept.frames, times, numbers, sample.path), total=len(kept.numbers), held=held)

    def _kept_resampled(self, index: int) -> bool:
        kept = self.cache.get(index) if self.cache is not None else None
        return kept is not None and not isinstance(kept.numbers, range)

    def _to_keep(self, total: int) -> Sequence[int]:
        """Of a video's frames, those that a cache keeps: all in training, those of the views in evaluation."""
        if self.mode == "train":
            return range(total)
        chosen, _ = self.preprocessing.clips(total, self.clips)
        return sorted({index for indices in chosen for index in indices})
