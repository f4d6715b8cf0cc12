"""Sample clips: some real clips, kept beside the weights with the logits that these weights gave for them.

    sample_clips.safetensors   clip.000, clip.001, ...   uint8 [n]: the pixels of a clip, compressed
                               frame_mask                bool [N, T], where clips have frames that are not real
                               logits.HEAD               float32 [N, K]
                               metadata                  format, sizes, the checksum of the weights, where it was made

With them any copy of the model, exported or served, on any machine, is compared with the model that was trained.
The pixels are those that `Preprocessing.normalise` takes, at the model's size; no file of the data set is needed.

A clip is compressed without loss. Each pixel becomes the difference from what its neighbours predict (red and blue less
green; then less the pixel to the left, above, and in the frame before), and zlib codes the differences, by Huffman
codes alone or with matches, whichever is smaller.
"""

from __future__ import annotations

import json
import math
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.files import replacing
from tubelet.json_files import as_object, dump_json, parse_json
from tubelet.model import ViViT
from tubelet.weights.tensor_files import load_header, load_tensors, save_tensors

SAMPLES_FILE = "sample_clips.safetensors"
FORMAT = 1
KEY = "tubelet_sample_clips"
"""Metadata key of the description."""

ADVICE = "remove the file, and the model is as good without; a training makes it anew"


@dataclass(frozen=True, eq=False)
class SampleClips:
    """Clips and the logits of the model whose weights they are kept with.

    Attributes:
        packed: each clip, compressed; `pixels` gives the pixels.
        shape: (T, C, H, W) of every clip.
        frame_mask: bool [N, T], True where a frame is real; None if all are.
        logits: float32 [N, K] by head, of the plain model in float32.
        weights: checksum of the weights that gave them; see `weights_checksum`.
        made: what gave the logits: device, torch, tubelet, the split of the clips.
    """

    packed: tuple[bytes, ...]
    shape: tuple[int, int, int, int]
    frame_mask: Bool[Tensor, "N T"] | None
    logits: Mapping[str, Float[Tensor, "N _"]]
    weights: int
    made: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.packed)

    def pixels(self, number: int) -> UInt8[Tensor, "T C H W"]:
        """The clip of that number, exactly as it was."""
        return unpack_clip(self.packed[number], self.shape)

    def mask(self, number: int) -> Bool[Tensor, "T"] | None:
        """Which frames of the clip of that number are real; None if all are."""
        return None if self.frame_mask is None else self.frame_mask[number]

    def __iter__(self) -> Iterator[tuple[UInt8[Tensor, "T C H W"], Bool[Tensor, "T"] | None]]:
        """(pixels, frame_mask) of each clip."""
        return ((self.pixels(number), self.mask(number)) for number in range(len(self)))

    def write(self, folder: str | Path) -> Path:
        """Write `sample_clips.safetensors` to a folder, whole or not at all; returns its path.

        Raises:
            StorageError: the file cannot be written.
        """
        tensors = {f"clip.{number:03}": _bytes_tensor(packed) for number, packed in enumerate(self.packed)}
        tensors |= {f"logits.{head}": logits.contiguous() for head, logits in self.logits.items()}
        if self.frame_mask is not None:
            tensors["frame_mask"] = self.frame_mask.contiguous()
        described = {
            "format": FORMAT,
            "clips": len(self),
            "shape": self.shape,
            "heads": list(self.logits),
            "weights": self.weights,
            "made": dict(self.made),
        }
        path = Path(folder) / SAMPLES_FILE
        with replacing(path) as partial:
            save_tensors(tensors, partial, {KEY: dump_json(described)})
        return path

    @classmethod
    def read(cls, path: str | Path) -> SampleClips:
        """Read what `write` wrote.

        Args:
            path: of the file, or of its folder.

        Raises:
            WeightsError: there is none, it is damaged, or a newer version of tubelet wrote it.
        """
        file = samples_file(path)
        described = read_description(file)
        tensors, _ = load_tensors(file)
        try:
            masks = tensors.get("frame_mask")
            clips = [tensors[f"clip.{number:03}"].numpy().tobytes() for number in range(described["clips"])]
            logits = {head: tensors[f"logits.{head}"] for head in described["heads"]}
            frames, channels, height, width = described["shape"]
            shape = (frames, channels, height, width)
            return cls(tuple(clips), shape, masks, logits, described["weights"], described["made"])
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{file}: lacks {error}, which sample clips have; {ADVICE}") from error


