"""The configuration of a Scenic checkpoint, inferred from its parameters and completed by the caller.

Shapes give all widths, depths, heads and the tubelet size. Names give the variant, except that model 1 with mean
pooling and model 4 have the same ones. Neither gives height and width of the image, the order of attention of model 3
and, in some models, the number of frames. One error names all fields that are missing.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tubelet.config import ModelConfig, to_dict, uniform_frame_indices
from tubelet.errors import ConfigError, WeightsError
from tubelet.text import did_you_mean
from tubelet.weights.scenic_layout import ATTENTION

FIXED = {
    "positions": "learned",
    "activation": "gelu_tanh",
    "layer_norm_eps": 1e-6,
    "input_norm": False,
    "output_norm": "before_pool",
}
"""Fields that are the same in every model of Scenic."""

FREE = ("dropout", "attention_dropout", "drop_path", "token_drop")


@dataclass(frozen=True)
class InferredConfig:
    """The part of a configuration that follows from the parameters.

    Attributes:
        fields: of `ModelConfig`; those that do not follow are not in it.
        num_positions: of the joint or spatial encoder, without the class token's: t*h*w, or h*w in model 2.
        time_steps: positions of the temporal encoder, without the class token's; None without one.
        has_cls: whether there is a class token.
    """

    fields: dict[str, Any]
    num_positions: int
    time_steps: int | None
    has_cls: bool


def deduce(tree: Mapping[str, Tensor], given: Mapping[str, Any], where: str) -> tuple[ModelConfig, list[str]]:
    """The configuration of a tree, from its tensors and the given fields.

    Args:
        tree: path ("Transformer/encoder_norm/scale") to tensor.
        given: fields of `ModelConfig`; those that follow from the tree must agree with it.
        where: the file, for the errors.

    Returns:
        the configuration, and notes on what was assumed.

    Raises:
        WeightsError: the tree is no ViViT of Scenic, or fields are missing: the error names all of them.
        ConfigError: a given field is unknown, or is not what the tree has.
    """
    given = _checked_fields(given)
    inferred = read_tree_shape(tree, where)
    _check_agreement(inferred, given, where)
    fields = {**inferred.fields, **{name: value for name, value in given.items() if name not in inferred.fields}}
    missing: dict[str, str] = {}
    notes = _settle_variant(inferred, fields, missing)
    _settle_sizes(inferred, fields, missing, where)
    if missing:
        asked = "; ".join(f"{name} ({why})" for name, why in missing.items())
        raise WeightsError(f"{where}: the file does not say everything about its model. Give by name: {asked}")
    if "num_classes" in given:
        fields["num_classes"] = given["num_classes"]
    try:
        config = ModelConfig(**{**FIXED, **fields})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    _check_positions(inferred, config, where)
    return config, notes


# --- from the tree ---------------------------------------------------------------------------------------------------


def read_tree_shape(tree: Mapping[str, Tensor], where: str) -> InferredConfig:
    """Infer fields from names and shapes."""
    for needed in ("embedding/kernel", "embedding/bias"):
        if needed not in tree:
            raise WeightsError(f"{where}: expected the parameters of a ViViT, but there is no {needed}")
    if "pre_logits/kernel" in tree:
        raise WeightsError(
            f"{where}: the model has a pre_logits layer (representation_size={_shape(tree, 'pre_logits/bias')[0]}), "
            "which no model of tubelet has"
        )
    factorised = any(path.startswith("SpatialTransformer/") for path in tree)
    encoder = "SpatialTransformer" if factorised else "Transformer"
    fields = {**FIXED, **_embedding_fields(tree, where), **_encoder_fields(tree, encoder, where)}
    fields["num_classes"] = _shape(tree, "output_projection/bias")[0] if "output_projection/bias" in tree else 0
    has_cls = f"cls_{encoder}" in tree or "cls" in tree
    time_steps = None
    if factorised:
        fields.update(variant="factorised_encoder", temporal_layers=_layers(tree, "TemporalTransformer"))
        if fields["temporal_layers"]:
            temporal = _encoder_fields(tree, "TemporalTransformer", where)
            for name in ("num_heads", "mlp_dim"):
                if temporal[name] != fields[name]:
                    raise WeightsError(
                        f"{where}: the spatial encoder has {name}={fields[name]}, the temporal one {temporal[name]}; "
                        "tubelet's factorised encoder has one for both"
                    )
            time_steps = _num_positions(tree, "TemporalTransformer", where) - has_cls
    else:
        fields["temporal_layers"] = None
        if any(f"/{ATTENTION}_space/" in path for path in tree):
            fields["variant"] = "factorised_self_attention"
        elif has_cls:
            fields["variant"] = "spatio_temporal"
    if fields.get("variant") != "factorised_self_attention" and "variant" in fields:
        fields["attention_order"] = None
    if has_cls:
        fields["pool"] = "cls"
    return InferredConfig(fields, _num_positions(tree, encoder, where) - has_cls, time_steps, has_cls)


def _embedding_fields(tree: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    shape = _shape(tree, "embedding/kernel")
    if len(shape) == 5:
        frames, height, width, channels, dim = shape
        fields: dict[str, Any] = {"embedding": "tubelet", "sampled_frames": None}
    elif len(shape) == 4:
        frames, (height, width, channels, dim) = 1, shape
        fields = {"embedding": "uniform_frames"}
    else:
        raise WeightsError(f"{where}: embedding/kernel has {len(shape)} axes; a ViViT's has 5 (tubelets) or 4 (frames)")
    return {**fields, "tubelet_size": (frames, height, width), "in_channels": channels, "hidden_size": dim}


def _encoder_fields(tree: Mapping[str, Tensor], encoder: str, where: str) -> dict[str, Any]:
    first = f"{encoder}/encoderblock_0/"
    queries = [path for path in tree if path.startswith(first) and path.endswith("/query/kernel")]
    widening = [path for path in tree if path.startswith(first) and path.endswith("/Dense_0/bias")]
    if not queries or not widening:
        raise WeightsError(f"{where}: expected the blocks of a ViViT, but {first} has no attention or no MLP")
    shape = _shape(tree, queries[0])
    if len(shape) != 3:
        raise WeightsError(
            f"{where}: {queries[0]} has the shape {list(shape)}; expected [width, heads, width per head]"
        )
    if f"{encoder}/encoder_norm/scale" not in tree:
        raise WeightsError(
            f"{where}: {encoder} has no encoder_norm (normalise_output=False), which no ViViT is without"
        )
    return {
        "num_layers": _layers(tree, encoder),
        "num_heads": shape[1],
        "mlp_dim": _shape(tree, widening[0])[0],
    }


def _layers(tree: Mapping[str, Tensor], encoder: str) -> int:
    numbers = {found[1] for path in tree if (found := re.match(rf"{encoder}/encoderblock_(\d+)/", path))}
    return len(numbers)


def _num_positions(tree: Mapping[str, Tensor], encoder: str, where: str) -> int:
    path = f"{encoder}/posembed_input/pos_embedding"
    if path not in tree:
        raise WeightsError(
            f"{where}: there is no {path}: its positions are not learned (sinusoidal, or none at all), and tubelet has "
            "no model like that"
        )
    shape = _shape(tree, path)
    if len(shape) != 3 or shape[0] != 1:
        raise WeightsError(f"{where}: {path} has the shape {list(shape)}; expected [1, positions, width]")
    return shape[1]


def _shape(tree: Mapping[str, Tensor], path: str) -> tuple[int, ...]:
    return tuple(tree[path].shape) or (0,)


# --- from the caller -------------------------------------------------------------------------------------------------


def _checked_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Given fields in the form that `ModelConfig` keeps them in; those that are None are left out."""
    known = {field.name: field for field in dataclasses.fields(ModelConfig)}
    fields = {name: value for name, value in given.items() if value is not None}
    for name in fields:
        if name not in known:
            raise ConfigError(f"unknown field {name!r} of ModelConfig{did_you_mean(name, known)}")
    if isinstance(fields.get("image_size"), int):
        fields["image_size"] = (fields["image_size"], fields["image_size"])
    one_by_one = {name: value for name, value in fields.items() if name in ("image_size", "tubelet_size")}
    for name, value in one_by_one.items():
        size = 2 if name == "image_size" else 3
        if not isinstance(value, tuple | list) or len(value) != size or not all(isinstance(v, int) for v in value):
            raise ConfigError(f"{name}={value!r}: expected {size} whole numbers")
        fields[name] = tuple(value)
    for name in ("num_frames", "sampled_frames", "image_size"):
        value = fields.get(name, 1)
        if not isinstance(value, int | tuple) or min(value if isinstance(value, tuple) else (value,)) < 1:
            raise ConfigError(f"{name}={value!r} must be a whole number of at least 1")
    return fields


