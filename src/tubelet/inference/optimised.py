"""A model in its fastest exact form for inference that torch's own kernels give.

The weights are the model's own, nothing is folded, packed or rounded, and what is computed is what the model computes.
What is saved is passes over memory: the residual is added to in place by the products themselves, an activation
overwrites its input and adds the bias before it on the way, so does what lays long sequences out for attention, and all
of it goes through the tokens in pieces that stay in the cache and in memory that is at hand.
docs/performance.md has what each of these brings.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.inference import pieces
from tubelet.inference.attention import add_attention, add_product, attention_of_first
from tubelet.model import ViViT
from tubelet.nn.activations import activate
from tubelet.nn.attention import (
    AxisAttention,
    DotProduct,
    FactorisedDotProductAttention,
    SelfAttention,
    takes_manual_path,
)
from tubelet.nn.blocks import MLP, Block, DropPath, FactorisedSelfAttentionBlock
from tubelet.nn.encoder import Encoder
from tubelet.nn.products import merge_heads
from tubelet.nn.untouched import is_untouched

PARTS = {
    *(Block, FactorisedSelfAttentionBlock, MLP, DropPath, DotProduct),
    *(SelfAttention, AxisAttention, FactorisedDotProductAttention),
    *(nn.Linear, nn.LayerNorm, nn.Dropout),
}
"""What blocks are made of. A block with anything else in it, an adapter for instance, computes as it does itself."""


class OptimisedViViT(ViViT):
    """What `optimise` gives. Its parameters have the names of the model's and are the same objects.

    Args:
        model: stays as it is.
    """

    def __init__(self, model: ViViT) -> None:
        nn.Module.__init__(self)
        same = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
        self.config = model.config
        self.preprocessing = model.preprocessing
        self.labels = model.labels
        self.provenance = model.provenance
        self.load_report = model.load_report
        for name, child in model.named_children():
            self.add_module(name, copy.deepcopy(child, same))
        for encoder in [module for module in self.modules() if type(module) is Encoder]:
            encoder.blocks = nn.ModuleList([InferenceBlock(b) if _is_plain(b) else b for b in encoder.blocks])
        self.eval()

    def train(self, mode: bool = True) -> OptimisedViViT:
        """Evaluation mode alone.

        Raises:
            ConfigError: `mode` is True.
        """
        if mode:
            raise ConfigError("an optimised model is for inference; train the model that it was made from")
        super().train(False)
        return self

    forward = torch.no_grad()(ViViT.forward)
    forward_features = torch.no_grad()(ViViT.forward_features)
    forward_head = torch.no_grad()(ViViT.forward_head)
    embed = torch.no_grad()(ViViT.embed)
    encode_tokens = torch.no_grad()(ViViT.encode_tokens)
    encode_space = torch.no_grad()(ViViT.encode_space)
    encode_times = torch.no_grad()(ViViT.encode_times)
    forward_times = torch.no_grad()(ViViT.forward_times)
    classify = torch.no_grad()(ViViT.classify)


class InferenceBlock(nn.Module):
    """A block of any of the four models, without what autograd needs. It overwrites the tokens that it is given.

    Args:
        block: has `branches()`, its attentions with their norms, and `norm_mlp` and `mlp`.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        assert isinstance(block, Block | FactorisedSelfAttentionBlock)
        for name, child in block.named_children():
            self.add_module(name, child)
        self._block = (block,)  # in a tuple, lest its parameters have two names

    def forward(
        self, x: Float[Tensor, "B *tokens D"], mask: Bool[Tensor, "B _"] | None = None, queries: int | None = None
    ) -> Float[Tensor, "B *_ D"]:
        """As the block's own."""
        (block,) = self._block
        wanted = () if queries is None else (queries,)
        if x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return block(x, mask, *wanted)
        x = x.contiguous()
        for norm, attention in block.branches():
            if takes_manual_path(attention):
                parts = attention.attend(x, mask, *wanted, norm=norm)  # somebody wants to see the weights
                x = x if queries is None else x[:, :queries].contiguous()
                add_product(x, attention.out, [merge_heads(part) for part in parts])
            elif queries is None:
                add_attention(x, norm, attention, mask)
            else:
                x = attention_of_first(x, norm, attention, mask, queries)
        _add_mlp(x.view(-1, x.shape[-1]), block.norm_mlp, block.mlp)
        return x


def _is_plain(block: nn.Module) -> bool:
    """Whether nobody replaced a layer of it, hooked on to one, or gave one a `forward` of its own."""
    return all(type(module) in PARTS and is_untouched(module) for module in block.modules())


def _add_mlp(x: Float[Tensor, "N D"], norm: nn.LayerNorm, mlp: MLP) -> None:
    room = x.new_empty(min(len(x), pieces.ROWS), mlp.fc1.out_features)
    for piece in pieces.even(len(x), pieces.ROWS):
        rows = x[piece]
        hidden = torch.mm(norm(rows), mlp.fc1.weight.T, out=room[: len(rows)])
        activate(hidden, mlp.fc1.bias, mlp.activation)
        add_product(rows, mlp.fc2, (hidden,))
