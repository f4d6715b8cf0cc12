"""The fastest form of blocks for training on a CPU, and of a whole model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import TypeVar, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.fast.blocks import BLOCKS, FastBlock, FastEncoder
from tubelet.fast.gelu import DERIVATIVES
from tubelet.fast.linear import activated_linear, heads_to_linear, normed_linear, plus
from tubelet.fast.model import FastViViT
from tubelet.fast.short_sequences import without_bfloat16
from tubelet.model import ViViT
from tubelet.nn.attention import AxisAttention, FactorisedDotProductAttention, SelfAttention
from tubelet.nn.blocks import MLP
from tubelet.nn.encoder import Encoder

M = TypeVar("M", bound=nn.Module)

FORMS: dict[type[nn.Module], type[nn.Module]] = {Encoder: FastEncoder, ViViT: FastViViT}


def training_form(module: M) -> M:
    """A form of a module that trains faster and with less memory on a CPU, with `TrainingBlock`s for blocks.

    Only modules that contain a block are new. All others are shared with `module`, with their parameters, gradients,
    hooks and modes. Save and evaluate `module`, not this form.
    """
    if type(module) in BLOCKS:
        return TrainingBlock(module)  # type: ignore[return-value]
    if type(module) not in FORMS and isinstance(module, Encoder | ViViT):
        return module  # a subclass may compute something else
    children = {name: child if child is None else training_form(child) for name, child in module._modules.items()}
    if all(child is module._modules[name] for name, child in children.items()):
        return module
    form = copy.copy(module)  # with the dictionaries of parameters, buffers and hooks of the module itself
    form._modules = children
    form.__class__ = FORMS.get(type(module), type(module))  # type: ignore[assignment]  # adds no state
    return form


class TrainingViViT(FastViViT):
    """A model that `optimise(model, training=True)` returned. Each call follows changes of `model`, mode included.

    Args:
        model: a ViViT, which is not changed.
    """

    def __init__(self, model: ViViT) -> None:
        nn.Module.__init__(self)
        self._source = (model,)  # in a tuple, so that its parameters do not get a second name
        self._follow()

    def _follow(self) -> None:
        """Take over layers, configuration, mode and checkpointing of the model."""
        vars(self).update(vars(training_form(self._source[0])))

    def forward_pooled(
        self, video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B D"]:
        """As `ViViT.forward_pooled`, of the model as it is now."""
        self._follow()
        return super().forward_pooled(video, frame_mask)

    def train(self, mode: bool = True) -> TrainingViViT:
        """Put the model in training or evaluation mode."""
        self._source[0].train(mode)
        self._follow()
        return self


class TrainingBlock(FastBlock):
    """A block with the hand-written backward pass of `tubelet.fast.linear`: 10 saved activations instead of 16."""

    def pays(self, x: Tensor) -> bool:
        """See `FastBlock`; and only with gradients, through an activation in `DERIVATIVES`."""
        if not torch.is_grad_enabled() or not super().pays(x):
            return False
        return self.block.mlp.activation in DERIVATIVES

    def compute(
        self, x: Float[Tensor, "B *tokens D"], mask: Bool[Tensor, "B _"] | None
    ) -> Float[Tensor, "B *tokens D"]:
        """The block, fast."""
        for norm, attention in self.block.branches():
            x = self._add(x, partial(_attention, attention, norm, x, mask))
        return self._add(x, partial(_mlp, cast(MLP, self.block.mlp), self.block.norm_mlp, x))

    def _add(self, x: Tensor, branch: Callable[[Tensor | None], Tensor]) -> Tensor:
        """`x + drop_path(branch)`, added in the branch's last matrix product if nothing is dropped."""
        drop_path = self.block.drop_path
        return x + drop_path(branch(None)) if drop_path.training and drop_path.rate else branch(x)


def _attention(
    attention: SelfAttention | FactorisedDotProductAttention,
    norm: nn.LayerNorm,
    x: Float[Tensor, "B *tokens D"],
    mask: Bool[Tensor, "B _"] | None,
    residual: Tensor | None,
) -> Tensor:
    """`residual + attention(norm(x), mask)`."""
    parts: tuple[Tensor, ...]
    along_axes = isinstance(attention, AxisAttention | FactorisedDotProductAttention)
    count = 6 if isinstance(attention, FactorisedDotProductAttention) else 3
    qkv = normed_linear(attention.qkv, x, norm, count, None if along_axes else attention.num_heads)
    with without_bfloat16(qkv, 0 if along_axes else x.shape[1]) as qkv:
        if isinstance(attention, FactorisedDotProductAttention):
            parts = attention.attend(qkv, mask)
        elif isinstance(attention, AxisAttention):
            parts = (attention.attend(qkv, mask),)
        else:
            parts = (attention.dot_product(*qkv, mask),)
    if _drops(attention.dropout):
        return plus(residual, attention.dropout(heads_to_linear(attention.out, parts)))
    return heads_to_linear(attention.out, parts, residual)


def _mlp(mlp: MLP, norm: nn.LayerNorm, x: Float[Tensor, "*rest D"], residual: Tensor | None) -> Tensor:
    """`residual + mlp(norm(x))`."""
    (hidden,) = normed_linear(mlp.fc1, x, norm)
    if _drops(mlp.dropout):
        return plus(residual, mlp.dropout(mlp.fc2(mlp.dropout(mlp.activation(hidden)))))
    return activated_linear(mlp.fc2, hidden, mlp.activation, residual)


def _drops(dropout: nn.Dropout) -> bool:
    return dropout.training and dropout.p > 0
