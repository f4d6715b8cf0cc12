"""The real clips of the gate, in memory, in videos, and in `sample.npz`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from tubelet.data.read import read_table
from tubelet.data.table import Sample
from tubelet.errors import ConfigError, DataError, VideoError, WeightsError
from tubelet.exporting.gate import RealClips, plain_logits
from tubelet.model import ViViT
from tubelet.prediction import find_videos
from tubelet.prediction.sources import open_source
from tubelet.runs.check import compare_logits
from tubelet.video import Preprocessing
from tubelet.weights.sample_clips import SampleClips

MOST = 32
"""Clips of the gate."""

SAMPLE_FILE = "sample.npz"
SAMPLE_BYTES = 2**25
"""Of the pixels in `sample.npz`, before compression; it has at least `LEAST` clips."""
LEAST = 4

TABLES = (".csv", ".tsv", ".jsonl")


def real_clips(model: ViViT, data: Sequence[str | os.PathLike[str]] = ()) -> RealClips:
    """The clips that the exported model is compared on.

    Args:
        model: the plain model, on the CPU, with `preprocessing`.
        data: videos, folders or tables of them; without, the sample clips beside the model's weights.

    Raises:
        ConfigError: there are no sample clips, or they are of another size.
        DataError: no video of `data` can be read.
        WeightsError: the model does not give the logits that are kept with its sample clips.
    """
    return _of_videos(model, data) if data else _of_samples(model)


def _of_samples(model: ViViT) -> RealClips:
    how = "name some videos: --data VIDEO ..., a folder, or a table"
    if model.sample_clips is None:
        raise ConfigError(
            f"an export is proven on real clips, and this model has no sample clips of its training; {how}"
        )
    samples = SampleClips.read(model.sample_clips)
    size = (model.config.num_frames, model.config.in_channels, *model.config.image_size)
    if samples.shape != size:
        raise ConfigError(f"the sample clips are {samples.shape}, and the model to export takes {size}; {how}")
    pixels, masks = zip(*samples, strict=True)
    found = _real_clips(model, pixels, masks)
    difference = compare_logits(samples, {head: torch.from_numpy(x) for head, x in found.logits.items()})
    if not difference.agrees:
        raise WeightsError(
            f"the model gives other logits here than are kept with its sample clips (they differ by "
            f"{difference.logits:.2g}); tubelet doctor looks closer. To export it all the same, {how}"
        )
    return found


def _of_videos(model: ViViT, data: Sequence[str | os.PathLike[str]]) -> RealClips:
    if model.preprocessing is None:
        raise ConfigError("the model does not say how videos are preprocessed; set model.preprocessing")
    preprocessing = Preprocessing(model.preprocessing)
    videos = [video for each in data for video in _videos(os.fspath(each), model.labels)]
    spread = [videos[number * len(videos) // min(MOST, len(videos))] for number in range(min(MOST, len(videos)))]
    pixels: list[Tensor] = []
    masks: list[Tensor | None] = []
    names: list[str] = []
    samples: list[Sample] = []
    problems: list[str] = []
    for video in spread:
        try:
            with open_source(video.path) as decoder:
                views = preprocessing.views(decoder, start=video.start, end=video.end)
        except (VideoError, OSError) as error:
            problems.append(str(error))
            continue
        pixels.append(preprocessing.denormalise(views.video[0]))
        masks.append(None if views.frame_mask is None else views.frame_mask[0])
        names.append(Path(video.path).name)
        samples.append(video)
    if not pixels:
        raise DataError(f"not one video of {', '.join(map(str, data))} can be read: {problems[0]}")
    return replace(_real_clips(model, pixels, masks, tuple(names)), samples=tuple(samples))


def _videos(name: str, classes: Mapping[str, list[str]] | None) -> list[Sample]:
    """Videos, with their classes where the data has labels that are the model's."""
    is_table = Path(name).suffix.lower() in TABLES
    if classes is not None and (is_table or Path(name).is_dir()):
        with suppress(DataError):
            return list(read_table(name, classes=classes).samples)
    if is_table:
        return list(read_table(name, labels=()).samples)
    return [Sample(video, {}) for video in find_videos(name) or [name]]


def _real_clips(
    model: ViViT, pixels: Sequence[Tensor], masks: Sequence[Tensor | None], names: tuple[str, ...] = ()
) -> RealClips:
    whole = torch.ones(model.config.num_frames, dtype=torch.bool)
    stacked = None
    if any(mask is not None for mask in masks):
        stacked = torch.stack([whole if mask is None else mask for mask in masks]).numpy()
    arrays = numpy.stack([clip.permute(0, 2, 3, 1).numpy() for clip in pixels])
    return RealClips(arrays, stacked, plain_logits(model, pixels, masks), names)


def write_samples(clips: RealClips, folder: Path) -> None:
    """Write `sample.npz`: `clips` uint8 [N, T, H, W, C], `frame_mask`, and `logits.HEAD` float32 [N, K]."""
    kept = slice(0, max(LEAST, SAMPLE_BYTES // clips.pixels[0].nbytes))
    arrays: dict[str, Any] = {
        "clips": clips.pixels[kept],
        **{f"logits.{head}": x[kept] for head, x in clips.logits.items()},
    }
    if clips.frame_mask is not None:
        arrays["frame_mask"] = clips.frame_mask[kept]
    numpy.savez_compressed(folder / SAMPLE_FILE, allow_pickle=False, **arrays)


def read_samples(folder: Path) -> RealClips:
    """Read what `write_samples` wrote.

    Raises:
        WeightsError: it is missing or damaged.
    """
    file = folder / SAMPLE_FILE
    try:
        with numpy.load(file, allow_pickle=False) as found:
            arrays = dict(found)
        logits = {name.removeprefix("logits."): x for name, x in arrays.items() if name.startswith("logits.")}
        return RealClips(arrays["clips"], arrays.get("frame_mask"), logits)
    except Exception as error:
        raise WeightsError(f"{file}: cannot be read ({type(error).__name__}: {error})") from error
