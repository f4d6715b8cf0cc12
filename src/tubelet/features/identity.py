"""The identity of a stored feature: everything that it depends on, and must match before it is used again."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import torch

from tubelet.config import to_dict
from tubelet.data import ClipDataset, Sample
from tubelet.features.split_model import Stage
from tubelet.given_model import require_as_configured
from tubelet.model import ViViT
from tubelet.version import __version__, version_of
from tubelet.video.file_part import FilePart

FORMAT = 1
"""Version of the files and of the computation; another version does not use what is stored."""

IRRELEVANT_FIELDS = (
    "num_classes",
    "multi_label",
    "dropout",
    "attention_dropout",
    "drop_path",
    "token_drop",
    "head_norm",
    "residual_init",
)
"""Fields of a model that its features in evaluation do not depend on."""

PACKAGES = ("torch", "torchvision", "av", "torchcodec")


def describe(model: ViViT, clips: ClipDataset, stage: Stage, dtype: torch.dtype) -> dict[str, Any]:
    """The model up to the stage, its input from a video, and the software, JSON-ready.

    Raises:
        ConfigError: the model does not compute what its configuration describes, as with merged tokens.
    """
    require_as_configured(model, "a store of features")
    fields = {name: value for name, value in to_dict(model.config).items() if name not in IRRELEVANT_FIELDS}
    if stage == "spatial":
        del fields["temporal_layers"]
    seen = to_dict(clips.preprocessing.config)
    of_streams = {"median_frames"}
    if seen["sampling"] == "uniform":
        of_streams |= {"frames_per_second", "resample"}
    return {
        "format": FORMAT,
        "tubelet": __version__,
        "packages": {name: version_of(name) for name in PACKAGES},
        "stage": stage,
        "model": fields,
        "weights": _fingerprint(model, stage),
        "preprocessing": {name: value for name, value in seen.items() if name not in of_streams},
        "views": [clips.mode, clips.clips, clips.crops],
        "backend": clips.backend,
        "computed": [next(model.parameters()).device.type, str(dtype)],
    }


def describe_sample(sample: Sample) -> list[Any]:
    """The file of a sample, its size and time of change (of a folder, those of its files), and start and end.

    Raises:
        OSError: there is no such file.
    """
    path = os.path.abspath(sample.path)
    part = FilePart.parse(path)  # in a shard: the path has the bytes
    return [path, _state(path if part is None else part.file), sample.start, sample.end]


def digest(description: Any) -> str:
    """32 hexadecimal digits of anything that is JSON-ready."""
    return hashlib.blake2b(json.dumps(description, sort_keys=True).encode(), digest_size=16).hexdigest()


def _fingerprint(model: ViViT, stage: Stage) -> str:
    parts = ("embedding.", "spatial_encoder.") if stage == "spatial" else ("embedding.", *_ENCODERS)
    hashed = hashlib.blake2b(digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        if name.startswith(parts):
            hashed.update(f"{name} {value.dtype} {list(value.shape)}".encode())
            hashed.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return hashed.hexdigest()


_ENCODERS = ("encoder.", "spatial_encoder.", "temporal_encoder.")


def _state(path: str) -> list[Any]:
    if os.path.isdir(path):
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        return [[entry.name, entry.stat().st_size, entry.stat().st_mtime_ns] for entry in entries if entry.is_file()]
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns]
