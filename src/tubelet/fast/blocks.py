"""The base of the fast forms of a block and of an encoder, and when they leave the work to the plain block."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.fast.hooks import has_no_hooks, no_global_hooks
from tubelet.fast.short_sequences import without_bfloat16
from tubelet.nn.attention import (
    AxisAttention,
    DotProduct,
    FactorisedDotProductAttention,
    SelfAttention,
    merge_heads,
    split_heads,
)
from tubelet.nn.blocks import MLP, Block, DropPath, FactorisedSelfAttentionBlock
from tubelet.nn.encoder import Encoder

BLOCKS = (Block, FactorisedSelfAttentionBlock)

PARTS: dict[str, tuple[type[nn.Module], ...]] = {
    "": BLOCKS,
    "attention": (SelfAttention, FactorisedDotProductAttention),
    "space": (AxisAttention, DotProduct),
    "time": (AxisAttention, DotProduct),
    "mlp": (MLP,),
    "drop_path": (DropPath,),
    "dot_product": (DotProduct,),
    "dropout": (nn.Dropout,),
    **dict.fromkeys(("norm_attention", "norm_space", "norm_time", "norm_mlp"), (nn.LayerNorm,)),
    **dict.fromkeys(("qkv", "out", "fc1", "fc2"), (nn.Linear,)),
}
"""Types of a block's modules by name. A block with any other module, an adapter for instance, is called as it is."""

PLAIN = (Tensor, nn.Parameter)
"""Not subclasses of tensors, as quantised and sharded ones are."""


class FastBlock(nn.Module, ABC):
    """The modules of a block under the same names, computed in another way where `pays`, else by the block itself.

    Args:
        block: one of `BLOCKS`.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        for name, child in block.named_children():
            self.add_module(name, child)
        self._block = (block,)  # in a tuple, so that its parameters do not get a second name

    @property
    def block(self) -> Block | FactorisedSelfAttentionBlock:
        """The block itself."""
        (block,) = self._block
        assert isinstance(block, Block | FactorisedSelfAttentionBlock)
        return block

    def forward(
        self, x: Float[Tensor, "B *tokens D"], mask: Bool[Tensor, "B _"] | None = None
    ) -> Float[Tensor, "B *tokens D"]:
        """As the block's own."""
        return self.compute(x, mask) if self.pays(x) else self.block(x, mask)

    def pays(self, x: Tensor) -> bool:
        """Whether `compute` is used: on a CPU, without a compiler, and only if the block is plain."""
        if x.device.type != "cpu" or torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
            return False
        return type(x) in PLAIN and self.is_plain()

    def is_plain(self) -> bool:
        """Whether no part was replaced, subclassed, hooked or quantised, and no attention is recorded."""
        return no_global_hooks() and has_no_hooks(self) and _is_plain("", self.block)

    @abstractmethod
    def compute(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The block, fast."""

    def first(self, x: Float[Tensor, "B N D"], mask: Bool[Tensor, "B N"] | None = None) -> Float[Tensor, "B 1 D"]:
        """The first token of the block's output: query, output layer and MLP of this token alone. On any device."""
        block, dim = self.block, x.shape[-1]
        ((norm, attention),) = block.branches()
        normed = norm(x)
        weight, bias = attention.qkv.weight.split((dim, 2 * dim)), attention.qkv.bias.split((dim, 2 * dim))
        query = F.linear(normed[:, :1], weight[0], bias[0])
        key, value = F.linear(normed, weight[1], bias[1]).chunk(2, dim=-1)
        heads = [split_heads(part, attention.num_heads) for part in (query, key, value)]
        with without_bfloat16(heads, x.shape[1]) as exact:
            attended = attention.dot_product(*exact, mask)
        first = x[:, :1] + block.drop_path(attention.dropout(attention.out(merge_heads(attended))))
        return first + block.drop_path(block.mlp(block.norm_mlp(first)))


class FastEncoder(Encoder):
    """An encoder of fast blocks: if the class token is pooled, the last block computes that token alone."""

    def forward_pooled(self, tokens: Tensor, time_mask: Tensor | None = None, kept: Tensor | None = None) -> Tensor:
        """As `Encoder.forward_pooled`."""
        *before, last = self.blocks
        if self.cls is None or not isinstance(last, FastBlock) or not last.is_plain() or not has_no_hooks(self):
            return super().forward_pooled(tokens, time_mask, kept)
        x, mask = self.before_blocks(tokens, time_mask, kept)
        for block in before:
            x = self.run_block(block, x, mask)
        x = self.run_block(last.first, x, mask)
        return self.pool(self.after_blocks(x), time_mask)


def _is_plain(name: str, module: nn.Module | None) -> bool:
    if module is None or type(module) not in PARTS.get(name, ()) or not has_no_hooks(module):
        return False
    if isinstance(module, nn.Linear | nn.LayerNorm):
        return type(module.weight) in PLAIN and type(module.bias) in PLAIN
    if isinstance(module, DotProduct) and not module.fused:
        return False
    return all(_is_plain(child, part) for child, part in module._modules.items())