def samples_file(path: str | Path) -> Path:
    """The file of sample clips that a path names: itself, or the one in this folder."""
    return Path(path) / SAMPLES_FILE if Path(path).is_dir() else Path(path)


def read_description(file: Path) -> dict[str, Any]:
    """What the header of a file of sample clips says; no clip is read.

    Raises:
        WeightsError: the file cannot be read, is another one, or a newer version of tubelet wrote it.
    """
    _, metadata = load_header(file)
    if KEY not in metadata:
        raise WeightsError(f"{file}: holds no sample clips; {ADVICE}")
    described = as_object(parse_json(metadata[KEY], str(file), error=WeightsError), str(file), error=WeightsError)
    if described.get("format") != FORMAT:
        raise WeightsError(
            f"{file}: format {described.get('format')!r} of sample clips; this version of tubelet reads {FORMAT}"
        )
    return described


def weights_checksum(model: ViViT) -> int:
    """CRC-32 of the names, types, shapes and values of a model's weights, wherever they are."""
    value = 0
    for name, tensor in sorted(model.state_dict().items()):
        header = [name, str(tensor.dtype), list(tensor.shape)]
        value = zlib.crc32(json.dumps(header).encode(), value)
        value = zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data, value)
    return value


def save_sample_clips(model: ViViT, folder: Path) -> None:
    """Copy the sample clips of a model beside its weights. Those that stand there stay if they belong to these weights.

    Args:
        model: `model.sample_clips` names the file that it was loaded with. A model that has learned since, or was cast,
            is another one, which the clips are not copied with.
        folder: that the model was saved to.
    """
    target = folder / SAMPLES_FILE
    source = model.sample_clips or target  # a run that is resumed saves the same weights again
    if not source.is_file() or not _belongs_to(source, model):
        target.unlink(missing_ok=True)
    elif not (target.exists() and target.samefile(source)):
        with replacing(target) as partial:
            shutil.copyfile(source, partial)


def _belongs_to(file: Path, model: ViViT) -> bool:
    try:
        return bool(read_description(file)["weights"] == weights_checksum(model))
    except WeightsError:  # gone or damaged; a model is as good without
        return False


def pack_clip(pixels: UInt8[Tensor, "T C H W"]) -> bytes:
    """The pixels of a clip, compressed without loss."""
    differences = pixels.numpy().copy()
    if differences.shape[1] == 3:
        differences[:, ::2] -= differences[:, 1:2]
    for axis in (3, 2, 0):
        differences[_without_first(axis)] -= differences[_without_last(axis)].copy()
    data = differences.tobytes()
    ways = ((1, zlib.Z_DEFAULT_STRATEGY), (9, zlib.Z_HUFFMAN_ONLY))
    return min((_deflated(data, level, strategy) for level, strategy in ways), key=len)


def unpack_clip(packed: bytes, shape: Sequence[int]) -> UInt8[Tensor, "T C H W"]:
    """What `pack_clip` was given.

    Args:
        packed: what it gave.
        shape: (T, C, H, W).

    Raises:
        ValueError: another number of pixels; zlib.error: it is damaged.
    """
    size = math.prod(shape)
    data = zlib.decompressobj().decompress(packed, size + 1)
    if len(data) != size:
        raise ValueError(f"{size} pixels")
    pixels: NDArray[numpy.uint8] = numpy.frombuffer(data, numpy.uint8).reshape(*shape)
    for axis in (0, 2, 3):
        pixels = numpy.add.accumulate(pixels, axis=axis, dtype=numpy.uint8)
    if shape[1] == 3:
        pixels[:, ::2] += pixels[:, 1:2]
    return torch.from_numpy(pixels)


def _without_first(axis: int) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, slice(1, None))


def _without_last(axis: int) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, slice(None, -1))


def _deflated(data: bytes, level: int, strategy: int) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    return compressor.compress(data) + compressor.flush()


def _bytes_tensor(data: bytes) -> UInt8[Tensor, "n"]:
    return torch.from_numpy(numpy.frombuffer(data, numpy.uint8).copy())
