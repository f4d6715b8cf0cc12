"""Our own format: a folder with `model.safetensors` and `config.json`.

    config.json  {"tubelet": version, "model": {...}, "preprocessing": {...} or null, "labels": {...} or null,
                  "weights": fingerprint}, and "operating_points" where some were fitted

Two files cannot be replaced in one step. So the weights file carries a copy of the configuration that it was written
with, and both carry its fingerprint. Where a crash has left new weights beside an old `config.json`, the fingerprints
differ and the copy counts; otherwise `config.json` counts, which people may edit (class names, for instance).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from tubelet.config import ModelConfig, OperatingPoint, PreprocessingConfig, from_dict, to_dict
from tubelet.errors import ConfigError, WeightsError
from tubelet.files import replacing, storage_errors
from tubelet.given_model import replaced_layers
from tubelet.json_files import dump_json
from tubelet.model import ViViT
from tubelet.provenance import PROVENANCE_FILE, Provenance
from tubelet.text import listing
from tubelet.version import __version__
from tubelet.weights.json_config import read_json, read_json_text
from tubelet.weights.sample_clips import save_sample_clips
from tubelet.weights.saveable import saveable
from tubelet.weights.tensor_files import load_header, load_tensors, save_tensors
from tubelet.weights.tensors import FLOATS, MappedTensor, assign_tensors, empty_model, meta_state

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
OPERATING_POINTS = "operating_points"
REPLACED = "replaced_layers"
"""Key of the configuration: layers that it does not describe, which a user put into the model."""


def save(model: ViViT, folder: str | Path, *, overwrite: bool = False) -> None:
    """Write a model to a folder that `tubelet.load` reads back, bit for bit, with its preprocessing and labels.

    A crash at any moment leaves a folder that loads: the old model or the new one.

    Args:
        model: the model, on any device.
        folder: is made if it is not there. Other files in it are left alone.
        overwrite: replace a model of ours that is in the folder already.

    Raises:
        WeightsError: there is a model already and `overwrite` is False; or something that is not ours; or
            `model.labels` does not fit.
        ConfigError: a layer of the model is not as its configuration says.
        StorageError: the folder cannot be made or written to.
    """
    folder, model = Path(folder), saveable(model)
    _refuse_to_overwrite(folder, overwrite)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _write(model, folder, describe(model))


def save_trained(model: ViViT, folder: Path) -> None:
    """Make the weights of a training those of its folder.

    Layers of the user's own are named in `config.json`: the folder holds their weights, and `load` says how to get at
    them.
    """
    layers = replaced_layers(model)
    _write(saveable(model, replaced=True), folder, {**describe(model), **({REPLACED: layers} if layers else {})})


def _write(model: ViViT, folder: Path, described: dict[str, Any]) -> None:
    fingerprint = _fingerprint(described)
    text = dump_json({**described, "weights": fingerprint}, indent=2) + "\n"
    # safetensors refuses tensors that share memory or are not contiguous
    tensors = {
        name: torch.clone(x, memory_format=torch.contiguous_format).cpu() for name, x in model.state_dict().items()
    }
    metadata = {
        "format": "pt",
        "tubelet": dump_json(described),
        "tubelet_fingerprint": fingerprint,
    }
    with replacing(folder / CONFIG_FILE) as config_file, replacing(folder / WEIGHTS_FILE) as weights_file:
        config_file.write_text(text, encoding="utf-8")
        save_tensors(tensors, weights_file, metadata)
        save_provenance(model, folder)  # once there is room for the weights
    save_sample_clips(model, folder)


def save_provenance(model: ViViT, folder: Path) -> None:
    """Write the list of training videos beside the weights, or remove that of other weights."""
    if model.provenance is None:
        (folder / PROVENANCE_FILE).unlink(missing_ok=True)
        return
    with replacing(folder / PROVENANCE_FILE) as path:
        model.provenance.write(path)


def load_provenance(folder: Path, source: str) -> Provenance:
    """Read what `save_provenance` wrote; without it, the training videos of `source` are unknown.

    Raises:
        DataError: the file is damaged.
    """
    file = folder / PROVENANCE_FILE
    return Provenance.read(file) if file.is_file() else Provenance(unknown=(source,))


def load_native(folder: str | Path, *, allow_unexpected: Iterable[str] = ()) -> ViViT:
    """Read a folder that `save` wrote; `model.load_report` says what was loaded.

    Args:
        folder: with `model.safetensors` and `config.json`.
        allow_unexpected: names, or patterns with `*`, of tensors that the file may hold beyond the model's.

    Returns:
        the model, in evaluation mode, on the CPU, in the floating-point type of the file.

    Raises:
        WeightsError: a file is missing, damaged, or does not fit the other.
    """
    folder = Path(folder)
    weights_file = folder / WEIGHTS_FILE
    if not weights_file.is_file():
        raise WeightsError(f"{folder}: expected {WEIGHTS_FILE} and {CONFIG_FILE}, but there is no {WEIGHTS_FILE}")
    shapes, metadata = load_header(weights_file)
    described, notes = _description(folder, metadata)
    where = str(folder / CONFIG_FILE)
    try:
        config = _model_config(described, shapes, where)
        _check_shapes(config, shapes, weights_file)
        model = empty_model(config, _preprocessing(described, where), _labels(described, where))
        model.operating_points = operating_points(described.get(OPERATING_POINTS), config)
    except ConfigError as error:
        raise WeightsError(f"{where}: {error}") from error
    tensors, _ = load_tensors(weights_file)
    dtypes = {tensor.dtype for tensor in tensors.values()}
    if len(dtypes) == 1 and (dtype := dtypes.pop()) in FLOATS:
        model.to(dtype)
    ours = set(model.state_dict())
    model.load_report = assign_tensors(
        model,
        {name: MappedTensor(tensor, name) for name, tensor in tensors.items() if name in ours},
        source=str(weights_file),
        format="native",
        unexpected=[name for name in tensors if name not in ours],
        allow_unexpected=allow_unexpected,
        notes=notes,
    )
    return model.eval()


def is_native(folder: Path) -> bool:
    """Whether the model in the folder is one of ours."""
    if (folder / CONFIG_FILE).is_file():
        return "tubelet" in read_json(folder / CONFIG_FILE)
    return (folder / WEIGHTS_FILE).is_file() and "tubelet" in load_header(folder / WEIGHTS_FILE)[1]


def describe(model: ViViT) -> dict[str, Any]:
    """What `config.json` says of a model: version, architecture, preprocessing, labels, operating points."""
    points = model.operating_points
    return {
        "tubelet": __version__,
        "model": to_dict(model.config),
        "preprocessing": None if model.preprocessing is None else to_dict(model.preprocessing),
        "labels": model.labels,
        **({OPERATING_POINTS: {head: to_dict(point) for head, point in points.items()}} if points else {}),
    }


def keep_operating_points(model: ViViT, folder: Path) -> None:
    """Write those of a model whose weights are in the folder into its `config.json`.

    Raises:
        WeightsError: there is no model of ours.
    """
    described = read_json(folder / CONFIG_FILE)
    described.pop(OPERATING_POINTS, None)
    points = describe(model).get(OPERATING_POINTS)
    with replacing(folder / CONFIG_FILE) as path:
        path.write_text(
            dump_json({**described, **({OPERATING_POINTS: points} if points else {})}, indent=2) + "\n",
            encoding="utf-8",
        )


def stored_operating_points(folder: Path) -> dict[str, OperatingPoint]:
    """Those in the `config.json` of a folder; none where there is no such file.

    Raises:
        WeightsError: it is damaged.
    """
    if not (folder / CONFIG_FILE).is_file():
        return {}
    described = read_json(folder / CONFIG_FILE)
    return operating_points(described.get(OPERATING_POINTS), from_dict(ModelConfig, described["model"], where="model"))


def _refuse_to_overwrite(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise WeightsError(f"{folder} is a file; name a folder to save the model in")
    if not (folder / WEIGHTS_FILE).exists() and not (folder / CONFIG_FILE).exists():
        return
    if not is_native(folder):
        raise WeightsError(f"{folder} holds a model that tubelet did not write; name another folder")
    if not overwrite:
        raise WeightsError(f"{folder} holds a model already; overwrite=True replaces it (--overwrite)")


def _fingerprint(described: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def _description(folder: Path, metadata: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The configuration that belongs to the weights (see the top of this file), and notes for the report."""
    written_with = metadata.get("tubelet_fingerprint")
    if (folder / CONFIG_FILE).is_file():
        described = read_json(folder / CONFIG_FILE)
        if written_with is None or described.get("weights") == written_with:
            return described, []
    elif written_with is None:
        raise WeightsError(f"{folder}: expected {WEIGHTS_FILE} and {CONFIG_FILE}, but there is no {CONFIG_FILE}")
    copy = read_json_text(metadata.get("tubelet", ""), f"{folder / WEIGHTS_FILE}: its copy of the configuration")
    note = (
        f"{CONFIG_FILE} does not belong to these weights (an interrupted save); the copy inside {WEIGHTS_FILE} was used"
    )
    return copy, [note]


