"""The model that a configuration describes, with its first weights."""

from __future__ import annotations

from typing import Any

import torch

from tubelet.config import ModelConfig, PreprocessingConfig, TrainConfig, from_dict, to_dict
from tubelet.data import Table
from tubelet.errors import ConfigError, WeightsError
from tubelet.model import ViViT
from tubelet.nn.initialisation import scale_residual_branches
from tubelet.presets import create, preset
from tubelet.provenance import Provenance
from tubelet.training.run_folder import RunFolder
from tubelet.weights import LoadReport, initialise, load

_DESCRIBES_A_MODEL = (
    "variant",
    "embedding",
    "tubelet_size",
    "sampled_frames",
    "num_frames",
    "image_size",
    "hidden_size",
    "num_layers",
    "num_heads",
    "mlp_dim",
    "temporal_layers",
    "attention_order",
    "pool",
    "head_norm",
    "residual_init",
    "dropout",
    "attention_dropout",
    "drop_path",
    "token_drop",
)

SHORT_SIDE = 256 / 224
"""Short side of the resized video as a multiple of the crop, where nothing else is said (the paper's)."""


def build_model(config: TrainConfig, table: Table) -> tuple[ViViT, tuple[str, ...]]:
    """The model for the classes of a table, with `preprocessing` and `labels`, and notes on what it starts from.

    Raises:
        ConfigError: fields that do not exist or fit together.
        WeightsError: `init` cannot be read or does not fit.
    """
    if config.init is None:
        if config.preset is None:
            raise ConfigError("neither a preset nor init was named; `tubelet models` lists the presets")
        if config.optimisation.freeze != "none":
            raise ConfigError(
                f"freeze={config.optimisation.freeze!r} would keep random weights as they are; name what to start from "
                "with init, or let everything learn with freeze='none'"
            )
        if config.optimisation.lora is not None:
            raise ConfigError(
                f"lora={config.optimisation.lora} would keep random weights as they are; name what to start from with "
                "init, or leave it out"
            )
        model = create(
            config.preset, **{**config.model, "multi_label": table.multi_label}, num_classes=classes_of(table)
        )
        model.provenance = Provenance()
        base = None
        notes: tuple[str, ...] = (f"model: {_in_words(model.config)}; random weights",)
    else:
        model, notes = _from_weights(config, config.init, table)
        base = model.preprocessing
    model.labels = {head: list(names) for head, names in table.classes.items()}
    model.preprocessing = preprocessing_for(model.config, config.preprocessing, base)
    return model, notes


def _from_weights(config: TrainConfig, source: str, table: Table) -> tuple[ViViT, tuple[str, ...]]:
    """A video model adapted to the classes; or, if `source` is an image model, a new one started from it."""
    num_classes = classes_of(table)
    fields: dict[str, Any] = dict(config.model)
    if config.preset is not None:
        wanted = preset(config.preset, **config.model)
        fields = {name: getattr(wanted, name) for name in _DESCRIBES_A_MODEL}
    fields["multi_label"] = table.multi_label
    try:
        model = load(source, **fields, num_classes=num_classes)
    except WeightsError as no_video_model:
        return _from_image(config, source, num_classes, table.multi_label, no_video_model)
    if model.labels != table.classes:
        model.reset_classifier(num_classes, multi_label=table.multi_label)
    model.operating_points = {}
    notes = _report_notes(model)
    notes = (*notes, *in_float32(model))
    return model, (f"{_in_words(model.config)}; started from {source}", *notes, *_scale_branches(model, config, source))


def in_float32(model: ViViT) -> tuple[str, ...]:
    """Convert a model in another precision (`precision` is that of products): half would round small steps away."""
    stored = {parameter.dtype for parameter in model.parameters()} - {torch.float32}
    if not stored:
        return ()
    model.float()
    return (
        f"weights in {' and '.join(sorted(str(one).removeprefix('torch.') for one in stored))}, trained in float32",
    )


