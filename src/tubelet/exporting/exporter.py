"""`tubelet.export`: a folder with a model that runs without torch, proven to be the model."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tubelet.config import to_dict
from tubelet.errors import ConfigError, WeightsError
from tubelet.exported import CONTRACT_FILE, Contract
from tubelet.exported.contract import sha256
from tubelet.exported.model import ExportedViViT, open_parts, open_session
from tubelet.exported.parts import SPACE, TIME, contract_of_part, part_file
from tubelet.exported.sessions import MODEL_FILES
from tubelet.exporting.clips import real_clips, write_samples
from tubelet.exporting.formats import processor_of, require_packages, write_model
from tubelet.exporting.gate import Parity, compare
from tubelet.exporting.int8 import quantise
from tubelet.exporting.pixels import trace
from tubelet.exporting.readme import readme
from tubelet.exporting.run_file import run_source
from tubelet.fast.model import source_of
from tubelet.files import replacing_folder
from tubelet.given_model import unwrapped
from tubelet.model import ViViT
from tubelet.version import __version__
from tubelet.weights import adapt, load
from tubelet.weights.sample_clips import weights_checksum

Format = Literal["onnx", "openvino", "pt2", "executorch"]


def export(
    model: nn.Module | str | os.PathLike[str],
    out: str | os.PathLike[str],
    format: Format = "onnx",
    *,
    data: Sequence[str | os.PathLike[str]] = (),
    input: Literal["uint8", "float"] = "uint8",
    num_frames: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    int8: bool = False,
    parts: bool = False,
    overwrite: bool = False,
) -> Parity:
    """Write a folder with a model that other programs run, and prove on real clips that it is the model.

    The folder holds the model file, `tubelet.json` (labels, preprocessing, inputs and outputs, versions, proof),
    `sample.npz` (real clips and their logits), `run.py` (predicts videos without torch and tubelet) and `README.md`. It
    gets its name when all of them are there and the logits of the real clips agree; before, and after an error, nothing
    stands under that name. It is accepted wherever a model is: `tubelet.predict(out, video)`.

    Args:
        model: a model, or what `tubelet.load` reads. It is not changed.
        out: folder to write.
        format: `onnx`, `openvino`, `pt2` (compiled by AOTInductor, for processors with AVX2) or `executorch` (XNNPACK,
            one clip at a time).
        data: real videos to prove it on: files, folders, or tables; by default the sample clips of the training.
        input: `uint8` takes pixels [B, T, H, W, C], and normalises them in the graph; `float` takes what
            `ViViT.forward` takes.
        num_frames: frames of a clip, if not those of the model; the size is fixed by the export.
        image_size: pixels of a frame (one side, or height and width), if not those of the model.
        int8: with `format="onnx"`, matrix products with weights in whole numbers of eight bits, calibrated on every
            second clip; refused if that is not faster on this machine, or if more than 1 % of the clips get another
            best class.
        parts: of a factorised encoder, two more graphs, from tubelets to vectors and from vectors to logits, with which
            streams and clips that overlap encode each tubelet once.
        overwrite: replace an exported model that is there.

    Returns:
        the proof.

    Raises:
        ConfigError: an unknown format, a runtime that is not installed, no real clips, a model that is exported
            already, or int8 that is not faster.
        WeightsError: the exported model gives other logits; or there is something else in `out`.
    """
    versions = require_packages(format)
    if int8 and format != "onnx":
        raise ConfigError(f"int8 is made by ONNX Runtime: format={format!r} has none, use format='onnx'")
    target = Path(out)
    _require_free(target, overwrite)
    plain = _plain(model, num_frames, image_size)
    assert plain.preprocessing is not None
    if int8 and plain.config.multi_label:
        raise ConfigError(
            f"int8=True is proven by the best class of each clip, and several may be shown at once in "
            f"{', '.join(plain.config.multi_label)}; export in float32"
        )
    if parts:
        _require_parts(plain, int8)
    processor = processor_of(format)
    made_for = {} if processor is None else {"processor": processor}
    contract = Contract.of(
        plain.config,
        plain.preprocessing,
        plain.labels,
        kind="uint8" if input == "uint8" else "float32",
        batch=1 if format == "executorch" else "batch",
        tubelet=__version__,
        format=format,
        made_with={"python": ".".join(map(str, sys.version_info[:3])), **versions, **made_for},
        weights=weights_checksum(plain),
        precision="int8" if int8 else "float32",
        parts=parts,
        operating_points={head: to_dict(point) for head, point in plain.operating_points.items()} or None,
    )
    clips = real_clips(plain, data)
    with replacing_folder(target) as folder:
        write_model(trace(plain, contract), contract, folder / MODEL_FILES[format])
        if int8:
            quantise(folder / MODEL_FILES[format], contract, clips)
        parity = compare(open_session(folder, contract, torch.get_num_threads()), contract, clips)
        parity.require()
        if parts:
            for part in (SPACE, TIME):
                of_part = contract_of_part(contract, part)
                write_model(trace(plain, of_part, part), of_part, folder / part_file(format, part))
            compare(open_parts(folder, contract), contract, clips).require()
        write_samples(clips, folder)
        (folder / "run.py").write_text(run_source(format), encoding="utf-8")
        (folder / "README.md").write_text(readme(contract, parity), encoding="utf-8")
        _require_no_paths(folder, model)
        files = {file.name: sha256(file) for file in sorted(folder.iterdir())}
        replace(contract, parity=parity.to_dict(), files=files).write(folder)
    return parity


def _require_parts(model: ViViT, int8: bool) -> None:
    if model.config.variant != "factorised_encoder":
        raise ConfigError(f"parts are of a factorised encoder; a {model.config.variant} mixes times in its first block")
    if model.config.embedding == "conv_stem":
        raise ConfigError(
            "parts need tubelets that depend on their own frames alone; a conv_stem sees their neighbours"
        )
    if int8:
        raise ConfigError("parts are in float32; leave out parts or int8")


def _plain(
    model: nn.Module | str | os.PathLike[str], num_frames: int | None, image_size: int | tuple[int, int] | None
) -> ViViT:
    """The model of that size in evaluation mode, on the CPU, in float32."""
    given: dict[str, Any] = {"num_frames": num_frames, "image_size": image_size}
    fields = {name: value for name, value in given.items() if value is not None}
    if isinstance(model, str | os.PathLike):
        plain = load(os.fspath(model), **fields)
    else:
        plain = source_of(unwrapped(model))
    if isinstance(plain, ExportedViViT):
        raise ConfigError(f"{plain.folder} is exported already; export the run that it was made from")
    if plain.preprocessing is None or not plain.config.heads:
        raise ConfigError(
            "an exported model classifies videos: it needs a head and model.preprocessing, as a trained one has"
        )
    weight = next(plain.parameters())
    if isinstance(model, nn.Module) and (fields or weight.dtype != torch.float32 or weight.device.type != "cpu"):
        plain = adapt(plain, **fields)  # a copy
    plain = plain.float().cpu()
    how = plain.preprocessing
    assert how is not None
    if (how.num_frames, how.crop_size) != (plain.config.num_frames, plain.config.image_size):
        raise ConfigError(
            f"clips are preprocessed to {how.num_frames} frames of {how.crop_size}, and the model takes "
            f"{plain.config.num_frames} of {plain.config.image_size}; name one size: --frames and --image-size"
        )
    return plain.eval()


def _require_free(target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir() or (not (target / CONTRACT_FILE).is_file() and any(target.iterdir())):
        raise WeightsError(f"{target} is something else than an exported model; name another folder")
    if any(target.iterdir()) and not overwrite:
        raise WeightsError(f"{target} holds an exported model already; overwrite=True replaces it (--overwrite)")


def _require_no_paths(folder: Path, model: Any) -> None:
    """Raise a WeightsError if a file names a folder of this machine."""
    places = {str(Path(__file__).parents[2]), str(Path(torch.__file__).parents[1]), os.getcwd(), tempfile.gettempdir()}
    places |= {str(folder), str(Path.home())}
    if isinstance(model, str | os.PathLike):
        places.add(os.path.abspath(model))
    marks = [place.encode() + b"/" for place in places if place.count("/") > 1 or len(place) > 12]
    for file in folder.iterdir():
        content = file.read_bytes()
        for mark in marks:
            if mark in content:
                raise WeightsError(f"{file.name} names a folder of this machine, {mark.decode()}, and is not kept")
