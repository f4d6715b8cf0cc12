"""The published `.npz` image transformers (vision_transformer, AugReg, big_vision), read without trusting the file."""

from __future__ import annotations

import io
import math
import re
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.weights.image_vit import ImageViT, split_positions
from tubelet.weights.source_tensors import SourceTensors
from tubelet.weights.tensors import MappedTensor

HYBRID = re.compile(r"(^|/)(conv_root|gn_root|block\d+)/")
POSITIONS = ("Transformer/posembed_input/pos_embedding", "pos_embedding")

LARGEST_UNPACKED = 64 * 1024 * 1024
"""Bytes that a file may hold unpacked whatever its own size is."""
LARGEST_RATIO = 16
"""How many times larger than the file its arrays may be, beyond that; weights hardly get smaller when packed."""


def read_npz(file: Path) -> dict[str, Tensor]:
    """The arrays of an `.npz` file. Nothing is unpickled, and no memory is taken for what is not there.

    Raises:
        WeightsError: the file is damaged, holds Python objects, or an array claims another size than it has.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > max(LARGEST_UNPACKED, LARGEST_RATIO * file.stat().st_size):
                raise WeightsError(
                    f"{file}: {file.stat().st_size} bytes that unpack to {unpacked}; no weights can be packed so"
                )
            return {
                member.removesuffix(".npy"): _array(archive.read(member), member.removesuffix(".npy"), file)
                for member in archive.namelist()
            }
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"{file}: not a whole .npz file ({error}); it is damaged, or another format") from error


def from_npz(arrays: Mapping[str, Tensor], source: str) -> ImageViT:
    """The image transformer of the `.npz` layout, by its keys.

    The tree may stand under a prefix (`params/`, `opt/target/`, `params/img/`); whatever is outside is not used. Blocks
    may be numbered or stacked along a first axis. The activation is Flax's GELU, the tanh approximation.
    """
    prefix = _prefix(arrays, source)
    tree = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    if any(HYBRID.search(name) for name in tree):
        raise WeightsError(
            f"{source}: a hybrid, whose patches come from a ResNet's feature map; ViViT embeds pixels. Use a ViT "
            "without R in its name, or train the conv_stem embedding from new"
        )
    tensors = SourceTensors(_unstack(tree, source), source)
    unused = {name: f"outside {prefix}" for name in arrays if not name.startswith(prefix)}
    found = {
        "embedding.weight": MappedTensor(_kernel_2d(tensors), "embedding/kernel"),
        "embedding.bias": tensors.map("embedding/bias"),
    }
    if "cls" in tensors:
        found["cls"] = MappedTensor(tensors.take("cls").flatten(0, -2), "cls")
    name = next((name for name in POSITIONS if name in tensors), None)
    if name is None:
        raise WeightsError(f"{source}: {POSITIONS[0]} is missing; only ViTs with learned positions can be read")
    found |= split_positions(tensors.take(name), "cls" in found, None, name, source)
    for layer in range(tensors.count(r"Transformer/encoderblock_(\d+)/", "Transformer/encoderblock_0/")):
        found |= _block(tensors, layer)
    found |= _norm(tensors, "norm", "Transformer/encoder_norm")
    pool, unusable = "cls" if "cls" in found else "mean", ""
    if map_head := tensors.take_all("MAPHead_0/", "attention pooling: ViViT pools its class token or a mean"):
        pool, unusable = "map", "it follows attention pooling, which ViViT does not have"
    if pre_logits := tensors.take_all("pre_logits/", "a layer before the head: ViViT has none"):
        unusable = "it follows a pre-logits layer, which ViViT does not have"
    unused |= {prefix + left: why for left, why in {**map_head, **pre_logits}.items()}
    for head in ("head", "output_projection"):
        if f"{head}/kernel" in tensors:
            found["head.weight"] = MappedTensor(tensors.take(f"{head}/kernel").T, f"{head}/kernel")
            found["head.bias"] = tensors.map(f"{head}/bias")
    channels = found["embedding.weight"].tensor.shape[1]
    for name, incoming in found.items():
        full = " + ".join(prefix + part for part in incoming.source.split(" + "))
        found[name] = replace(incoming, source=full)
    return ImageViT(
        source=source,
        format="npz",
        tensors=found,
        num_heads=_num_heads(tree),
        activation="gelu_tanh",
        layer_norm_eps=1e-6,
        pool=pool,
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
        head_unusable_because=unusable,
        unused=unused,
        unexpected=tuple(prefix + left for left in tensors.left),
    )


def _array(data: bytes, name: str, file: Path) -> Tensor:
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read(stream)
    except (ValueError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise WeightsError(f"{file}: {name} is not an array ({error})") from error
    if dtype.hasobject:
        raise WeightsError(f"{file}: {name} holds pickled Python objects, which could run code; they are never read")
    held, claimed = len(data) - stream.tell(), math.prod(shape) * dtype.itemsize
    if held != claimed:
        raise WeightsError(f"{file}: {name} claims {claimed} bytes of numbers (shape {list(shape)}) and holds {held}")
    if dtype == np.dtype("V2"):  # bfloat16, which numpy does not know and writes without a type
        array = np.frombuffer(data, np.int16, offset=stream.tell()).reshape(shape, order="F" if fortran_order else "C")
        return torch.from_numpy(array.copy()).view(torch.bfloat16)
    array = np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape, order="F" if fortran_order else "C")
    try:
        return torch.from_numpy(np.array(array, dtype.newbyteorder("="), order="C"))
    except TypeError as error:
        raise WeightsError(f"{file}: {name} holds {dtype}, which are not numbers of a model") from error


def _prefix(arrays: Mapping[str, Tensor], source: str) -> str:
    found = [name.removesuffix("embedding/kernel") for name in arrays if name.endswith("embedding/kernel")]
    prefixes = [prefix for prefix in found if prefix == "" or (prefix.endswith("/") and prefix.split("/")[-2] != "txt")]
    weights = [prefix for prefix in prefixes if not prefix.startswith("opt/state")]  # an optimiser's moments
    if len(weights) != 1:
        what = "no embedding/kernel" if not weights else f"embedding/kernel in several trees ({', '.join(weights)})"
        raise WeightsError(f"{source}: {what}; expected the published .npz layout of an image ViT")
    return weights[0]


def _unstack(tree: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """`encoderblock/x` [L, ...] (a scanned loop over blocks) as `encoderblock_0/x`, `encoderblock_1/x`, ..."""
    plain = {}
    for name, array in tree.items():
        before, stacked, after = name.partition("Transformer/encoderblock/")
        if not stacked:
            plain[name] = array
            continue
        if array.ndim == 0:
            raise WeightsError(f"{source}: {name} should have one entry for each block, but it is a single number")
        plain |= {f"{before}Transformer/encoderblock_{layer}/{after}": part for layer, part in enumerate(array)}
    return plain


def _kernel_2d(tensors: SourceTensors) -> Tensor:
    kernel = tensors.take("embedding/kernel")
    if kernel.ndim == 5:
        raise WeightsError(
            f"{tensors.source}: embedding/kernel has 5 axes: this is a video model. tubelet.load reads those"
        )
    if kernel.ndim != 4:
        raise WeightsError(
            f"{tensors.source}: embedding/kernel has the shape {list(kernel.shape)}; expected [height, width, C, D]"
        )
    return kernel.permute(3, 2, 0, 1)


def _num_heads(tree: Mapping[str, Tensor]) -> int:
    """From a block's query kernel [D, heads, width of a head] (one more axis in front if blocks are stacked)."""
    return next(x.shape[-2] for name, x in tree.items() if "encoderblock" in name and name.endswith("query/kernel"))


