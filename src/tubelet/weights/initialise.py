"""A video model out of an image model (the paper's section 3.4; `initialise_from_train_state` of Scenic)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.config import replace as replace_config
from tubelet.errors import ConfigError, WeightsError
from tubelet.given_model import unwrapped
from tubelet.model import ViViT
from tubelet.presets import SIZES, preset
from tubelet.provenance import Provenance
from tubelet.weights.image_vit import ImageViT
from tubelet.weights.image_vit_read import read_image_vit
from tubelet.weights.inflate import PositionsInit, TubeletInit
from tubelet.weights.initialise_plan import Behaviour, Options, Plan
from tubelet.weights.report import LoadReport
from tubelet.weights.tensors import as_patterns, assign_tensors

Source = str | Path | nn.Module | Mapping[str, Any] | ImageViT


def initialise(
    model: nn.Module,
    source: Source,
    *,
    tubelet_init: TubeletInit = "central_frame",
    positions: PositionsInit = "tile",
    behaviour: Behaviour = "default",
    head: bool = False,
    architecture: str | None = None,
    allow_unexpected: Iterable[str] = (),
) -> LoadReport:
    """Start a video model from an image transformer.

    The activation, the norms' eps, a norm before the first block (CLIP) and, without a class token, the place of the
    last norm follow the source: `model.config` changes with them. `model.preprocessing`, if it is None, gets the
    source's mean and std. All checks pass before anything changes, and parameters stay the objects that they are.

    Args:
        model: any of the four models, also in a wrapper, of the source's hidden_size, num_layers, num_heads and
            mlp_dim; `config_for` makes a configuration that fits.
        source: what `read_image_vit` takes: an `.npz`, `.safetensors` or `.pth` file, a folder of transformers, a name
            of timm or of the Hub, a model object, a state dict.
        tubelet_init: the tubelet kernel, as `inflate_kernel` describes; `random` leaves the model's own. Patches of
            another size than the model's are resized first (`resize_kernel`).
        positions: as `adapt_positions` describes. `tile` needs a source with the model's patches along height and
            width; `resize_tile` does the same there, and interpolates elsewhere.
        behaviour: what the result may differ in from Scenic's:

            - `default`: the attention over time of model 3 starts with the image's queries, keys and values and an
              output of 0, so that a block does at first what the image's block does, and every weight learns. The class
              token goes into the spatial encoder of model 2.
            - `original`: to the digit what Scenic does. The attention over time of model 3 is a copy of the
              image's, but for its norm; the spatial class token of model 2 stays as it was; positions are resized as
              `adapt_table_as_original` describes.
            - `paper`: the attention over time of model 3 is 0 throughout (the paper's section 3.4). It never learns:
              see "Why this design choice?" in docs/weights.md. Otherwise as `default`.
            - `random`: the attention over time of model 3 stays as it was in the model, to compare the others with.
              Otherwise as `default`.
        head: copy the classifier too; the number of classes must be the same.
        architecture: timm's name of the architecture, for files that hold timm's keys and nothing else.
        allow_unexpected: names, or patterns with `*`, of tensors that no ViT has and that may be left out.

    Returns:
        what became of every tensor; also in `model.load_report`.

    Raises:
        WeightsError: the source cannot be read, is not a plain ViT, or does not fit the model. The model is as it was.
        ConfigError: an option that does not exist, or means nothing for this model.
    """
    model, options = unwrapped(model), Options(tubelet_init, positions, behaviour, head)
    vit = read_image_vit(source, architecture=architecture)
    _check_sizes(model.config, vit)
    changes = _changes(model.config, vit)
    try:
        config = replace(model.config, **changes)
        preprocessing = model.preprocessing or _preprocessing(config, vit)
    except ConfigError as error:  # a number in the source that no model has
        raise WeightsError(f"{vit.source}: {error}") from error
    plan = Plan(config, vit, options)
    plan.notes += [f"{name} is now {value}, as in the source" for name, value in changes.items()]
    if vit.pool != config.pool:
        plan.notes.append(f"the image model pools by {vit.pool}, this model by {config.pool}")
    plan.notes += _preprocessing_notes(model.preprocessing, preprocessing, vit)
    what: dict[str, Any] = {
        "source": vit.source,
        "format": f"image ViT, {vit.format}",
        "new": plan.new,
        "unused": {**vit.unused, **plan.unused},
        "unexpected": vit.unexpected,
        "allow_unexpected": as_patterns(allow_unexpected),
        "notes": (*vit.notes, *plan.notes),
    }
    with torch.device("meta"):
        rehearsal = ViViT(config)
    assign_tensors(rehearsal, plan.tensors, **what)
    model.reconfigure(**changes)
    report = assign_tensors(model, plan.tensors, **what)
    model.preprocessing = preprocessing
    if head and vit.labels and model.labels is None:
        model.labels = {"label": list(vit.labels)}
    model.load_report = report
    model.provenance = Provenance(unknown=(str(vit.source),))
    return report


def config_for(
    source: Source,
    model: str | ModelConfig = "vivit_base_16x2",
    /,
    *,
    architecture: str | None = None,
    **overrides: Any,
) -> ModelConfig:
    """The configuration of a video model that can start from `source`, with the source's sizes.

    Args:
        source: as for `initialise`.
        model: a preset's name or a configuration; its variant, frames, image size and the like stay.
        architecture: as for `initialise`.
        overrides: fields of `ModelConfig` by name; they win.

    Raises:
        WeightsError: the source cannot be read, or is not a plain ViT.
        ConfigError: no such preset or field, or values that do not fit together.
    """
    vit = read_image_vit(source, architecture=architecture)
    base = preset(model) if isinstance(model, str) else model
    base = replace_config(base, **{name: overrides[name] for name in ("variant", "embedding") if name in overrides})
    follow: dict[str, Any] = {
        **_sizes(vit),
        "in_channels": vit.in_channels,
        "tubelet_size": (base.tubelet_size[0], *vit.patch_size),
        "activation": vit.activation,
        "layer_norm_eps": vit.layer_norm_eps,
        "input_norm": vit.has_input_norm,
    }
    if base.variant in ("spatio_temporal", "factorised_encoder"):
        follow["pool"] = "cls" if vit.has_cls else "mean"
    if overrides.get("pool", follow.get("pool", base.pool)) != "cls":
        follow["output_norm"] = vit.output_norm
    if vit.num_heads is None:  # the source does not say; heads of published ViTs are 64 wide
        follow["num_heads"] = max(vit.hidden_size // 64, 1)
    return replace_config(base, **{**follow, **overrides})


def _sizes(vit: ImageViT) -> dict[str, int]:
    sizes = {"hidden_size": vit.hidden_size, "num_layers": vit.num_layers, "mlp_dim": vit.mlp_dim}
    return sizes if vit.num_heads is None else {**sizes, "num_heads": vit.num_heads}


def _check_sizes(config: ModelConfig, vit: ImageViT) -> None:
    theirs = _sizes(vit)
    if config.embedding != "conv_stem":
        theirs["in_channels"] = vit.in_channels
    differing = {name: value for name, value in theirs.items() if getattr(config, name) != value}
    if not differing:
        return
    if config.variant == "factorised_dot_product" and (vit.num_heads or 0) % 2:
        raise WeightsError(
            f"{vit.source}: {vit.num_heads} heads cannot be halved between time and space, as "
            "variant='factorised_dot_product' does; use another variant, or a source with an even number of heads"
        )
    ours = ", ".join(f"{name}={getattr(config, name)}" for name in differing)
    overrides = ", ".join(f"{name}={value}" for name, value in differing.items())
    named = [size for size, dimensions in SIZES.items() if dimensions.items() <= _sizes(vit).items()]
    hint = f" (a preset vivit_{named[0]}_... has it)" if named else ""
    raise WeightsError(
        f"{vit.source} has {overrides}, but the model has {ours}; create the model to fit{hint}: "
        f"tubelet.create(..., {overrides})"
    )


def _changes(config: ModelConfig, vit: ImageViT) -> dict[str, Any]:
    """Fields that follow the source. With a class token, a norm before and after pooling is the same function."""
    wanted = {
        "activation": vit.activation,
        "layer_norm_eps": vit.layer_norm_eps,
        "output_norm_eps": None,
        "input_norm": vit.has_input_norm,
        "output_norm": config.output_norm if config.pool == "cls" else vit.output_norm,
    }
    return {name: value for name, value in wanted.items() if getattr(config, name) != value}


def _preprocessing(config: ModelConfig, vit: ImageViT) -> PreprocessingConfig | None:
    """The usual preprocessing at the model's sizes with the source's mean and std; None where the source has none."""
    if vit.mean is None or vit.std is None or len(vit.mean) != config.in_channels:
        return None
    usual = PreprocessingConfig()
    return PreprocessingConfig(
        num_frames=config.num_frames,
        resize=round(min(config.image_size) * usual.resize / usual.crop_size[0]),
        crop_size=config.image_size,
        mean=vit.mean,
        std=vit.std,
    )


def _preprocessing_notes(
    before: PreprocessingConfig | None, after: PreprocessingConfig | None, vit: ImageViT
) -> list[str]:
    if after is None:
        return ["the source does not say how its pixels were normalised; model.preprocessing is still None"]
    ours = f"mean {_numbers(after.mean)} and std {_numbers(after.std)}"
    if before is None:
        return [f"model.preprocessing was None; now it has the source's {ours}"]
    if vit.mean is None or vit.std is None or (before.mean, before.std) == (vit.mean, vit.std):
        return []
    theirs = f"{_numbers(vit.mean)} and {_numbers(vit.std)}"
    return [f"model.preprocessing stays, with {ours}; the source was trained with {theirs}"]


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
