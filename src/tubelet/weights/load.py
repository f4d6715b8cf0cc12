"""`tubelet.load` and `tubelet.from_pretrained`: find out which format a source has, and read it."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from tubelet.errors import WeightsError
from tubelet.exported import load_exported
from tubelet.exported.contract import is_exported
from tubelet.model import ViViT
from tubelet.paths import packaged_model, require_model
from tubelet.presets import presets
from tubelet.text import listing
from tubelet.weights.adapt import adapt
from tubelet.weights.json_config import read_json
from tubelet.weights.native import CONFIG_FILE, WEIGHTS_FILE, is_native, load_native, load_provenance
from tubelet.weights.report import LoadReport
from tubelet.weights.sample_clips import SAMPLES_FILE
from tubelet.weights.scenic import load_scenic
from tubelet.weights.tensors import as_patterns


def load(source: str | Path, *, allow_unexpected: Iterable[str] = (), **fields: Any) -> ViViT:
    """Load a ViViT from anything that holds one.

    Args:
        source: a folder that `tubelet.save` or a training run wrote; a folder of the `transformers` library with a
            ViViT or VideoMAE; its name on the Hugging Face Hub ("google/vivit-b-16x2-kinetics400"); a checkpoint of
            Scenic (Flax msgpack); or "demo", small weights that come with tubelet.
        allow_unexpected: names, or patterns with `*`, of tensors that may be in the source and not in the model.
        fields: of `ModelConfig`. For a checkpoint of Scenic they say what the file does not; the error names
            those that are needed. For everything else they ask for a model that is adapted: `num_frames=48`,
            `image_size=288`, `tubelet_size=(4, 16, 16)`, `num_classes=5`, `variant=...` (see `tubelet.weights.adapt`).

    Returns:
        the model, in evaluation mode, on the CPU. `model.load_report` says what was loaded and what was not, and
        `model.provenance` which videos the weights learned from, where that is written beside them.

    Raises:
        WeightsError: there is nothing there, or it is damaged, or it is something else.
        ConfigError: the fields do not fit the weights.
    """
    allowed = as_patterns(allow_unexpected)
    path = packaged_model(source) or Path(source).expanduser()
    if path.is_dir():
        return _with_provenance(_load_folder(path, allowed, fields), path, str(source))
    if path.is_file():
        return _with_provenance(_load_file(path, allowed, fields), path.parent, str(source))
    name = str(source)
    if name in presets():
        raise WeightsError(
            f"{name} is a preset, which has no weights; tubelet.create({name!r}) makes a new model of it"
        )
    require_model(name)
    from tubelet.weights.hub import download

    try:
        folder = download(name)
    except WeightsError as error:
        raise WeightsError(f"there is no folder {name} here, and {error}") from error
    return _load_downloaded(folder, name, allow_unexpected=allowed, **fields)


def from_pretrained(
    repo_id: str | Path,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    **fields: Any,
) -> ViViT:
    """Load a model from the Hub or a folder: tubelet's own, or a ViViT or VideoMAE of the `transformers` library.

    Args:
        repo_id: owner/name on the Hub, or a folder.
        revision: branch, tag or commit; the newest of the main branch if None.
        token: for private models; the stored login, or `HF_TOKEN`, if None.
        cache_dir: folder of downloads; the cache of `huggingface_hub` if None.
        local_files_only: use the cache and no network.
        force_download: download even what is in the cache.
        fields: as of `tubelet.load`.

    Returns:
        the model, in evaluation mode, on the CPU; `model.load_report` says what was loaded.

    Raises:
        WeightsError: the Hub cannot be reached or has no such model, or tubelet cannot read it.
    """
    if Path(repo_id).expanduser().is_dir():
        return load(repo_id, **fields)
    from tubelet.weights.hub import download

    folder = download(
        str(repo_id),
        revision,
        token=token,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
        force_download=force_download,
    )
    return _load_downloaded(folder, str(repo_id), **fields)


def _load_downloaded(folder: Path, name: str, *, allow_unexpected: Iterable[str] = (), **fields: Any) -> ViViT:
    from tubelet.weights.hub import hub_note

    model = _with_provenance(_load_folder(folder, as_patterns(allow_unexpected), fields), folder, name)
    notes = (hub_note(name, folder), *model.load_report.notes)
    model.load_report = dataclasses.replace(model.load_report, source=name, notes=notes)
    return model


def _with_provenance(model: ViViT, folder: Path, source: str) -> ViViT:
    model.provenance = load_provenance(folder, source)
    samples = folder / SAMPLES_FILE
    model.sample_clips = samples.absolute() if samples.is_file() else None
    return model


def _load_folder(folder: Path, allowed: tuple[str, ...], fields: dict[str, Any]) -> ViViT:
    if is_exported(folder):
        return _load_exported(folder, fields)
    if is_native(folder):
        model = load_native(folder, allow_unexpected=allowed)
        return adapt(model, **fields) if fields else model
    if (folder / CONFIG_FILE).is_file():
        return _load_transformers(folder, allowed, fields)
    checkpoints = [file for file in sorted(folder.glob("checkpoint*")) if file.is_file()]
    if len(checkpoints) == 1:
        return load_scenic(checkpoints[0], allow_unexpected=allowed, **fields)
    if checkpoints:
        raise WeightsError(f"{folder}: several checkpoints ({listing(file.name for file in checkpoints)}); name one")
    if (folder / "run.json").is_file():
        raise WeightsError(f"{folder}: a training run that has no weights yet (no {WEIGHTS_FILE})")
    if (folder / WEIGHTS_FILE).is_file():
        raise WeightsError(
            f"{folder}: {WEIGHTS_FILE} is there, {CONFIG_FILE}, which says what model it is of, is not. In a run, "
            "checkpoints are for resuming; name the folder of the run"
        )
    raise WeightsError(
        f"{folder}: expected {WEIGHTS_FILE} and {CONFIG_FILE}, or a checkpoint of Scenic; neither is there"
    )


def _load_exported(folder: Path, fields: dict[str, Any]) -> ViViT:
    if fields:
        raise WeightsError(f"{folder} is an exported model, which is not adapted; adapt the model and export it again")
    model = load_exported(folder, torch.get_num_threads())
    note = f"{folder} is an exported model, computed by {model.session.provider}"
    model.load_report = LoadReport(str(folder), model.contract.format, notes=(note,))
    return model


def _load_transformers(folder: Path, allowed: tuple[str, ...], fields: dict[str, Any]) -> ViViT:
    kind = read_json(folder / CONFIG_FILE).get("model_type")
    if kind == "vivit":
        from tubelet.weights.hf_vivit import load_hf_vivit

        return load_hf_vivit(folder, allow_unexpected=allowed, **fields)
    if kind == "videomae":
        from tubelet.weights.videomae import load_videomae

        return load_videomae(folder, allow_unexpected=allowed, **fields)
    what = f"a model of type {kind!r}" if kind else "a configuration that is not tubelet's"
    raise WeightsError(f"{folder}: {CONFIG_FILE} describes {what}, not a ViViT or VideoMAE. {_image_hint(folder)}")


def _load_file(file: Path, allowed: tuple[str, ...], fields: dict[str, Any]) -> ViViT:
    if file.name in (WEIGHTS_FILE, CONFIG_FILE):
        return _load_folder(file.parent, allowed, fields)
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            start = opened.read(16)
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read: {error}") from error
    if not start:
        raise WeightsError(f"{file} is empty")
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < size:
        raise WeightsError(
            f"{file}: safetensors that do not say of what model they are; load the folder with {CONFIG_FILE} and "
            f"{WEIGHTS_FILE}. {_image_hint(file)}"
        )
    if zipfile.is_zipfile(file):
        what = "a NumPy archive" if file.suffix == ".npz" else "a zip archive, as PyTorch writes its pickles"
        raise WeightsError(f"{file}: {what}, which does not say of what model it is. {_image_hint(file)}")
    if start[0] == 0x80:
        raise WeightsError(f"{file}: a pickle, which can run code and is not opened. {_image_hint(file)}")
    if not (0x81 <= start[0] <= 0x8F or start[0] in (0xDE, 0xDF)):  # a msgpack map that is not empty
        raise WeightsError(f"{file}: not a checkpoint of Scenic (Flax msgpack), nor anything else that is known")
    return load_scenic(file, allow_unexpected=allowed, **fields)


def _image_hint(source: Path) -> str:
    return f"To start from an image transformer: tubelet.initialise(model, {str(source)!r})"
