"""A ViViT from another one with other frames, image size, tubelets, classes or pooling, or of another variant.

Variants share the spatial part, which is mapped like this:

    from \\ to     spatio_temporal (1)   factorised_encoder (2)           ..._self_attention (3)   ..._dot_product (4)
    model 1       all                   blocks -> spatial blocks         attention -> space       all
    model 2       spatial -> blocks     all                              spatial -> space         spatial -> blocks
    model 3       space -> attention    space -> spatial blocks          all                      space -> attention
    model 4       all                   blocks -> spatial blocks         attention -> space       all

In model 3, attention over time that the source does not have starts as a copy of the attention over space with a zero
output layer: it adds nothing at first. A temporal encoder that the source does not have is initialised randomly.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.config import ModelConfig, PreprocessingConfig, replace
from tubelet.errors import ConfigError
from tubelet.given_model import unwrapped
from tubelet.model import ViViT
from tubelet.nn.positions import interpolate_grid
from tubelet.weights.fold import fold_head_norm
from tubelet.weights.inflate import resize_kernel
from tubelet.weights.report import Entry, LoadReport
from tubelet.weights.tensors import MappedTensor, assign_tensors

ADAPTABLE = (
    "variant",
    "num_frames",
    "image_size",
    "tubelet_size",
    "embedding",
    "sampled_frames",
    "num_classes",
    "multi_label",
    "pool",
    "temporal_layers",
    "attention_order",
    "head_norm",
    "residual_init",
    "dropout",
    "attention_dropout",
    "drop_path",
    "token_drop",
)
"""Fields that may change. Any other describes the weights themselves."""

ANEW = "initialised anew"
ZERO = "zero"
ONE = "one"


def adapt(model: nn.Module, **fields: Any) -> ViViT:
    """A new model with the weights of `model`, adapted to other values of some fields of its configuration.

    - `num_frames`, `image_size`, `sampled_frames`: positions are interpolated, as the model does it for such a video.
    - `tubelet_size`, `embedding`: the kernel is resized (`resize_tubelets`), and so are the positions.
    - `num_classes`: a new head, but for heads that keep their name and size. `multi_label`: set; the logits stay.
    - `variant`: see the top of this file. `temporal_layers`: 0, or any number where there was none.
    - `pool`: class tokens are dropped, or made anew at 0; weights of pooling are dropped, or made anew at 1, a mean.
    - `head_norm`: folded into the heads (`fold_head_norm`), or a new one.
    - `residual_init`, `dropout`, `attention_dropout`, `drop_path`, `token_drop`: set.

    The preprocessing follows the frames and the image size.

    Args:
        model: a ViViT, also in a wrapper; it is not changed.
        fields: of `ModelConfig`, by name. Those that describe the weights (`hidden_size`, `num_layers`, ...) may be
            given too, and must be the model's.

    Returns:
        the new model, in the same mode, on the same device; `load_report` has an entry for every tensor.

    Raises:
        ConfigError: a field that cannot be changed, or values that do not fit together.
    """
    model = unwrapped(model)
    given = {name: value for name, value in fields.items() if value is not None}
    config = _new_config(model.config, given)
    if config.head_norm == "none":
        model = fold_head_norm(model)
    same_classes = (config.num_classes, config.multi_label) == (model.config.num_classes, model.config.multi_label)
    labels = model.labels if same_classes else None
    adapted = ViViT(config, _new_preprocessing(model.preprocessing, model.config, config), labels)
    adapted.provenance = model.provenance
    adapted.operating_points = model.operating_points if same_classes else {}
    first = next(model.parameters())
    adapted.to(first.device, first.dtype)
    source = {canonical(name): (name, tensor.detach()) for name, tensor in model.state_dict().items()}
    incoming: dict[str, MappedTensor] = {}
    new: dict[str, str] = {}
    for name, target in adapted.state_dict().items():
        carried = _carried(canonical(name), target, source)
        if isinstance(carried, MappedTensor):
            incoming[name] = carried
        else:
            new[name] = carried
            if carried.startswith(ZERO):
                target.zero_()
            elif carried.startswith(ONE):
                target.fill_(1)
    used = {carried.source for carried in incoming.values()}
    report = assign_tensors(
        adapted,
        incoming,
        source="a model",
        format="adapted",
        new=new,
        unused={name: "the new model has no place for it" for name, _ in source.values() if name not in used},
        notes=_notes(model.config, config),
    )
    before = model.load_report
    adapted.load_report = _through(before, report) if isinstance(before, LoadReport) else report
    return adapted.train(model.training)


def resize_tubelets(kernel: Float[Tensor, "D C t h w"], size: tuple[int, int, int]) -> Float[Tensor, "D C t2 h2 w2"]:
    """A kernel for tubelets of another size.

    Over time: interpolated linearly (averaged, where tubelets get shorter) and scaled, so that the sum over time stays
    what it was. The token of a clip that does not move is therefore the same as before. Over height and width:
    `tubelet.weights.inflate.resize_kernel`.

    Args:
        kernel: [D, C, t, h, w].
        size: the new (frames, height, width).
    """
    frames, height, width = size
    before = kernel.shape[2]
    resized = kernel
    if frames != before:
        lines = kernel.double().permute(0, 1, 3, 4, 2).flatten(0, 2)
        if frames > before:
            lines = F.interpolate(lines, size=frames, mode="linear", align_corners=False)
        else:
            lines = F.adaptive_avg_pool1d(lines, frames)
        taps = lines.unflatten(0, (*kernel.shape[:2], kernel.shape[3])).permute(0, 1, 4, 2, 3) * before / frames
        # lengths that do not divide weigh some frames more than others; what is left over is spread evenly
        left = kernel.double().sum(dim=2, keepdim=True) - taps.sum(dim=2, keepdim=True)
        resized = (taps + left / frames).to(kernel.dtype)
    if kernel.shape[3:] != (height, width):
        per_frame = [resize_kernel(frame, (height, width)) for frame in resized.unbind(2)]
        resized = torch.stack(per_frame, dim=2)
    return resized


def canonical(name: str) -> str:
    """A name for the same part of all variants: the spatial encoder of models 2 and 3 is that of models 1 and 4."""
    name = re.sub(r"^(spatial_)?encoder\.", "spatial.", name)
    name = re.sub(r"^temporal_encoder\.", "temporal.", name)
    return re.sub(r"(blocks\.\d+)\.(norm_)?space\b", lambda part: f"{part[1]}.{part[2] or ''}attention", name)


def _carried(name: str, target: Tensor, source: Mapping[str, tuple[str, Tensor]]) -> MappedTensor | str:
    """The source's tensor for the target; without one, the target's value in words."""
    if name in source:
        return _fitted(name, target, *source[name])
    over_time = re.fullmatch(r"(spatial\.blocks\.\d+)\.(norm_time|time)\.(.*)", name)
    if over_time is not None:
        block, part, rest = over_time.groups()
        if part == "time" and rest.startswith("out."):
            return f"{ZERO}: attention over time adds nothing at first"
        source_name, tensor = source[f"{block}.{'norm_attention' if part == 'norm_time' else 'attention'}.{rest}"]
        return MappedTensor(tensor, source_name, "copied from the attention over space", adapted=True)
    if name.endswith("pool_weights.grid"):
        return f"{ONE}: a mean at first"
    return ZERO if name in ("spatial.cls", "temporal.cls") else ANEW


def _fitted(name: str, target: Tensor, source_name: str, tensor: Tensor) -> MappedTensor | str:
    if tensor.shape == target.shape:
        return MappedTensor(tensor, source_name)
    if name.endswith(("positions.grid", "pool_weights.grid")):
        return _fitted_grid(target, source_name, tensor)
    if name.startswith("embedding.") and tensor.ndim == 5:
        size = (target.shape[2], target.shape[3], target.shape[4])
        how = f"resized from tubelets of {_by(tensor.shape[2:])} to {_by(size)}"
        return MappedTensor(resize_tubelets(tensor, size), source_name, how, adapted=True)
    return ANEW


def _fitted_grid(target: Tensor, source_name: str, grid: Tensor) -> MappedTensor:
    before, after = tuple(grid.shape[:3]), (target.shape[0], target.shape[1], target.shape[2])
    if after[0] == 1 and before[0] > 1:
        grid = grid.mean(dim=0, keepdim=True)
        how = "averaged over time"
        if before[1:] != after[1:]:
            how += f", interpolated from {_by(before[1:])} to {_by(after[1:])}"
    elif before[0] == 1 and before[1:] == after[1:]:
        how = f"repeated over {after[0]} times"
    else:
        how = f"interpolated from {_by(before)} to {_by(after)}"
    return MappedTensor(interpolate_grid(grid, after), source_name, how, adapted=True)


def _by(sizes: Any) -> str:
    return "x".join(str(size) for size in sizes)


def _new_config(config: ModelConfig, given: Mapping[str, Any]) -> ModelConfig:
    new = replace(config, **given)
    fixed = [name for name in given if name not in ADAPTABLE and getattr(new, name) != getattr(config, name)]
    if fixed:
        have = ", ".join(f"{name}={getattr(config, name)!r}" for name in fixed)
        raise ConfigError(
            f"the weights are of a model with {have}, which cannot be changed; {', '.join(ADAPTABLE)} can"
        )
    if new.variant == config.variant == "factorised_self_attention" and new.attention_order != config.attention_order:
        raise ConfigError(
            f"the weights were trained with attention_order={config.attention_order!r}; in the other order they are "
            "another model"
        )
    if new.temporal_layers and config.temporal_layers and new.temporal_layers != config.temporal_layers:
        raise ConfigError(
            f"the weights have temporal_layers={config.temporal_layers}; use that, or 0 for the average over time"
        )
    return new


def _new_preprocessing(
    preprocessing: PreprocessingConfig | None, old: ModelConfig, new: ModelConfig
) -> PreprocessingConfig | None:
    if preprocessing is None or (old.num_frames, old.image_size) == (new.num_frames, new.image_size):
        return preprocessing
    if old.image_size == new.image_size:
        return dataclasses.replace(preprocessing, num_frames=new.num_frames)
    enlarged = min(new.image_size) / min(old.image_size)
    return dataclasses.replace(
        preprocessing,
        num_frames=new.num_frames,
        crop_size=new.image_size,
        resize=max(round(preprocessing.resize * enlarged), min(new.image_size)),
    )


def _notes(old: ModelConfig, new: ModelConfig) -> list[str]:
    notes = []
    if new.variant != old.variant:
        notes.append(f"variant: {old.variant} -> {new.variant}; the spatial part was carried over")
    if new.positions == "sinusoidal" and new.grid != old.grid:
        notes.append(f"positions: sine and cosine computed for {_by(new.grid)} tokens instead of {_by(old.grid)}")
    return notes


def _through(before: LoadReport, after: LoadReport) -> LoadReport:
    """The report of two steps in a row, with the names of the first one's source."""
    first = {entry.name: entry for entry in before.entries if entry.name}
    unused = [entry for entry in before.entries if entry.status == "unused"]
    entries = [*_composed(first, after.entries), *unused]
    return LoadReport(before.source, f"{before.format}, adapted", tuple(entries), (*before.notes, *after.notes))


def _composed(first: Mapping[str, Entry], second: tuple[Entry, ...]) -> Iterator[Entry]:
    for entry in second:
        origin = first.get(entry.source)
        if origin is None:
            yield entry
        elif entry.status == "unused":
            if origin.status != "new":
                yield Entry("", origin.source, "unused", f"{origin.name}: {entry.how}")
        elif origin.status == "new":
            yield dataclasses.replace(entry, source="", status="new", how=origin.how)
        else:
            adapted = "adapted" in (origin.status, entry.status)
            how = "; ".join(part for part in (origin.how, entry.how) if part)
            yield Entry(entry.name, origin.source, "adapted" if adapted else "loaded", how)