def _check_agreement(inferred: InferredConfig, given: Mapping[str, Any], where: str) -> None:
    differing = []
    for name, value in given.items():
        if name not in inferred.fields or name in FREE:
            continue
        has = inferred.fields[name]
        if name == "num_classes" and isinstance(value, Mapping) and all(isinstance(n, int) for n in value.values()):
            agrees = sum(value.values()) == has
        else:
            agrees = value == has
        if not agrees:
            differing.append(f"{name}={value!r} was given, but the file has {has!r}")
    if given.get("pool") == "cls" and not inferred.has_cls:
        differing.append("pool='cls' was given, but the file has no class token")
    if given.get("variant") in ("factorised_encoder", "factorised_self_attention") and "variant" not in inferred.fields:
        differing.append(f"variant={given['variant']!r} was given, but the file has the tensors of model 1 or 4")
    if differing:
        raise ConfigError(
            f"{where}: {'; '.join(differing)}. The fields say what the file was made for; "
            "to change the model afterwards there is tubelet.weights.adapt"
        )


def _settle_variant(inferred: InferredConfig, fields: dict[str, Any], missing: dict[str, str]) -> list[str]:
    notes = []
    variant = fields.get("variant")
    if variant is None and fields["num_heads"] % 2:
        variant = fields["variant"] = "spatio_temporal"
        notes.append(
            f"variant: spatio_temporal, since model 4 has an even number of heads and not {fields['num_heads']}"
        )
    if variant is None:
        missing["variant"] = (
            "'spatio_temporal' or 'factorised_dot_product': without a class token, models 1 and 4 have the same tensors"
        )
    if variant == "factorised_self_attention" and "attention_order" not in fields:
        missing["attention_order"] = "'space_time' or 'time_space', the default of Scenic's code"
    if "pool" not in fields:
        fields["pool"] = "mean"
        notes.append("pool: mean, which is assumed, since there is no class token (Scenic also has max and sum)")
    return notes


