"""`tubelet.json`: what an exported model takes and gives, and how it was proven."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tubelet.config import ModelConfig, OperatingPoint, PreprocessingConfig, from_dict, to_dict
from tubelet.errors import ConfigError, WeightsError
from tubelet.exported.sessions import MODEL_FILES
from tubelet.files import write_text
from tubelet.json_files import dump_json, read_json_object

CONTRACT_FILE = "tubelet.json"
"""Name of the file, in the folder of an exported model, that holds its `Contract`."""

VERSION = 1
ADVICE = "export the model again"


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What `tubelet.json` holds.

    Attributes:
        version: of this format.
        tubelet: version that exported it.
        format: `onnx`, `openvino`, `pt2` or `executorch`.
        precision: of matrix products with weights: `float32` or `int8`.
        parts: whether there are two more graphs, `space` and `time`; see `tubelet.exported.parts`.
        model: the architecture, as a `ModelConfig`.
        preprocessing: from the file to the input, as a `PreprocessingConfig`.
        labels: class names of each head in the order of its logits; None if the model has none.
        operating_points: by head, how probabilities become labels, as `OperatingPoint`s; None without.
        inputs: name, type and shape of each input: `video`, and `frame_mask` (True at real frames; the others repeat
            the last real one) where short clips are masked.
        outputs: name (the head) and shape of each output: logits in float32.
        made_with: versions, and the processor that the file is for.
        weights: checksum of the weights that were exported; see `tubelet.weights.sample_clips.weights_checksum`.
        parity: largest difference of the logits from those of the plain model, relative to the largest logit, and what
            computed; see `tubelet.exporting.gate`.
        files: SHA-256 of the other files in the folder, by name.
    """

    version: int = VERSION
    tubelet: str
    format: str
    model: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    labels: Mapping[str, list[str]] | None
    inputs: tuple[Mapping[str, Any], ...]
    outputs: tuple[Mapping[str, Any], ...]
    made_with: Mapping[str, str]
    weights: int
    parity: Mapping[str, Any] | None = None
    files: Mapping[str, str] | None = None
    precision: str = "float32"
    parts: bool = False
    operating_points: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        preprocessing: PreprocessingConfig,
        labels: Mapping[str, list[str]] | None,
        *,
        kind: str = "uint8",
        batch: int | str = "batch",
        **rest: Any,
    ) -> Contract:
        """The contract of a model.

        Args:
            config: the architecture.
            preprocessing: of which `num_frames` and `crop_size` are the size of the input.
            labels: class names by head.
            kind: type of the pixels: `uint8`, [B, T, H, W, C] from 0 to 255; or `float32`, [B, T, C, H, W], normalised.
            batch: size of the first axis; a name where any is taken.
            rest: the other fields.
        """
        frames, (height, width), channels = preprocessing.num_frames, preprocessing.crop_size, config.in_channels
        shape = [frames, height, width, channels] if kind == "uint8" else [frames, channels, height, width]
        inputs = [{"name": "video", "type": kind, "shape": [batch, *shape]}]
        if preprocessing.short_clips == "mask" and preprocessing.sampling == "dense":
            inputs.append({"name": "frame_mask", "type": "bool", "shape": [batch, frames]})
        return cls(
            model=to_dict(config),
            preprocessing=to_dict(preprocessing),
            labels=None if labels is None else dict(labels),
            inputs=tuple(inputs),
            outputs=tuple({"name": head, "shape": [batch, classes]} for head, classes in config.heads.items()),
            **rest,
        )

    @property
    def batch(self) -> int | None:
        """The only size of a batch that the model takes; None if it takes any."""
        size = self.inputs[0]["shape"][0]
        return size if isinstance(size, int) else None

    @property
    def takes_mask(self) -> bool:
        """Whether there is an input `frame_mask`."""
        return len(self.inputs) > 1

    @property
    def takes_pixels(self) -> bool:
        """Whether the video is uint8, normalised inside the graph."""
        return bool(self.inputs[0]["type"] == "uint8")

    def model_config(self) -> ModelConfig:
        """`model` as a `ModelConfig`."""
        return from_dict(ModelConfig, self.model)

    def preprocessing_config(self) -> PreprocessingConfig:
        """`preprocessing` as a `PreprocessingConfig`."""
        return from_dict(PreprocessingConfig, self.preprocessing)

    def points(self) -> dict[str, OperatingPoint]:
        """`operating_points` as `OperatingPoint`s."""
        return {head: from_dict(OperatingPoint, fields) for head, fields in (self.operating_points or {}).items()}

    def inside(self) -> str:
        """What the model file holds of this: all but what becomes known after it is written."""
        known = {name: value for name, value in asdict(self).items() if name not in ("parity", "files")}
        return json.dumps(known, sort_keys=True)

    def write(self, folder: Path) -> None:
        """Write `tubelet.json`."""
        write_text(folder / CONTRACT_FILE, dump_json(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Contract:
        """Read what `write` wrote.

        Raises:
            WeightsError: it is damaged, or a newer version of tubelet wrote it.
        """
        file = folder / CONTRACT_FILE
        data = read_json_object(file, ADVICE, error=WeightsError)
        if data.get("version") != VERSION:
            raise WeightsError(
                f"{file}: version {data.get('version')!r} of an exported model; this version of tubelet reads {VERSION}"
            )
        try:
            found = from_dict(cls, data, where=str(file))
            found.model_config(), found.preprocessing_config(), found.points()
        except ConfigError as error:
            raise WeightsError(f"{error}; {ADVICE}") from error
        if found.format not in MODEL_FILES:
            raise WeightsError(f"{file}: format {found.format!r} is not one of {', '.join(MODEL_FILES)}; {ADVICE}")
        return found


def is_exported(path: str | Path) -> bool:
    """Whether this is a folder of an exported model."""
    return (Path(path) / CONTRACT_FILE).is_file()


def sha256(file: Path) -> str:
    """Of all bytes of a file, in hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
