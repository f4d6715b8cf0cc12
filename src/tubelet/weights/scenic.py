"""Checkpoints of Scenic (google-research/scenic, `projects/vivit`), the reference code, without Flax or JAX.

Two layouts of the file are read: the older one with the parameters under `optimizer/target`, and the newer one with
them under `params`. A tree that is nothing but the parameters is read as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy
import torch
from torch import Tensor

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.errors import WeightsError
from tubelet.model import ViViT
from tubelet.text import listing
from tubelet.weights.fold import fold_head_norm
from tubelet.weights.labels import label_notes
from tubelet.weights.msgpack_tree import flatten, read_tree, unflatten, write_tree
from tubelet.weights.saveable import saveable
from tubelet.weights.scenic_config import FIXED, deduce
from tubelet.weights.scenic_layout import rules, scenic_tensors
from tubelet.weights.tensors import MappedTensor, assign_tensors, empty_model, meta_state

Layout = Literal["optimizer", "params"]

SKIPPED = ("opt_state", "ema_params", "rng")
"""Parts of a training state that are large or of no use here."""

PUBLISHED_RESIZE = {224: 256, 256: 288}
"""Short side by crop, as Scenic's configurations have it; other crops are scaled like the first."""


def load_scenic(file: str | Path, *, allow_unexpected: Iterable[str] = (), **fields: Any) -> ViViT:
    """Read a checkpoint of Scenic; `model.load_report` says what was loaded and assumed.

    Args:
        file: the Flax msgpack file.
        allow_unexpected: paths, or patterns with `*`, of parameters that the file may hold beyond the model's.
        fields: of `ModelConfig`, which say what the file was made for: `image_size`, and `num_frames`, `variant`,
            `attention_order`, `sampled_frames` where the file does not tell (the error names those that are needed).
            Fields that the file tells may be given and must agree. `num_classes={"noun": 300, "verb": 97}` splits the
            logits into heads, in that order.

    Returns:
        the model, in evaluation mode, on the CPU, with the preprocessing of Scenic's configurations.

    Raises:
        WeightsError: the file is damaged, is no ViViT of Scenic, or says too little without more fields.
        ConfigError: a field is unknown or not what the file has.
    """
    file = Path(file)
    tree, notes = read_parameters(file)
    config, assumed = deduce(tree, fields, str(file))
    unexpected = _check_tree(tree, config, str(file))
    incoming: dict[str, MappedTensor] = {}
    for rule in rules(config):
        ours = rule.read([tree[path] for path in rule.theirs])
        source = " + ".join(rule.theirs)
        incoming.update({name: MappedTensor(x, source, rule.how) for name, x in zip(rule.ours, ours, strict=True)})
    model = empty_model(config, original_preprocessing(config))
    model.load_report = assign_tensors(
        model,
        incoming,
        source=str(file),
        format="scenic",
        unexpected=unexpected,
        allow_unexpected=allow_unexpected,
        notes=[*assumed, _preprocessing_note(config), *label_notes(config), *notes],
    )
    return model.eval()


def save_scenic(
    model: ViViT, file: str | Path, *, layout: Layout = "optimizer", overwrite: bool = False
) -> tuple[str, ...]:
    """Write a checkpoint that Scenic reads (and `tubelet.load`): whole, or not at all.

    Args:
        model: any variant, on any device.
        file: the file to write.
        layout: parameters under `optimizer/target`, as in the published checkpoints; or under `params`, as the newer
            training state has them.
        overwrite: replace a file that is there.

    Returns:
        what such a file cannot say of the model, in sentences.

    Raises:
        WeightsError: Scenic has no such model, or the file is there already.
    """
    file, model = Path(file), fold_head_norm(saveable(model))
    refuse_what_they_lack(model.config)
    if file.exists() and (not overwrite or not file.is_file()):
        raise WeightsError(f"{file} is there already; overwrite=True replaces a file (--overwrite)")
    tree = unflatten(scenic_tensors(model.config, model.state_dict()))
    training_state: dict[str, Any] = {
        "global_step": numpy.int32(0),
        "model_state": {},
        "rng": torch.zeros(2, dtype=torch.uint32),
    }
    training_state |= {"params": tree} if layout == "params" else {"optimizer": {"target": tree}}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_tree(training_state, file)
    return _what_is_lost(model)