# --- frames and pixels -----------------------------------------------------------------------------------------------


def _settle_sizes(inferred: InferredConfig, fields: dict[str, Any], missing: dict[str, str], where: str) -> None:
    """Fill in `num_frames` and `sampled_frames` where they follow; name what does not."""
    image_size, num_frames = fields.get("image_size"), fields.get("num_frames")
    frames_of_tubelet = fields["tubelet_size"][0]
    factorised = fields.get("variant") == "factorised_encoder"
    time_steps = inferred.time_steps
    if image_size is None:
        missing["image_size"] = _why_image_size(inferred, fields)
    elif not factorised:
        positions = _positions_of_a_frame(fields, where)
        if inferred.num_positions % positions:
            raise ConfigError(
                f"{where}: image_size={image_size} gives {positions} tokens a frame, but the file has "
                f"{inferred.num_positions} positions, which is no multiple; {_squares(inferred, fields)}"
            )
        time_steps = inferred.num_positions // positions
    if fields["embedding"] == "uniform_frames":
        _settle_sampled_frames(time_steps, fields, missing)
    elif num_frames is None and time_steps is not None:
        fields["num_frames"] = time_steps * frames_of_tubelet
    elif num_frames is None and factorised:
        missing["num_frames"] = "frames of a clip; nothing in an average over time depends on it"