def _model_config(described: Mapping[str, Any], shapes: Mapping[str, list[int]], where: str) -> ModelConfig:
    if REPLACED in described:
        raise ConfigError(
            f"the model has layers that no file describes, {listing(described[REPLACED], 3)}; make it again, and give "
            f"it the tensors with model.load_state_dict(safetensors.torch.load_file({WEIGHTS_FILE!r}))"
        )
    unknown = sorted(set(described) - {"tubelet", "model", "preprocessing", "labels", "weights", OPERATING_POINTS})
    if unknown:
        raise ConfigError(f"unknown key {listing(unknown)}; written by a newer version ({described.get('tubelet')})?")
    if "tubelet" not in described or "model" not in described:
        raise ConfigError('expected the keys "tubelet" and "model"; this is not a configuration of tubelet')
    config = from_dict(ModelConfig, described["model"], where="model")
    if config.num_layers + (config.temporal_layers or 0) > len(shapes):
        raise ConfigError(
            f"model: num_layers={config.num_layers} layers, but {WEIGHTS_FILE} holds only {len(shapes)} tensors"
        )
    return config


def _check_shapes(config: ModelConfig, shapes: Mapping[str, list[int]], file: Path) -> None:
    """Compare names and shapes before the model's memory is allocated."""
    expected = {name: list(tensor.shape) for name, tensor in meta_state(config).items()}
    differing = [name for name, shape in shapes.items() if name in expected and shape != expected[name]]
    if differing:
        name = differing[0]
        more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
        raise WeightsError(
            f"{file}: {name} has the shape {shapes[name]}, but {CONFIG_FILE} describes a model with "
            f"{expected[name]}{more}"
        )
    missing = [name for name in expected if name not in shapes]
    if missing:
        raise WeightsError(f"{file}: {listing(missing)} missing; {CONFIG_FILE} describes another model")