def read_parameters(file: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The parameters of a checkpoint, path ("Transformer/encoder_norm/scale") to tensor; and what was left out.

    Raises:
        WeightsError: the file is damaged, or has no parameters where a training state has them.
    """
    tree = read_tree(file, _wanted)
    notes = []
    optimizer = tree.get("optimizer")
    left = [name for name in SKIPPED if name in tree]
    if isinstance(optimizer, Mapping) and len(optimizer) > 1:
        left.insert(0, "optimizer")
    if left:
        notes.append(f"the rest of the training state ({listing(left)}) was not read")
    parameters = optimizer.get("target") if isinstance(optimizer, Mapping) else None
    if parameters is None:
        parameters = tree.get("params", tree if "embedding" in tree else None)
    if isinstance(parameters, Mapping) and "params" in parameters:
        parameters = parameters["params"]
    if not isinstance(parameters, Mapping) or not parameters:
        raise WeightsError(
            f"{file}: expected parameters under optimizer/target or params; this Flax file has "
            f"{listing(tree) or 'nothing'}"
        )
    flat = flatten(parameters)
    for path, value in flat.items():
        if not isinstance(value, Tensor):
            raise WeightsError(f"{file}: {path} is {type(value).__name__}, not an array")
    return flat, notes


def original_preprocessing(config: ModelConfig) -> PreprocessingConfig:
    """What Scenic's configurations do to a video: every second frame, bilinear without antialiasing, [-1, 1]."""
    short_side = min(config.image_size)
    return PreprocessingConfig(
        num_frames=config.num_frames,
        frame_stride=2,
        resize=PUBLISHED_RESIZE.get(short_side, round(short_side * 256 / 224)),
        crop_size=config.image_size,
        interpolation="bilinear",
        antialias=False,
        mean=(0.5,) * config.in_channels,
        std=(0.5,) * config.in_channels,
    )


def _wanted(path: tuple[str, ...]) -> bool | None:
    if path == ("optimizer",):
        return None
    if path[0] == "optimizer":
        return path[1] == "target"
    return path[0] not in SKIPPED


def _check_tree(tree: Mapping[str, Tensor], config: ModelConfig, where: str) -> list[str]:
    """Compare names and shapes before memory is allocated for the model; the paths that it does not have."""
    expected = {path: list(x.shape) for path, x in scenic_tensors(config, meta_state(config)).items()}
    missing = [path for path in expected if path not in tree]
    if missing:
        raise WeightsError(f"{where}: {listing(missing)} missing; the file is not whole, or not this model")
    for path, shape in expected.items():
        if list(tree[path].shape) != shape:
            raise WeightsError(
                f"{where}: {path} has the shape {list(tree[path].shape)}; the rest of the file asks for {shape}"
            )
    return [path for path in tree if path not in expected]


def _preprocessing_note(config: ModelConfig) -> str:
    stride = "every second frame, as for Kinetics; for EPIC-Kitchens and Something-Something v2 it was every frame"
    return f"preprocessing: pixels in [-1, 1], {stride} (frame_stride=1)"


def refuse_what_they_lack(config: ModelConfig) -> None:
    """Raise a WeightsError if Scenic's layout cannot say what this model is."""
    lacking = [f"{name}={getattr(config, name)!r}" for name, value in FIXED.items() if getattr(config, name) != value]
    if config.embedding == "conv_stem":
        lacking.append("embedding='conv_stem'")
    if config.pool == "weighted":
        lacking.append("pool='weighted'")
    if lacking:
        raise WeightsError(f"Scenic has no model with {', '.join(lacking)}; use the native format")


def _what_is_lost(model: ViViT) -> tuple[str, ...]:
    config = model.config
    given = [f"image_size={config.image_size}", f"num_frames={config.num_frames}"]
    if config.pool != "cls" and config.variant in ("spatio_temporal", "factorised_dot_product"):
        given.append(f"variant={config.variant!r}")
    if config.attention_order:
        given.append(f"attention_order={config.attention_order!r}")
    if config.sampled_frames:
        given.append(f"sampled_frames={config.sampled_frames}")
    if config.pool == "max":
        given.append("pool='max'")
    if not isinstance(config.num_classes, int):
        given.append(f"num_classes={config.num_classes}")
    if config.multi_label:
        given.append(f"multi_label={config.multi_label}")
    notes = [f"such a file does not say everything; load it with {', '.join(given)}"]
    if model.labels is not None or model.preprocessing is not None:
        notes.append("class names and preprocessing have no place in it")
    return tuple(notes)