def _block(tensors: SourceTensors, layer: int) -> dict[str, MappedTensor]:
    """One block. Its parts are numbered by kind (LayerNorm_0, LayerNorm_1) or in a row (LayerNorm_0, LayerNorm_2)."""
    theirs, ours = f"Transformer/encoderblock_{layer}", f"blocks.{layer}"
    found: dict[str, MappedTensor] = {}
    norms = _parts(tensors, theirs, "LayerNorm", 2)
    found |= _norm(tensors, f"{ours}.norm_attention", norms[0])
    found |= _norm(tensors, f"{ours}.norm_mlp", norms[1])
    attention = _parts(tensors, theirs, "MultiHeadDotProductAttention", 1)[0]
    roles = ("query", "key", "value")
    kernels = [_axes(tensors, f"{attention}/{role}/kernel", 3).flatten(1).T for role in roles]
    biases = [_axes(tensors, f"{attention}/{role}/bias", 2).flatten() for role in roles]
    names = [" + ".join(f"{attention}/{role}/{kind}" for role in roles) for kind in ("kernel", "bias")]
    found[f"{ours}.attention.qkv.weight"] = MappedTensor(torch.cat(kernels), names[0])
    found[f"{ours}.attention.qkv.bias"] = MappedTensor(torch.cat(biases), names[1])
    out = _axes(tensors, f"{attention}/out/kernel", 3).flatten(0, 1).T
    found[f"{ours}.attention.out.weight"] = MappedTensor(out, f"{attention}/out/kernel")
    found[f"{ours}.attention.out.bias"] = tensors.map(f"{attention}/out/bias")
    mlp = _parts(tensors, theirs, "MlpBlock", 1)[0]
    for number, name in enumerate(("fc1", "fc2")):
        dense = f"{mlp}/Dense_{number}"
        found[f"{ours}.mlp.{name}.weight"] = MappedTensor(_axes(tensors, f"{dense}/kernel", 2).T, f"{dense}/kernel")
        found[f"{ours}.mlp.{name}.bias"] = tensors.map(f"{dense}/bias")
    return found


def _parts(tensors: SourceTensors, block: str, kind: str, count: int) -> list[str]:
    pattern = re.compile(rf"{re.escape(block)}/{kind}_(\d+)/")
    numbers = sorted({int(match[1]) for name in tensors.left if (match := pattern.match(name))})
    if len(numbers) != count:
        raise WeightsError(
            f"{tensors.source}: expected {count} x {block}/{kind}_*, found {len(numbers)}; not a ViT block"
        )
    return [f"{block}/{kind}_{number}" for number in numbers]


def _axes(tensors: SourceTensors, name: str, rank: int) -> Tensor:
    tensor = tensors.take(name)
    if tensor.ndim != rank:
        raise WeightsError(
            f"{tensors.source}: {name} has the shape {list(tensor.shape)}, but it should have {rank} axes"
        )
    return tensor


def _norm(tensors: SourceTensors, ours: str, theirs: str) -> dict[str, MappedTensor]:
    why = "only LayerNorm with scale and bias can be read"
    return {f"{ours}.weight": tensors.map(f"{theirs}/scale", why), f"{ours}.bias": tensors.map(f"{theirs}/bias", why)}
