"""Balanced gradients: the value of every block's input times its gradient, in a backward pass that adds up.

For each block, the sum over its input tokens of value times gradient, and of every additive parameter behind it times
its gradient, is the logit. The map is the mean of that over the blocks, so it adds up too; or it is that of the first
block alone. One forward and one backward pass, no attention matrix.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.explanation.attribution import Attribution, Progress, each_view, no_progress
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
        progress: after each view.
        levels: the inputs of `all` blocks, or the `tokens` that the first one gets.

    Raises:
        ConfigError: layers that are not the library's own; parts that do not add up to the logit.
    """
    twin = balanced(model)
    maps, parts, splits, logit = [], defaultdict[str, float](float), defaultdict[str, float](float), 0.0
    for view, clip, mask in each_view(video, frame_mask):
        one = _one_view(twin, clip, mask, target, levels)
        maps.append(one.map)
        logit += one.logit / len(video)
        for name, value in (one.unattributed or {}).items():
            parts[name] += value / len(video)
        for name, value in one.split.items():
            splits[name] += value / len(video)
        progress(view + 1, len(video))
    return Attribution(torch.cat(maps), logit, dict(parts), dict(splits))


def _one_view(
    twin: ViViT, video: Tensor, frame_mask: Tensor | None, target: Target, levels: Literal["all", "tokens"]
) -> Attribution:
    encoder: Encoder = twin.spatial_encoder if twin.config.variant == "factorised_encoder" else twin.encoder
    with torch.no_grad():
        tokens = twin.embed(video, frame_mask)
    with torch.enable_grad(), _Recorded(encoder) as recorded:
        tokens.requires_grad_()
        logits = twin.forward_head(twin.encode_tokens(tokens, twin._time_mask(frame_mask)), frame_mask)
        logit = target.of(logits).sum()
        inputs = [tokens, *recorded.inputs[1:]]
        additive = {name: value for name, value in _tensors(twin).items() if value.requires_grad}
        wanted = [*inputs, recorded.output, *recorded.heads, *additive.values()]
        gradients: Sequence[Tensor | None] = torch.autograd.grad(logit, wanted, allow_unused=True)
        logit = logit.detach()
    of_inputs, gradients = gradients[: len(inputs) + 1], gradients[len(inputs) + 1 :]
    of_heads, of_additive = gradients[: len(recorded.heads)], gradients[len(recorded.heads) :]
    size = (tokens.shape[1], tokens.shape[2], tokens.shape[3])
    with torch.no_grad():
        added = {
            name: 0.0 if gradient is None else float((value * gradient).sum())
            for (name, value), gradient in zip(additive.items(), of_additive, strict=True)
        }
        split = _split(recorded, of_inputs[1:], of_heads)
        used = inputs if levels == "all" else inputs[:1]
        maps, parts = [], defaultdict[str, float](float)
        for level, (value, gradient) in enumerate(zip(used, of_inputs, strict=False)):
            relevance = torch.zeros_like(value[..., 0]) if gradient is None else (value * gradient).sum(dim=-1)
            if level and encoder.cls is not None:
                parts["class token"] += float(relevance[:, 0].sum()) / len(used)
                relevance = relevance[:, 1:]
            maps.append(relevance.reshape(1, *size))
            for name, share in added.items():
                if _stage(name, encoder, twin) >= level:
                    parts[_kind(name)] += share / len(used)
        heat = torch.stack(maps).mean(dim=0)
    _require_complete(float(heat.sum()) + sum(parts.values()), float(logit), float(heat.abs().sum()), parts, heat.dtype)
    return Attribution(heat.detach(), float(logit), dict(parts), split)


class _Recorded:
    """Inside the `with`, keeps what the blocks of an encoder are given and give.

    Attributes:
        inputs: of each block.
        output: of the last block.
        branches: per block, what each kind of layer adds.
        heads: of model 4, the heads of each block before they are mixed: half over time, half over space.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.inputs: list[Tensor] = []
        self.output = torch.empty(0)
        self.branches: list[dict[str, Tensor]] = []
        self.heads: list[Tensor] = []
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> _Recorded:
        for block in self.encoder.blocks:
            self._handles.append(block.register_forward_pre_hook(self._keep_input))
            named: dict[str, Any] = {"mlp": block.mlp}
            if isinstance(block, FactorisedSelfAttentionBlock):
                named |= {"space": block.space, "time": block.time}
            elif isinstance(block.attention, FactorisedDotProductAttention):
                self._handles.append(block.attention.out.register_forward_pre_hook(self._keep_heads))
            else:
                continue
            for name, module in named.items():
                self._handles.append(module.register_forward_hook(self._keeper(name)))
        self._handles.append(self.encoder.blocks[-1].register_forward_hook(self._keep_output))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _keep_input(self, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        self.inputs.append(args[0])
        self.branches.append({})

    def _keep_output(self, _: nn.Module, __: object, output: Tensor) -> None:
        self.output = output

    def _keep_heads(self, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        self.heads.append(args[0])

    def _keeper(self, name: str) -> Callable[..., None]:
        def keep(_: nn.Module, __: object, output: Tensor) -> None:
            self.branches[-1][name] = output

        return keep


def _split(
    recorded: _Recorded, of_outputs: Sequence[Tensor | None], of_heads: Sequence[Tensor | None]
) -> dict[str, float]:
    """The mean over the blocks of what each kind of layer adds to the logit: its output times the block's gradient."""
    sums: dict[str, float] = defaultdict(float)
    count = len(recorded.inputs)
    for branches, gradient in zip(recorded.branches, of_outputs, strict=True):
        for name, added in branches.items():
            sums[name] += 0.0 if gradient is None else float((added * gradient).sum()) / count
    for heads, gradient in zip(recorded.heads, of_heads, strict=True):
        if gradient is not None:
            time, space = (heads * gradient).sum(dim=tuple(range(heads.ndim - 1))).chunk(2)
            sums["time"] += float(time.sum()) / count
            sums["space"] += float(space.sum()) / count
    return dict(sums)


def _tensors(twin: ViViT) -> dict[str, Tensor]:
    return {**dict(twin.named_parameters()), **dict(twin.named_buffers())}


def _stage(name: str, encoder: Encoder, twin: ViViT) -> int:
    """The last block input that this parameter is added behind: 0 for positions, the block's number, or the last."""
    own = "spatial_encoder." if twin.config.variant == "factorised_encoder" else "encoder."
    if not name.startswith(own):
        return len(encoder.blocks)
    first, _, rest = name.removeprefix(own).partition(".")
    if first == "blocks":
        return int(rest.partition(".")[0])
    return 0 if first in ("positions", "cls", "input_norm") else len(encoder.blocks)


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