def _preprocessing(described: Mapping[str, Any], where: str) -> PreprocessingConfig | None:
    stored = described.get("preprocessing")
    return None if stored is None else from_dict(PreprocessingConfig, stored, where="preprocessing")


def operating_points(stored: Any, config: ModelConfig) -> dict[str, OperatingPoint]:
    """By head, as `config.json` has them.

    Raises:
        ConfigError: they do not fit the heads.
    """
    if not isinstance(stored or {}, dict):
        raise ConfigError(f"{OPERATING_POINTS}: expected a table of heads, got {stored!r:.80}")
    found = {}
    for head, fields in (stored or {}).items():
        found[head] = point = from_dict(OperatingPoint, fields, where=f"{OPERATING_POINTS}: {head}")
        given = None if point.thresholds is None else len(point.thresholds)
        expected = config.heads.get(head) if head in config.multi_label else None
        if head not in config.heads or given != expected:
            raise ConfigError(
                f"{OPERATING_POINTS}: {head} has {given} thresholds, expected {expected}: one for each class of a "
                "multi-label head"
            )
    return found


def _labels(described: Mapping[str, Any], where: str) -> dict[str, list[str]] | None:
    stored = described.get("labels")
    if stored is None:
        return None
    is_table = isinstance(stored, dict) and all(isinstance(names, list) for names in stored.values())
    if not is_table or not all(isinstance(name, str) for names in stored.values() for name in names):
        raise ConfigError(
            f'labels: expected a list of class names for each head, {{"label": [...]}}, got {stored!r:.80}'
        )
    return stored
