"""Where the videos and labels come from, and the augmentation of training clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tubelet.config.serialise import check_types
from tubelet.errors import ConfigError

DataFormat = Literal["auto", "folder", "table", "kinetics", "something", "epic", "moments", "shards"]

KEEP_WHOLE = "none"
"""The `label_separator` with which no cell is split."""

MOST_WORKERS = 1024
"""More than any machine has cores for."""


def check_workers(workers: int) -> None:
    """Hold that the number of processes is from 0 to `MOST_WORKERS`."""
    if not 0 <= workers <= MOST_WORKERS:
        raise ConfigError(f"workers={workers} must be from 0 (decode in the same process) to {MOST_WORKERS}")


@dataclass(frozen=True, kw_only=True)
class TableFormat:
    """How a source is read as a table; `DataConfig` documents the fields."""

    format: str = "auto"
    labels: Sequence[str] | Mapping[str, str] | None = None
    split_column: str | None = None
    group_column: str | None = None
    video_root: str | Path | None = None
    nested: bool = False
    allow_missing: bool = False
    label_separator: str | None = None
    one_hot: bool = False
    background: str | None = None

    @property
    def splits_cells(self) -> bool:
        """Whether a separator of labels was given."""
        return self.label_separator not in (None, KEEP_WHOLE)


@dataclass(frozen=True, kw_only=True)
class DataConfig(TableFormat):
    """Where the videos and their labels come from, and how they are fetched.

    Attributes:
        source: a folder of class folders, a CSV, TSV or JSONL file, a data set's own annotation file, or shards.
        format: `auto` looks; `folder`, `table` (CSV, TSV, JSONL), or the annotation files of `kinetics`, `something`
            (Something-Something v2), `epic` (EPIC-Kitchens) or `moments` (Moments in Time); or `shards`, what `tubelet
            data prepare` wrote.
        labels: columns that hold labels; several make several heads. None looks for one called `label` or similar.
        split_column: column that says train, val or test. None looks for one called `split` or similar.
        group_column: column whose groups (a person, a source video) are never divided between splits that are made.
        video_root: folder that the paths of a table start from; None is the table's own folder.
        fractions: shares of the splits that are made where the data has none.
        nested: a folder of folders: every folder with videos is a class (`sports/running`), not the first level alone.
        allow_missing: leave out samples whose file does not exist, and say so, instead of stopping.
        label_separator: what stands between the labels of a video in one cell ("jump;run"); such columns become
            multi-label heads. None splits at ; or | where every part of a cell occurs in other cells too, and says so;
            `none` takes every cell for one class.
        one_hot: the columns of `labels` hold 0 or 1 and are the classes of one multi-label head `label`; `tag_*` names
            all columns that begin so.
        background: the label that means none of the classes. In a multi-label head it is the empty set; a head with one
            class per video learns it as a class, and a prediction of it reads `unknown`.
        workers: processes that decode; None is one for each core, at most 8; 0 decodes in the training process.
        cache: `memory` keeps decoded, resized frames, so that each video is decoded once. Exactly the same result.
            `features` keeps what a frozen spatial encoder (or a frozen encoder) makes of each video, on disk too, and
            trains the rest on that: the same function, many times faster. Needs `freeze`, and no augmentation.
        cache_gigabytes: at most this much memory for it; videos that no longer fit are decoded each time, features read
            from the disk.
        feature_folder: where features are kept, for other runs with the same frozen weights as well; None is
            tubelet/features in the user's cache folder.
        balanced: every class equally often in an epoch, however many videos it has.
        use_damaged: learn from clips with frames that are known to be damaged; otherwise they are left out, and
            named among the videos that could not be read.
    """

    source: str | None = None
    format: DataFormat = "auto"
    labels: tuple[str, ...] | None = None
    video_root: str | None = None
    fractions: dict[str, float] = field(default_factory=lambda: {"train": 0.8, "val": 0.2})
    workers: int | None = None
    cache: Literal["none", "memory", "features"] = "none"
    cache_gigabytes: float = 2.0
    feature_folder: str | None = None
    balanced: bool = False
    use_damaged: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        if self.workers is not None:
            check_workers(self.workers)
        if self.cache_gigabytes <= 0:
            raise ConfigError(f"cache_gigabytes={self.cache_gigabytes} must be above 0; use cache='none' for no cache")


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Augmentation of training clips, with one draw for all frames of a clip.

    The defaults are the paper's for Kinetics (Appendix, Table 7, and `additional_augmentations` in Scenic): a random
    start, scale jitter, random crop, flip, colour jitter. Evaluation has none of it.

    Attributes:
        temporal: `random`: a dense clip starts anywhere, a uniform one takes the same random place in each of its
            parts; `segments`: a uniform clip takes a random frame of each part (temporal segment networks, Wang et al.,
            2016); `centre`: as in evaluation with one clip.
        speed: range of a factor on the frame stride, drawn log-uniformly; dense sampling alone. (1, 1) is off.
        coverage: range of the share of the video that a clip spreads over, at a random place; uniform sampling alone.
        warp: uniform sampling alone: the pace changes within the clip, by at most this share faster or slower; below 1,
            0 is off.
        reverse: probability of playing a clip backwards. Only clips whose class is in `reverse_labels` are.
        reverse_labels: by head, what a class becomes when played backwards: {"label": {"sit": "stand"}}. Both ways.
        scale_jitter: range of two independent factors on height and width. (1, 1) is off.
        rotate: a clip is rotated by at most so many degrees, either way; pixels from outside the frame repeat its edge.
        crop: `random` or `centre`.
        flip: probability of a horizontal flip.
        flip_labels: by head, what a class becomes when flipped: {"label": {"swipe left": "swipe right"}}. Both ways;
            classes that are not named keep their label. Classes whose names look like mirror images of each other have
            to be named, as their own mirror image if they keep theirs.
        colour: probability of colour jitter.
        brightness: at most this is added or taken away, pixels in [0, 1].
        contrast: range of the factor.
        saturation: range of the factor.
        hue: at most this is added or taken away, as a share of the colour circle.
        grey: probability of dropping the colour.
        rand_augment_layers: operations of RandAugment applied one after the other (Cubuk et al., 2020); 0 is off.
        rand_augment_magnitude: their strength, 0 to 10; the paper's recipes go to 15 and 20.
        rand_augment_ops: `original` (eleven operations without geometry, and the identity) or `torchvision`.
        erase: probability of random erasing (Zhong et al., 2020).
        erase_area: range of the erased share of the frame.
        mixup: alpha of mixup (Zhang et al., 2018); 0 is off.
        cutmix: alpha of cutmix (Yun et al., 2019); 0 is off. With both, each is used for half of the batches.
        mix_probability: share of the batches that are mixed.
        label_smoothing: share of each target that is spread over all classes, after mixing.
    """

    temporal: Literal["random", "segments", "centre"] = "random"
    speed: tuple[float, float] = (1.0, 1.0)
    coverage: tuple[float, float] = (1.0, 1.0)
    warp: float = 0.0
    reverse: float = 0.0
    reverse_labels: dict[str, dict[str, str]] = field(default_factory=dict)
    scale_jitter: tuple[float, float] = (0.9, 1.33)
    rotate: float = 0.0
    crop: Literal["random", "centre"] = "random"
    flip: float = 0.5
    flip_labels: dict[str, dict[str, str]] = field(default_factory=dict)
    colour: float = 0.8
    brightness: float = 32 / 255
    contrast: tuple[float, float] = (0.6, 1.4)
    saturation: tuple[float, float] = (0.6, 1.4)
    hue: float = 0.2
    grey: float = 0.1
    rand_augment_layers: int = 0
    rand_augment_magnitude: float = 10.0
    rand_augment_ops: Literal["original", "torchvision"] = "original"
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 1 / 3)
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_probability: float = 1.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_types(self)
        self._check_ranges()
        self._check_probabilities()
        self._check_strengths()

    def _check_ranges(self) -> None:
        for name in ("speed", "coverage", "scale_jitter", "contrast", "saturation", "erase_area"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ConfigError(
                    f"{name}={getattr(self, name)} is a range: two numbers from 0 on, the smaller one first"
                )
        for name in ("speed", "scale_jitter", "coverage"):
            if getattr(self, name)[0] == 0:
                raise ConfigError(f"{name}={getattr(self, name)} must be above 0")
        for name in ("coverage", "erase_area"):
            if getattr(self, name)[1] > 1:
                raise ConfigError(f"{name}={getattr(self, name)} is a range of shares; the larger number is at most 1")

    def _check_probabilities(self) -> None:
        for name in ("reverse", "flip", "colour", "grey", "erase", "mix_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)} is a probability; use a number from 0 to 1")
        if self.reverse and not self.reverse_labels:
            raise ConfigError(
                f"reverse={self.reverse} plays only classes named in reverse_labels backwards, and it is empty; "
                'say what a class becomes, {"label": {"sit": "stand"}} for example'
            )

    def _check_strengths(self) -> None:
        for name in ("brightness", "rand_augment_layers", "rand_augment_magnitude", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)} must be 0 (off) or more")
        if not 0 <= self.warp < 1:
            raise ConfigError(f"warp={self.warp} is a share of the pace; use a number from 0 (off) to below 1")
        if not 0 <= self.rotate <= 180:
            raise ConfigError(f"rotate={self.rotate} is an angle in degrees; use a number from 0 (off) to 180")
        if not 0 <= self.hue <= 0.5:
            raise ConfigError(f"hue={self.hue} is a share of the colour circle; use a number from 0 to 0.5")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing={self.label_smoothing} must be from 0 to below 1")
        if self.rand_augment_ops == "torchvision" and self.rand_augment_magnitude > 10:
            raise ConfigError(
                f"rand_augment_magnitude={self.rand_augment_magnitude}: torchvision's operations go from 0 to 10; "
                "use 10, or rand_augment_ops='original'"
            )

    @property
    def mixes(self) -> bool:
        """Whether clips of a batch are mixed with each other."""
        return bool(self.mix_probability and (self.mixup or self.cutmix))


NO_AUGMENTATION = AugmentationConfig(
    temporal="centre", scale_jitter=(1.0, 1.0), crop="centre", flip=0.0, colour=0.0, grey=0.0
)
"""Training clips as they are evaluated: for cached features, and the first step of every ablation."""