def _scale_branches(model: ViViT, config: TrainConfig, source: str) -> tuple[str, ...]:
    """Let the branches of the blocks start small where that is wanted (`AdaptationConfig.init_branches`)."""
    factor, optimisation = config.adaptation.init_branches, config.optimisation
    frozen = optimisation.freeze != "none" or optimisation.lora is not None
    if factor is None:
        factor = model.config.residual_init if RunFolder.of(source).is_pretraining() and not frozen else 1.0
    if factor == 1:
        return ()
    if frozen:
        raise ConfigError(
            f"init_branches={factor} changes weights that "
            f"{f'freeze={optimisation.freeze!r}' if optimisation.lora is None else f'lora={optimisation.lora}'} is to "
            "keep as they are; leave out one of the two"
        )
    scale_residual_branches(model, factor)
    return (f"what attention and MLP add to the tokens starts at {factor:g} of what it was (init_branches)",)


def _from_image(
    config: TrainConfig,
    source: str,
    num_classes: int | dict[str, int],
    multi_label: tuple[str, ...],
    no_video_model: WeightsError,
) -> tuple[ViViT, tuple[str, ...]]:
    if config.preset is None:
        raise WeightsError(
            f"{no_video_model}. If it is an image transformer, name a preset of its size to start from it"
        ) from no_video_model
    model = create(config.preset, **{**config.model, "multi_label": multi_label}, num_classes=num_classes)
    adaptation = config.adaptation
    try:
        initialise(
            model,
            source,
            tubelet_init=adaptation.tubelet_init,
            positions=adaptation.init_positions,
            behaviour=adaptation.init_behaviour,
        )
    except WeightsError as no_image_model:
        raise WeightsError(
            f"as a video model: {no_video_model}. As an image model: {no_image_model}"
        ) from no_image_model
    return model, (f"{_in_words(model.config)}; started from the image model {source}", *_report_notes(model))


def _in_words(config: ModelConfig) -> str:
    """The model in one line."""
    temporal = f" + {config.temporal_layers}" if config.variant == "factorised_encoder" else ""
    tubelet = "x".join(map(str, config.tubelet_size))
    height, width = config.image_size
    return (
        f"{config.variant.replace('_', ' ')}, {config.num_layers}{temporal} layers of width {config.hidden_size}, "
        f"{config.num_frames} frames of {height}x{width} in {config.embedding.replace('_', ' ')}s of {tubelet}"
    )


def _report_notes(model: ViViT) -> tuple[str, ...]:
    report = model.load_report
    if not isinstance(report, LoadReport):
        return ()
    counts = ", ".join(f"{count} {status}" for status, count in report.counts().items() if count)
    return (f"tensors: {counts}", *report.notes)


def classes_of(table: Table) -> int | dict[str, int]:
    """`num_classes` for a table: a number, or one for each head; 0 (no head) without labels."""
    if not table.heads:
        return 0
    return table.heads["label"] if list(table.heads) == ["label"] else table.heads


def preprocessing_for(
    model: ModelConfig, fields: dict[str, Any], base: PreprocessingConfig | None = None
) -> PreprocessingConfig:
    """The preprocessing that gives a model what it expects.

    Frames and crop are the model's. Where `fields` does not say it: the short side is 8/7 of the crop's longer side
    (the paper's 256 for 224), the stride is 1 with uniform sampling, and mean and std have the model's channels.

    Args:
        model: what it is for.
        fields: of `PreprocessingConfig`.
        base: what the weights were trained with; it counts where `fields` says nothing.

    Raises:
        ConfigError: fields that do not exist or fit together.
    """
    values: dict[str, Any] = {} if base is None else to_dict(base)
    crop = model.image_size
    if base is None or base.crop_size != crop:
        values["resize"] = round(max(crop) * SHORT_SIDE)
    if base is None and model.in_channels != 3:
        values.update(mean=(0.5,) * model.in_channels, std=(0.5,) * model.in_channels)
    if fields.get("sampling") == "uniform":
        values["frame_stride"] = 1
    values.update(fields, num_frames=model.num_frames, crop_size=crop)
    return from_dict(PreprocessingConfig, values, where="preprocessing")
