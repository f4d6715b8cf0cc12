"""The only place where tensors are written into a model. All of them are checked before the first is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.errors import ConfigError, WeightsError
from tubelet.model import Labels, ViViT
from tubelet.nn.positions import Positions
from tubelet.text import listing
from tubelet.weights.report import Entry, LoadReport

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class MappedTensor:
    """A tensor of a source, mapped to our layout.

    Attributes:
        tensor: the values.
        source: its name (or names, joined by " + ") in the source; empty if the values are not from the source (a bias
            of 0 where it has none), which the report then calls new.
        how: how it was mapped.
        adapted: whether the values differ from the source's. A transposed or concatenated tensor is not adapted; an
            interpolated, tiled or inflated one is.
    """

    tensor: Tensor
    source: str
    how: str = ""
    adapted: bool = False


def assign_tensors(
    model: nn.Module,
    tensors: Mapping[str, MappedTensor],
    *,
    source: str,
    format: str,
    new: Mapping[str, str] | None = None,
    unused: Mapping[str, str] | None = None,
    unexpected: Iterable[str] = (),
    allow_unexpected: Iterable[str] = (),
    notes: Iterable[str] = (),
) -> LoadReport:
    """Write `tensors` into `model`, whole or not at all.

    Args:
        model: receives the tensors; its dtypes and devices stay.
        tensors: by the names of the model's state dict.
        source, format: for the report and the errors.
        new: names of the model that the source is known not to have, and their values in words ("drawn at random").
            These tensors of the model stay as they are.
        unused: names of the source that are left out on purpose, and why.
        unexpected: other names of the source: an error unless allowed.
        allow_unexpected: names, or patterns with `*`, that may be unexpected; they are reported as unused.
        notes: for the report.

    Returns:
        the report, with one entry for every tensor of the model and every unused one of the source.

    Raises:
        WeightsError: a tensor is missing, unexpected, of another shape, not of a floating type, or holds NaN or
            infinite numbers. The model is then as it was before.
    """
    new, unused = dict(new or {}), dict(unused or {})
    allowed = as_patterns(allow_unexpected)
    state = model.state_dict()
    refused = []
    for name in unexpected:
        if any(fnmatchcase(name, pattern) for pattern in allowed):
            unused[name] = "unexpected, allowed by name"
        else:
            refused.append(name)
    if refused:
        raise WeightsError(
            f"{source}: {listing(refused)} {_are(refused)} not expected in this model; "
            "if they can be left out, say so: allow_unexpected=[...] (names, or patterns with *)"
        )
    unknown = [name for name in (*tensors, *new) if name not in state]
    if unknown:
        raise WeightsError(f"{source}: the model has no tensor {listing(unknown)}")
    missing = [name for name in state if name not in tensors and name not in new]
    if missing:
        raise WeightsError(f"{source}: {listing(missing)} {_are(missing)} missing; the file does not fit the model")
    for name, incoming in tensors.items():
        check_tensor(incoming.tensor, incoming.source or name, source)
        if incoming.tensor.shape != state[name].shape:
            raise WeightsError(
                f"{source}: {incoming.source or name} gives {list(incoming.tensor.shape)} where the model has "
                f"{list(state[name].shape)} ({name})"
            )
    with torch.no_grad():
        for name, incoming in tensors.items():
            state[name].copy_(incoming.tensor)
    entries = [_entry(name, tensors.get(name), new) for name in state]
    entries += [Entry("", name, "unused", why) for name, why in unused.items()]
    return LoadReport(source, format, tuple(entries), tuple(notes))


def meta_state(config: ModelConfig) -> dict[str, Tensor]:
    """The state dict of a model on the meta device: names and shapes without memory.

    Raises:
        ConfigError: sizes that no model can have.
    """
    try:
        with torch.device("meta"):
            return dict(ViViT(config).state_dict())
    except RuntimeError as error:
        raise ConfigError(f"model: sizes that no model can have ({error})") from error


def as_patterns(names: Iterable[str]) -> tuple[str, ...]:
    """Names or patterns of tensors; a single one may be given as it is."""
    return (names,) if isinstance(names, str) else tuple(names)


def empty_model(
    config: ModelConfig, preprocessing: PreprocessingConfig | None = None, labels: Labels | None = None
) -> ViViT:
    """A model with uninitialised parameters, for `assign_tensors` to fill.

    Raises:
        ConfigError: `labels` does not fit, or the sizes are such as no memory can hold.
    """
    try:
        with torch.device("meta"):
            model = ViViT(config, preprocessing, labels)
        # `to_empty`, which would ask a meta tensor what it looks like: torch imports sympy for that
        model._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype))
    except RuntimeError as error:
        raise ConfigError(f"no memory can hold a model of these sizes ({error})") from error
    for module in model.modules():
        if isinstance(module, Positions) and not isinstance(module.grid, nn.Parameter):
            time, height, width, dim = module.grid.shape
            computed = Positions((time, height, width), dim, module.cls is not None, "sinusoidal")
            module.grid, module.cls = computed.grid, computed.cls
    return model


def check_tensor(tensor: Tensor, name: str, source: str) -> None:
    """Weights are finite floating-point numbers.

    Raises:
        WeightsError: another type, or NaN or infinite numbers.
    """
    if tensor.dtype not in FLOATS:
        raise WeightsError(f"{source}: {name} holds {_words(tensor.dtype)}; weights are floating-point numbers")
    finite = torch.isfinite(tensor)
    if not finite.all():
        bad = int((~finite).sum())
        raise WeightsError(
            f"{source}: {name} holds {bad} numbers that are NaN or infinite (of {tensor.numel()}); "
            "the training that wrote it diverged, or the file is damaged"
        )


def _entry(name: str, incoming: MappedTensor | None, new: Mapping[str, str]) -> Entry:
    if incoming is None:
        return Entry(name, "", "new", new[name])
    if not incoming.source:
        return Entry(name, "", "new", incoming.how)
    return Entry(name, incoming.source, "adapted" if incoming.adapted else "loaded", incoming.how)


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _words(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
