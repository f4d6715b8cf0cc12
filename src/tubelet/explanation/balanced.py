"""Balanced gradients: the value of every block's input times its gradient, in a backward pass that adds up.

For each block, the sum over its input tokens of value times gradient, and of every additive parameter behind it times
its gradient, is the logit. The map is the mean of that over the blocks, so it adds up too; or it is that of the first
block alone. One forward pass, which keeps the inputs of the blocks; then each block forward again and backward, from
the last to the first. No attention matrix is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.explanation.attribution import Attribution, Progress, each_view, no_progress, within
from tubelet.explanation.balanced_model import balanced
from tubelet.explanation.target import Target
from tubelet.model import ViViT
from tubelet.nn.attention import FactorisedDotProductAttention
from tubelet.nn.blocks import FactorisedSelfAttentionBlock
from tubelet.nn.encoder import Encoder

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}
"""How far the parts may be from the logit, as a share of the sum of their sizes."""


def balanced_gradients(
    model: ViViT,
    video: Float[Tensor, "V T C H W"],
    frame_mask: Bool[Tensor, "V T"] | None,
    target: Target,
    progress: Progress = no_progress,
    *,
    levels: Literal["all", "tokens"] = "all",
) -> Attribution:
    """Attribute the logit to the tokens.

    Args:
        model: plain and unwrapped.
        video: the views of a video, preprocessed.
        frame_mask: as the model takes it.
        target: what is explained.
        progress: after each block.
        levels: the inputs of `all` blocks, or the `tokens` that the first one gets.

    Raises:
        ConfigError: layers that are not the library's own; parts that do not add up to the logit.
    """
    twin = balanced(model)
    maps, parts, splits, logit = [], defaultdict[str, float](float), defaultdict[str, float](float), 0.0
    for view, clip, mask in each_view(video, frame_mask):
        one = _one_view(twin, clip, mask, target, levels, within(progress, view, len(video)))
        maps.append(one.map)
        logit += one.logit / len(video)
        for name, value in (one.unattributed or {}).items():
            parts[name] += value / len(video)
        for name, value in one.split.items():
            splits[name] += value / len(video)
    return Attribution(torch.cat(maps), logit, dict(parts), dict(splits))


@torch.no_grad()
def _one_view(
    twin: ViViT,
    video: Tensor,
    frame_mask: Tensor | None,
    target: Target,
    levels: Literal["all", "tokens"],
    progress: Progress,
) -> Attribution:
    factorised = twin.config.variant == "factorised_encoder"
    encoder: Encoder = twin.spatial_encoder if factorised else twin.encoder
    time_mask = twin._time_mask(frame_mask)
    own_mask = None if factorised else time_mask
    tokens = twin.embed(video, frame_mask)
    grids = tokens.flatten(0, 1).unsqueeze(1) if factorised else tokens
    x, mask = encoder.before_blocks(grids, own_mask)
    inputs = [x]
    for block in encoder.blocks:
        inputs.append(block(inputs[-1], mask))

    def before(tokens: Tensor) -> Tensor:
        return encoder.before_blocks(tokens, own_mask)[0]

    def head(x: Tensor) -> Tensor:
        encoded = encoder.weigh(encoder.after_blocks(x), (grids.shape[1], grids.shape[2], grids.shape[3]))
        if not factorised:
            return target.of(twin.classify(encoder.pool(encoded, time_mask))).sum()
        return target.of(twin.forward_times(encoder.pool(encoded).unflatten(0, (1, -1)), time_mask)).sum()

    count = len(encoder.blocks)
    step = _backward(twin, head, inputs.pop())
    logit, behind, levelled = float(step.output), step.added, []
    split: dict[str, float] = defaultdict(float)
    for number, block in reversed(list(enumerate(encoder.blocks))):
        gradient, given = step.gradient, inputs.pop()
        with _layers_of(block) as layers:
            step = _backward(block, partial(_run, block, mask), given, gradient, layers)
        for name, value in _shares(layers, gradient, step.of_heads).items():
            split[name] += value / count
        behind = _sum(behind, step.added)
        if number == 0:
            step, given = _backward(twin, before, grids, step.gradient), grids
            behind = _sum(behind, step.added)
        relevance, parts = (given * step.gradient).sum(dim=-1), behind
        if number and encoder.cls is not None:
            parts = _sum(behind, {"class token": float(relevance[:, 0].sum())})
            relevance = relevance[:, 1:]
        levelled.append((relevance.reshape(1, tokens.shape[1], tokens.shape[2], tokens.shape[3]), parts))
        progress(count - number, count)
    used = levelled if levels == "all" else levelled[-1:]
    heat = torch.stack([relevance for relevance, _ in used]).mean(dim=0)
    mean: dict[str, float] = {}
    for _, parts in used:
        mean = _sum(mean, {name: value / len(used) for name, value in parts.items()})
    _require_complete(float(heat.sum()) + sum(mean.values()), logit, float(heat.abs().sum()), mean, heat.dtype)
    return Attribution(heat, logit, mean, dict(split))


def _run(block: Callable[..., Tensor], mask: Tensor | None, x: Tensor) -> Tensor:
    return block(x, mask)


def _sum(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}


@dataclass(frozen=True, eq=False)
class _Step:
    """A part of the model, gone through backwards.

    Attributes:
        output: of the part.
        gradient: of the logit with respect to the part's input.
        added: what its additive parameters add to the logit, by kind.
        of_heads: the gradient with respect to the heads of model 4, before they are mixed.
    """

    output: Tensor
    gradient: Tensor
    added: dict[str, float]
    of_heads: Tensor | None


def _backward(
    module: nn.Module,
    run: Callable[[Tensor], Tensor],
    given: Tensor,
    gradient: Tensor | None = None,
    layers: Mapping[str, Tensor] = MappingProxyType({}),
) -> _Step:
    """Compute a part again, with a graph, and the gradients of the logit from that of its output."""
    given = given.detach().requires_grad_()
    with torch.enable_grad():
        output = run(given)
    additive = {name: value for name, value in _tensors(module).items() if value.requires_grad}
    heads = [layers["heads"]] if "heads" in layers else []
    found = torch.autograd.grad(output, [given, *additive.values(), *heads], gradient, allow_unused=True)
    added: dict[str, float] = defaultdict(float)
    for (name, value), of_value in zip(additive.items(), found[1:], strict=False):
        if of_value is not None:
            added[_kind(name)] += float((value.detach() * of_value).sum())
    return _Step(output.detach(), found[0], dict(added), found[-1] if heads else None)


@contextmanager
def _layers_of(block: Any) -> Iterator[dict[str, Tensor]]:
    """Inside the `with`, what each kind of layer of a block of model 3 or 4 adds, and `heads`, those of model 4."""
    layers: dict[str, Tensor] = {}
    named: dict[str, nn.Module] = {}
    handles = []
    if isinstance(block, FactorisedSelfAttentionBlock):
        named = {"mlp": block.mlp, "space": block.space, "time": block.time}
    elif isinstance(block.attention, FactorisedDotProductAttention):
        named = {"mlp": block.mlp}
        handles.append(block.attention.out.register_forward_pre_hook(lambda _, args: layers.update(heads=args[0])))
    for name, module in named.items():
        handles.append(module.register_forward_hook(lambda _, __, output, name=name: layers.update({name: output})))
    try:
        yield layers
    finally:
        for handle in handles:
            handle.remove()


def _shares(layers: Mapping[str, Tensor], gradient: Tensor, of_heads: Tensor | None) -> dict[str, float]:
    """What each kind of layer adds to the logit: its output times the gradient of the block's output."""
    shares = {name: float((output * gradient).sum()) for name, output in layers.items() if name != "heads"}
    if of_heads is not None:
        heads = layers["heads"]
        time, space = (heads * of_heads).sum(dim=tuple(range(heads.ndim - 1))).chunk(2)
        shares |= {"time": float(time.sum()), "space": float(space.sum())}
    return shares


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _kind(name: str) -> str:
    last = name.rpartition(".")[2]
    return {"grid": "positions", "cls": "class token"}.get(last, "biases")


def _require_complete(total: float, logit: float, size: float, parts: dict[str, float], dtype: torch.dtype) -> None:
    scale = max(abs(logit), size, *(abs(value) for value in parts.values()))
    if not abs(total - logit) <= TOLERANCE[dtype] * scale:
        raise ConfigError(
            f"balanced gradients do not add up for this model: {total:.6g} of a logit of {logit:.6g}; a layer computes "
            "something else than it did when the library was tested. Use method='occlusion', and report this"
        )
