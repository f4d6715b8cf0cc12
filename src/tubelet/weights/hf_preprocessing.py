"""What a folder's image or video processor does, as a `PreprocessingConfig`, and the way back.

A processor of the `transformers` library computes, pixel by pixel, ((pixel * rescale_factor - offset) - mean) / std.
Ours computes (pixel / 255 - mean) / std. Each is a straight line, so each can be written as the other:

    std = std' / (255 * rescale_factor)        mean = (offset + mean') / (255 * rescale_factor)

`VivitImageProcessor` rescales to [-1, 1] by its offset and then, by default, subtracts 0.5 and divides by 0.5: the
model sees [-3, 1]. Scenic's weights were trained on [-1, 1] ("zero centering"); those fine-tuned with that
processor, on what it gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tubelet.config import ModelConfig, PreprocessingConfig, from_dict, to_dict
from tubelet.errors import ConfigError, WeightsError
from tubelet.weights.json_config import is_number, read_json

IMAGE_FILE = "preprocessor_config.json"
VIDEO_FILE = "video_preprocessor_config.json"
OURS = "tubelet"
"""Key of the processor's file under which `processor_file` keeps what a processor cannot say."""
_UNSAYABLE = (
    "num_frames",
    "frame_stride",
    "sampling",
    "short_clips",
    "region",
    "antialias",
    "frames_per_second",
    "resample",
)

RESAMPLE = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class Family:
    """The processors of one kind of model.

    Attributes:
        name: as in the class names, in lower case ("vivit").
        short_side, rescale_factor, offset: the classes' defaults.
        otherwise: our preprocessing for a folder without a processor's file.
        why: what that is, for the report.
        trained_range: the pixel range of the published weights, if other ranges are worth a warning.
    """

    name: str
    short_side: int
    rescale_factor: float
    offset: bool
    otherwise: PreprocessingConfig
    why: str
    trained_range: tuple[float, float] | None = None


VIVIT = Family(
    "vivit", 256, 1 / 127.5, True, PreprocessingConfig(), "the paper's is assumed, pixels in [-1, 1]", (-1.0, 1.0)
)
VIDEOMAE = Family(
    "videomae",
    224,
    1 / 255,
    False,
    PreprocessingConfig(
        num_frames=16, frame_stride=4, resize=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "VideoMAE's own is assumed, with ImageNet's mean and standard deviation",
)


def read_preprocessing(folder: Path, family: Family, model: ModelConfig) -> tuple[PreprocessingConfig, list[str]]:
    """The preprocessing that gives the numbers that the folder's processor gives, and notes for the report.

    Args:
        folder: may hold `preprocessor_config.json` or `video_preprocessor_config.json`.
        family: whose defaults count.
        model: for the number of frames, which a processor does not know.
    """
    files = [folder / name for name in (IMAGE_FILE, VIDEO_FILE) if (folder / name).is_file()]
    if not files:
        size = model.image_size
        resize = round(min(size) * family.otherwise.resize / family.otherwise.crop_size[0])
        assumed = replace(family.otherwise, num_frames=model.num_frames, resize=max(resize, *size), crop_size=size)
        return _channels(assumed, model), [f"the folder has no {IMAGE_FILE}: {family.why}"]
    preprocessing, notes = _from_file(files[0], family, model)
    for other in files[1:]:
        if _from_file(other, family, model)[0] != preprocessing:
            notes.append(f"{other.name} says something else than {files[0].name}, which was followed")
    return preprocessing, notes


def with_pixel_range(preprocessing: PreprocessingConfig, pixel_range: tuple[float, float]) -> PreprocessingConfig:
    """The same, but black becomes `pixel_range[0]` and white `pixel_range[1]` in every channel.

    Raises:
        ConfigError: not a range.
    """
    low, high = pixel_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"pixel_range={pixel_range}: expected two numbers, the lower one first, as in (-1, 1)")
    width, channels = high - low, len(preprocessing.mean)
    return replace(preprocessing, mean=(-low / width + 0.0,) * channels, std=(1 / width,) * channels)


def processor_file(preprocessing: PreprocessingConfig) -> tuple[dict[str, Any], list[str]]:
    """The contents of `preprocessor_config.json` that make transformers do `preprocessing`, and what to know about it.

    The offset is always used, with a scale of 1 / 127.5, since the video processor of transformers 5 uses it whatever
    the file says. What a processor has no word for (frame stride, sampling) is kept beside, for `read_preprocessing`.
    """
    mean = [2 * value - 1 for value in preprocessing.mean]
    std = [2 * value for value in preprocessing.std]
    height, width = preprocessing.crop_size
    contents = {
        "image_processor_type": "VivitImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": preprocessing.resize},
        "resample": next(number for number, name in RESAMPLE.items() if name == preprocessing.interpolation),
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / 127.5,
        "offset": True,
        "do_normalize": any(mean) or any(value != 1 for value in std),
        "image_mean": mean,
        "image_std": std,
        OURS: {name: value for name, value in to_dict(preprocessing).items() if name in _UNSAYABLE},
    }
    frames = f"{preprocessing.num_frames} frames, frame_stride={preprocessing.frame_stride}"
    if preprocessing.sampling == "uniform":
        frames = f"{preprocessing.num_frames} frames spread over the whole video"
    notes = [f"transformers picks no frames of a video; this model was trained on {frames}"]
    if preprocessing.region is not None:
        notes.append(f"transformers cuts no region out of the picture; this model sees {preprocessing.region} alone")
    if not preprocessing.antialias:
        notes.append("transformers always smooths when it shrinks a frame; this model's preprocessing does not")
    return contents, notes