def _settle_sampled_frames(time_steps: int | None, fields: dict[str, Any], missing: dict[str, str]) -> None:
    num_frames = fields.get("num_frames")
    if num_frames is None:
        missing["num_frames"] = "frames of a clip, out of which some are sampled"
    if fields.get("sampled_frames") is not None:
        return
    if fields.get("variant") == "factorised_encoder" and time_steps is None:
        missing["sampled_frames"] = "how many frames are embedded; nothing in an average over time depends on it"
    if time_steps is None or num_frames is None:
        return  # it follows from what is asked for
    fitting = [
        n for n in (time_steps - 1, time_steps) if 1 <= n <= num_frames and _sampled(num_frames, n) == time_steps
    ]
    if len(fitting) == 1:
        fields["sampled_frames"] = fitting[0]
    else:
        choices = " or ".join(str(n) for n in fitting) or "no number fits; are image_size and num_frames right?"
        missing["sampled_frames"] = f"{choices}: {time_steps} of {num_frames} frames are embedded"


def _check_positions(inferred: InferredConfig, config: ModelConfig, where: str) -> None:
    time, height, width = config.grid
    gives = f"image_size={config.image_size} and num_frames={config.num_frames} give {time}x{height}x{width} tokens"
    joint = config.variant != "factorised_encoder"
    if inferred.num_positions != height * width * (time if joint else 1):
        found = f"{inferred.num_positions} positions{'' if joint else ' a frame'}"
        raise ConfigError(f"{where}: {gives}, but the file has {found}; {_squares(inferred, to_dict(config))}")
    if inferred.time_steps not in (None, time):
        fits = f"; num_frames={inferred.time_steps * config.tubelet_size[0]} has so many"
        fits = fits if config.embedding == "tubelet" else ""
        raise ConfigError(f"{where}: {gives}, but the file has {inferred.time_steps} positions over time{fits}")


def _why_image_size(inferred: InferredConfig, fields: Mapping[str, Any]) -> str:
    _, height, width = fields["tubelet_size"]
    joint = fields.get("variant") != "factorised_encoder"
    over = "over frames, height and width" if joint else "a frame"
    why = f"{inferred.num_positions} positions {over}, patches of {height}x{width} pixels: {_squares(inferred, fields)}"
    follows = joint and fields["embedding"] == "tubelet" and fields.get("num_frames") is None
    return why + ("; num_frames follows" if follows else "")


def _squares(inferred: InferredConfig, fields: Mapping[str, Any], at_most: int = 3) -> str:
    """Square images that the positions allow, the nearest to 224 first."""
    frames, height, width = fields["tubelet_size"]
    joint = fields.get("variant") != "factorised_encoder"
    found = []
    for rows in range(1, math.isqrt(inferred.num_positions * max(height, width) // min(height, width)) + 1):
        side = rows * height
        positions = rows * (side // width)
        if side % width or not positions or inferred.num_positions % positions:
            continue
        time_steps = inferred.num_positions // positions
        if not joint and time_steps == 1:
            found.append((side, f"image_size={side}"))
        elif joint and fields["embedding"] == "tubelet":
            found.append((side, f"image_size={side} (num_frames={time_steps * frames})"))
        elif joint:
            found.append((side, f"image_size={side} ({time_steps} sampled frames)"))
    found.sort(key=lambda choice: abs(math.log(choice[0] / 224)))
    if not found:
        return "no square image has so many"
    return "a square has so many with " + " or ".join(text for _, text in found[:at_most])


def _positions_of_a_frame(fields: Mapping[str, Any], where: str) -> int:
    _, height, width = fields["tubelet_size"]
    image_height, image_width = fields["image_size"]
    positions = (image_height // height) * (image_width // width)
    if not positions:
        raise ConfigError(
            f"{where}: image_size={fields['image_size']} is smaller than one patch of {height}x{width} pixels"
        )
    return positions


def _sampled(num_frames: int, sampled_frames: int) -> int:
    return len(uniform_frame_indices(num_frames, sampled_frames))
