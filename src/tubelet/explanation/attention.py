"""Two methods that look at attention matrices: rollout, and LeGrad. One layer's matrix is in memory at a time."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.explanation.attribution import Attribution, Progress, each_view, no_progress
from tubelet.explanation.balanced_model import without_gradients
from tubelet.explanation.target import Target
from tubelet.model import ViViT
from tubelet.nn.attention import (
    AxisAttention,
    DotProduct,
    FactorisedDotProductAttention,
    SelfAttention,
)
from tubelet.nn.blocks import FactorisedSelfAttentionBlock
from tubelet.nn.encoder import Encoder
from tubelet.nn.recording import record_attention

ATTENTIONS = (SelfAttention, AxisAttention, FactorisedDotProductAttention)


def rollout(
    model: ViViT,
    video: Float[Tensor, "V T C H W"],
    frame_mask: Bool[Tensor, "V T"] | None,
    target: Target,
    progress: Progress = no_progress,
) -> Attribution:
    """Attention rollout (Abnar and Zuidema, ACL 2020): how far attention leads from the pooled vector to each token.

    It is the same for every class. It has no unit: a map sums to 1 or, with a class token, to less. A block's matrix is
    half the identity, half the mean of its heads; a factorised block has one for each axis. The row of the pooled
    vector goes through them from the last block to the first, so that their product is never formed.
    """
    maps, logit = [], 0.0
    for view, clip, mask in each_view(video, frame_mask):
        with torch.no_grad():
            maps.append(_rollout(model, clip, mask))
            logit += float(target.of(model(clip, mask))) / len(video)
        progress(view + 1, len(video))
    return Attribution(torch.stack(maps), logit)


def _rollout(model: ViViT, video: Tensor, frame_mask: Tensor | None) -> Tensor:
    tokens = model.embed(video, frame_mask)
    time_mask = model._time_mask(frame_mask)
    size = (tokens.shape[1], tokens.shape[2], tokens.shape[3])
    if model.config.variant != "factorised_encoder":
        row = _back(model.encoder, tokens, time_mask, None)
        return row.reshape(size)
    frames = tokens.flatten(0, 1).unsqueeze(1)
    weight = tokens.new_full((size[0],), 1 / size[0])
    if model.config.temporal_layers:
        weight = _back(model.temporal_encoder, model.encode_space(tokens)[:, :, None, None], time_mask, None).flatten()
    elif time_mask is not None:
        weight = time_mask[0].to(tokens.dtype) / time_mask.sum()
    return _back(model.spatial_encoder, frames, None, weight).reshape(size)


def _back(encoder: Encoder, tokens: Tensor, time_mask: Tensor | None, weight: Tensor | None) -> Tensor:
    """[B, t * h * w]: what each token is worth to the pooled vector, without the class token."""
    inputs: list[tuple[Tensor, Tensor | None]] = []

    def keep(_: nn.Module, args: tuple[Tensor, Tensor | None]) -> None:
        inputs.append(args)

    handles = [block.register_forward_pre_hook(keep) for block in encoder.blocks]
    try:
        pooled_of = encoder(tokens, time_mask)
    finally:
        for handle in handles:
            handle.remove()
    row = _pooling_row(encoder, pooled_of, time_mask)
    if weight is not None:
        row = row * weight[:, None]
    for block, (x, mask) in zip(reversed(encoder.blocks), reversed(inputs), strict=True):
        row = _through(block, x, mask, row)
    return row[:, 1:] if encoder.cls is not None else row


def _pooling_row(encoder: Encoder, tokens: Tensor, time_mask: Tensor | None) -> Tensor:
    """[B, N]: the share of each token in the pooled vector."""
    batch, count, _ = tokens.shape
    if encoder.pooling in ("cls", "first"):
        row = tokens.new_zeros(batch, count)
        first = 0
        if encoder.pooling == "first" and time_mask is not None:
            first = int(time_mask.int().argmax()) * (count // time_mask.shape[1])
        row[:, first] = 1
        return row
    real = tokens.new_ones(batch, count, dtype=torch.bool)
    if time_mask is not None:
        real = time_mask.repeat_interleave(count // time_mask.shape[1], dim=1)
    if encoder.pooling == "max":
        chosen = tokens.masked_fill(~real[:, :, None], float("-inf")).argmax(dim=1)
        return torch.stack([torch.bincount(one, minlength=count) for one in chosen]).to(tokens.dtype) / chosen.shape[1]
    return real.to(tokens.dtype) / real.sum(dim=1, keepdim=True)


def _through(block: Any, x: Tensor, mask: Tensor | None, row: Tensor) -> Tensor:
    """The row in front of a block, from the row behind it."""
    if not isinstance(block, FactorisedSelfAttentionBlock):
        attention = _known(block.attention)
        weights = _weights(attention, block.norm_attention(x), mask)
        if isinstance(attention, FactorisedDotProductAttention):
            shape = (len(x), x.shape[1], x.shape[2])
            over_time = _over_time(row, weights["time"], shape)
            return 0.5 * row + 0.25 * over_time + 0.25 * _over_space(row, weights["space"], shape)
        return 0.5 * row + 0.5 * torch.einsum("bm,bmn->bn", row, weights["dot_product"])
    given = [x]
    for norm, attention in block.branches():
        given.append(given[-1] + attention(norm(given[-1]), mask))
    for (norm, attention), before in zip(reversed(block.branches()), reversed(given[:-1]), strict=True):
        matrices = _weights(_known(attention), norm(before), mask)["dot_product"]
        over = _over_space if attention.axis == "space" else _over_time
        row = 0.5 * row + 0.5 * over(row, matrices, (len(x), x.shape[1], x.shape[2]))
    return row


def _over_space(row: Tensor, weights: Tensor, shape: tuple[int, int, int]) -> Tensor:
    return torch.einsum("bm,bmn->bn", row.reshape(-1, shape[2]), weights).reshape(row.shape)


def _over_time(row: Tensor, weights: Tensor, shape: tuple[int, int, int]) -> Tensor:
    columns = row.view(shape).transpose(1, 2).reshape(-1, shape[1])
    moved = torch.einsum("bm,bmn->bn", columns, weights)
    return moved.view(shape[0], shape[2], shape[1]).transpose(1, 2).reshape(row.shape)


def _weights(attention: nn.Module, x: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
    """Attention weights [B', N, N] by the name of the dot product, the mean of the heads."""
    with record_attention(attention) as recorded:
        attention(x, mask)
        return {name: weights.mean(dim=1) for name, weights in recorded.items()}


def _known(attention: nn.Module) -> Any:
    if type(attention) not in ATTENTIONS:
        raise ConfigError(
            f"rollout and legrad need the library's attention, and {type(attention).__name__} is another; use "
            "method='occlusion', 'rise' or 'integrated_gradients'"
        )
    return attention


class RecordingDotProduct(DotProduct):
    """Attention on the manual path, whose weights are a leaf of the graph.

    Attributes:
        weights: [B, H, N, N] of the last call.
    """

    weights: Tensor

    def forward(
        self,
        query: Float[Tensor, "B H M c"],
        key: Float[Tensor, "B H N c"],
        value: Float[Tensor, "B H N c"],
        mask: Bool[Tensor, "B N"] | None = None,
    ) -> Float[Tensor, "B H M c"]:
        with torch.no_grad():
            scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
            if mask is not None:
                scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
            self.weights = scores.softmax(dim=-1)
        self.weights.requires_grad_()
        return self.weights @ value


def legrad(
    model: ViViT,
    video: Float[Tensor, "V T C H W"],
    frame_mask: Bool[Tensor, "V T"] | None,
    target: Target,
    progress: Progress = no_progress,
) -> Attribution:
    """LeGrad (Bousselham et al., ICCV 2025): where more attention, in any layer, would raise the logit. Model 1 alone.

    Each layer's output is pooled and classified as the last one's is. The gradient of that logit with respect to the
    layer's attention weights, negative values left out, is averaged over heads and queries; layers are added. Only
    support is shown, without a unit.
    """
    if model.config.variant != "spatio_temporal":
        raise ConfigError(
            f"method='legrad' is for variant='spatio_temporal', and this model is {model.config.variant!r}; use "
            "method='balanced'"
        )
    twin = without_gradients(model)
    maps, logit = [], 0.0
    for view, clip, mask in each_view(video, frame_mask):
        heat, one = _legrad(twin, clip, mask, target)
        maps.append(heat)
        logit += one / len(video)
        progress(view + 1, len(video))
    return Attribution(torch.stack(maps), logit)


def _legrad(twin: ViViT, video: Tensor, frame_mask: Tensor | None, target: Target) -> tuple[Tensor, float]:
    encoder, time_mask = twin.encoder, twin._time_mask(frame_mask)
    with torch.no_grad():
        tokens = twin.embed(video, frame_mask)
        x, mask = encoder.before_blocks(tokens, time_mask)
    size = (tokens.shape[1], tokens.shape[2], tokens.shape[3])
    heat = x.new_zeros(x.shape[1])
    for block in encoder.blocks:
        attention = _known(block.attention)  # type: ignore[arg-type]
        fused = attention.dot_product
        attention.dot_product = recording = RecordingDotProduct()
        try:
            with torch.enable_grad():
                x = block(x, mask)
                behind = encoder.weigh(encoder.after_blocks(x), size)
                logit = target.of(twin.classify(encoder.pool(behind, time_mask))).sum()
                (gradient,) = torch.autograd.grad(logit, recording.weights)
        finally:
            attention.dot_product = fused
        heat += gradient[0].clamp_(min=0).mean(dim=(0, 1))
        x = x.detach()
    heat = heat[1:] if encoder.cls is not None else heat
    return heat.reshape(size), float(logit.detach())