def _from_file(file: Path, family: Family, model: ModelConfig) -> tuple[PreprocessingConfig, list[str]]:
    values = read_json(file)
    kind = values.get("video_processor_type") or values.get("image_processor_type")
    kind = kind or values.get("feature_extractor_type") or family.name
    family = _family_of(str(kind), family, file)
    offset = values.get("offset", family.offset) or kind == "VivitVideoProcessor"
    for name in ("do_resize", "do_center_crop"):
        if values.get(name, True) is not True:
            raise _cannot(file, f"{name} is off")
    scale, shift = 1.0, 0.0
    if values.get("do_rescale", True):
        scale = _number(values.get("rescale_factor", family.rescale_factor), file, "rescale_factor")
        shift = float(bool(offset))
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    if values.get("do_normalize", True):
        mean, std = (_channel_values(values.get(name), file, name) for name in ("image_mean", "image_std"))
    channels = max(len(mean), len(std), model.in_channels)
    mean, std = (value * channels if len(value) == 1 else value for value in (mean, std))
    try:
        preprocessing = PreprocessingConfig(
            num_frames=model.num_frames,
            frame_stride=family.otherwise.frame_stride,
            resize=_short_side(values.get("size", {"shortest_edge": family.short_side}), file),
            crop_size=_crop(values.get("crop_size", {"height": 224, "width": 224}), file),
            interpolation=_interpolation(values.get("resample", 2), file),
            mean=tuple(_rounded((shift + value) / (255 * scale)) for value in mean),
            std=tuple(_rounded(value / (255 * scale)) for value in std),
        )
        kept = values.get(OURS)
        if kept is None:
            notes = [
                f"{file.name} does not say which frames to pick: frame_stride={preprocessing.frame_stride} is assumed"
            ]
        else:
            known = {name: value for name, value in kept.items() if name in _UNSAYABLE}
            both = {**to_dict(preprocessing), **known, "num_frames": model.num_frames}
            preprocessing, notes = from_dict(PreprocessingConfig, both), []
    except (ConfigError, ZeroDivisionError, OverflowError, AttributeError) as error:
        raise _cannot(file, str(error)) from error
    return preprocessing, notes + _range_note(preprocessing, family, file)


def _range_note(preprocessing: PreprocessingConfig, family: Family, file: Path) -> list[str]:
    if family.trained_range is None:
        return []
    low = min(-mean / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True))
    high = max((1 - mean) / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True))
    expected = family.trained_range
    if math.isclose(low, expected[0], abs_tol=1e-6) and math.isclose(high, expected[1], abs_tol=1e-6):
        return []
    return [
        f"warning: {file.name} gives pixels in [{low:g}, {high:g}], and so does this model's preprocessing, but the "
        "original ViViT weights were trained on [-1, 1]; for weights that were converted and not fine-tuned with this "
        "processor, pixel_range=(-1, 1) feeds what they were trained on"
    ]


def _family_of(kind: str, family: Family, file: Path) -> Family:
    for known in (VIVIT, VIDEOMAE):
        if known.name in kind.lower():
            return known
    raise _cannot(file, f"its type {kind!r} is none of the processors of ViViT or VideoMAE")


def _short_side(size: Any, file: Path) -> int:
    if isinstance(size, dict):
        size = size.get("shortest_edge")
    if type(size) is not int:
        raise _cannot(file, "size is not one of a shortest_edge")
    return size


def _crop(size: Any, file: Path) -> tuple[int, int]:
    if isinstance(size, dict):
        height, width = size.get("height"), size.get("width")
    else:
        height = width = size
    if type(height) is not int or type(width) is not int:
        raise _cannot(file, "crop_size is not a height and a width")
    return height, width


def _interpolation(resample: Any, file: Path) -> Any:
    if type(resample) is not int or resample not in RESAMPLE:
        raise _cannot(file, f"resample={resample!r} is neither bilinear (2) nor bicubic (3)")
    return RESAMPLE[resample]


def _channel_values(value: Any, file: Path, name: str) -> tuple[float, ...]:
    """One number, or one for each channel; 0.5 (the processors' default for both) if nothing is said."""
    values = [0.5] if value is None else value if isinstance(value, list) else [value]
    if not values:
        raise _cannot(file, f"{name} is empty")
    return tuple(_number(item, file, name) for item in values)


def _number(value: Any, file: Path, name: str) -> float:
    if not is_number(value):
        raise _cannot(file, f"{name} holds {value!r} where a number is expected")
    return float(value)


def _rounded(value: float) -> float:
    """Without the last digits that dividing by 255 * (1 / 127.5) leaves behind."""
    return float(f"{value:.12g}")


def _channels(preprocessing: PreprocessingConfig, model: ModelConfig) -> PreprocessingConfig:
    if model.in_channels == len(preprocessing.mean):
        return preprocessing
    mean, std = sum(preprocessing.mean) / 3, sum(preprocessing.std) / 3
    return replace(preprocessing, mean=(mean,) * model.in_channels, std=(std,) * model.in_channels)


def _cannot(file: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{file}: {reason}, which tubelet's preprocessing cannot do; "
        "say what it should do instead: preprocessing=PreprocessingConfig(...)"
    )
