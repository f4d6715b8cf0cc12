"""A model in its fastest exact form for inference that torch's own kernels give.

The weights are the model's own, nothing is folded, packed or rounded, and what is computed is what the model computes.
What is saved is passes over memory: the residual is added to in place by the products themselves, an activation
overwrites its input, the MLP and attention over short sequences go through the tokens in pieces that stay in the cache
and in memory that is at hand, and attention along the axes of the grid reads and writes tokens where they lie.
docs/performance.md has what each of these brings.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import repeat

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.model import ViViT
from tubelet.nn.activations import Activation, gelu, gelu_tanh
from tubelet.nn.attention import AxisAttention, DotProduct, SelfAttention
from tubelet.nn.blocks import Block, FactorisedSelfAttentionBlock
from tubelet.nn.encoder import Encoder

ROWS = 1024
"""Tokens of one piece of the MLP, and of attention where its sequences are shorter."""

ACTIVATION_ROWS = 64
"""Tokens of one piece of the activation."""

CONTIGUOUS_FROM = 512
"""Length of a sequence from which copying keys and values pays."""


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
        self.load_report = model.load_report
        for name, child in model.named_children():
            self.add_module(name, copy.deepcopy(child, same))
        for encoder in [module for module in self.modules() if type(module) is Encoder]:
            encoder.blocks = nn.ModuleList([InferenceBlock(block) for block in encoder.blocks])
        for module in self.modules():
            if isinstance(module, DotProduct):
                module.contiguous_from = CONTIGUOUS_FROM
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
            if queries is None:
                for piece, piece_mask in _pieces(attention, x, mask):
                    tokens = piece.contiguous()
                    _add_product(tokens, attention.out, attention.attend(norm(tokens), piece_mask))
                    if tokens is not piece:
                        piece.copy_(tokens)
            else:
                parts = attention.attend(norm(x), mask, *wanted)
                x = x[:, :queries].contiguous()
                _add_product(x, attention.out, parts)
        for rows in x.view(-1, x.shape[-1]).split(ROWS):
            hidden = block.mlp.fc1(block.norm_mlp(rows))
            activate(hidden, block.mlp.activation)
            _add_product(rows, block.mlp.fc2, (hidden,))
        return x


def _pieces(
    attention: nn.Module, x: Float[Tensor, "B *tokens D"], mask: Bool[Tensor, "B _"] | None
) -> Iterator[tuple[Float[Tensor, "_ *tokens D"], Bool[Tensor, "_ _"] | None]]:
    """Views of x, each with its mask: sequences that attend to none but themselves, about `ROWS` tokens of them.

    While attention is recorded it is one piece, since what is recorded is of all.
    """
    if not isinstance(attention, SelfAttention) or not attention.dot_product.fused:
        yield x, mask
    elif not isinstance(attention, AxisAttention):
        count = max(ROWS // x.shape[1], 1)
        masks = repeat(None) if mask is None else mask.split(count)
        yield from zip(x.split(count), masks, strict=False)
    elif attention.axis == "space":
        for piece in x.flatten(0, 1).split(max(ROWS // x.shape[2], 1)):
            yield piece[None], None
    else:
        for piece in x.split(max(ROWS // (x.shape[0] * x.shape[1]), 1), dim=2):
            yield piece, mask


def _add_product(x: Float[Tensor, "*rest D"], linear: nn.Linear, parts: tuple[Float[Tensor, "*rest _"], ...]) -> None:
    """Add to x, in place, what `linear` makes of the parts side by side."""
    rows = x.view(-1, x.shape[-1])
    kernels = linear.weight.split([part.shape[-1] for part in parts], dim=1)
    for part, kernel in zip(parts, kernels, strict=True):
        rows.addmm_(part.reshape(-1, part.shape[-1]), kernel.T)
    rows.add_(linear.bias)


def activate(x: Float[Tensor, "N D"], activation: Activation) -> None:
    """Put the activation of x in its place.

    The tanh of `gelu_tanh` is written with a sigmoid, 0.5 (1 + tanh(u)) = sigmoid(2 u), whose kernel takes a third of
    the time: with p = 2 u / x, x sigmoid(2 u) = silu(x p) / p.
    """
    if activation is gelu:
        torch.ops.aten.gelu_(x)
    elif activation is gelu_tanh and x.dtype in (torch.float32, torch.float64):
        scale = 2 * (2 / torch.pi) ** 0.5
        constant = x.new_tensor(scale)
        for rows in x.split(ACTIVATION_ROWS):
            twice = torch.addcmul(constant, rows, rows, value=0.044715 * scale)
            F.silu(rows.mul_(twice), inplace=True).div_(twice)
    else:
        x.copy_(activation(x))
