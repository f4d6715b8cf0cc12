"""A model in its fastest exact form for inference with torch's kernels.

The weights are the model's; nothing is folded, packed or rounded. Time is saved in passes over memory: matrix products
accumulate into the residual in place, an activation adds the bias and overwrites its input, adding the bias of query,
key and value also changes their layout, and all of this goes over tiles of tokens that stay in the cache.
docs/performance.md has what each of these brings.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.fast import tiles
from tubelet.fast.attention import add_attention, add_product, first_with_attention
from tubelet.fast.blocks import BLOCKS, FastBlock, FastEncoder
from tubelet.fast.gelu import activate
from tubelet.fast.hooks import has_no_hooks, no_global_hooks
from tubelet.fast.model import FastViViT, copy_sharing_tensors, require_unchanged
from tubelet.model import ViViT
from tubelet.nn.blocks import MLP
from tubelet.nn.encoder import Encoder


class OptimisedViViT(FastViViT):
    """A model that `optimise` returned. Its parameters have the names of the model's and are the same objects.

    Its call and its methods follow the model: when it is trained or moved, loads other weights, is reconfigured, or
    gets another head or layer.

    Args:
        model: is not changed.

    Attributes:
        precision_report: why `tubelet.optimise(model, precision="auto")` took this precision; None otherwise.
    """

    precision_report: str | None = None

    def __init__(self, model: ViViT) -> None:
        nn.Module.__init__(self)
        self._source = (model,)  # in a tuple, so that its parameters do not get a second name
        self._made_of: list[object] = []
        self.follow()

    def follow(self) -> None:
        """Take over layers, parameters and configuration that were replaced in the model. Every call does so."""
        (model,) = self._source
        described = {
            name: getattr(model, name)
            for name in ("config", "preprocessing", "labels", "operating_points", "provenance")
        }
        parts: list[object] = [*described.values()]
        for module in model.modules():
            parts += (module, *module._parameters.values(), *module._buffers.values())
        if len(parts) == len(self._made_of) and all(map(operator.is_, parts, self._made_of)):
            return
        vars(self).update(described, load_report=model.load_report, training=False)
        self._modules = {name: _inference_form(copy_sharing_tensors(child)) for name, child in model.named_children()}
        self._made_of = parts

    def train(self, mode: bool = True) -> OptimisedViViT:
        """Evaluation mode alone.

        Raises:
            ConfigError: `mode` is True.
        """
        if mode:
            raise ConfigError("an optimised model is for inference; train the model that it was made from")
        super().train(False)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> OptimisedViViT:
        require_unchanged(self, fn)
        return self


class InferenceEncoder(FastEncoder):
    """An encoder of `InferenceBlock`s, which overwrite their input: they get a copy if a hook may have kept it."""

    _watched = False

    def before_blocks(self, *inputs: Any) -> tuple[Tensor, Tensor | None]:
        """See `Encoder.before_blocks`."""
        blocks = [block.block if isinstance(block, FastBlock) else block for block in self.blocks]
        watched = (self.positions, self.dropout, self.input_norm, *self.blocks, *blocks)
        self._watched = not (no_global_hooks() and all(map(has_no_hooks, watched)))
        return super().before_blocks(*inputs)

    def run_block(self, block: Callable[..., Tensor], x: Tensor, mask: Tensor | None) -> Tensor:
        """See `Encoder.run_block`."""
        return super().run_block(block, x.clone() if self._watched else x, mask)


class InferenceBlock(FastBlock):
    """A block of any of the four models, outside autograd. It overwrites its input."""

    def pays(self, x: Tensor) -> bool:
        """See `FastBlock`; and without autocast."""
        return not torch.is_autocast_enabled("cpu") and super().pays(x)

    def compute(
        self, x: Float[Tensor, "B *tokens D"], mask: Bool[Tensor, "B _"] | None
    ) -> Float[Tensor, "B *tokens D"]:
        """The block, fast."""
        x = x.contiguous()
        for norm, attention in self.block.branches():
            add_attention(x, norm, attention, mask)
        return self._add_mlp(x)

    def first(self, x: Float[Tensor, "B N D"], mask: Bool[Tensor, "B N"] | None = None) -> Float[Tensor, "B 1 D"]:
        """The first token after the block, which attends to all."""
        if not self.pays(x):
            return super().first(x, mask)
        ((norm, attention),) = self.block.branches()
        return self._add_mlp(first_with_attention(x, norm, attention, mask))

    def _add_mlp(self, x: Float[Tensor, "B *tokens D"]) -> Float[Tensor, "B *tokens D"]:
        mlp, rows = cast(MLP, self.block.mlp), x.view(-1, x.shape[-1])
        buffer = x.new_empty(min(len(rows), tiles.TILE_TOKENS), mlp.fc1.out_features)
        for tile in tiles.even_tiles(len(rows), tiles.TILE_TOKENS):
            some = rows[tile]
            hidden = torch.mm(self.block.norm_mlp(some), mlp.fc1.weight.T, out=buffer[: len(some)])
            activate(hidden, mlp.fc1.bias, mlp.activation)
            add_product(some, mlp.fc2, (hidden,))
        return x


def _inference_form(module: nn.Module) -> nn.Module:
    for encoder in [each for each in module.modules() if type(each) is Encoder]:
        encoder.__class__ = InferenceEncoder  # adds no state
        encoder.blocks = nn.ModuleList([InferenceBlock(b) if type(b) in BLOCKS else b for b in encoder.blocks])
    return module.eval()


_CALL = threading.local()


def _following(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method without gradients. The outermost of such calls makes the form follow the model."""

    @wraps(method)
    @torch.no_grad()
    def call(self: OptimisedViViT, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return method(self, *args, **kwargs)
        outer = getattr(_CALL, "of", None)
        if outer is not self:
            self.follow()
        _CALL.of = self
        try:
            return method(self, *args, **kwargs)
        finally:
            _CALL.of = outer

    return call


METHODS = (
    *("forward", "forward_pooled", "forward_features", "forward_head", "forward_times", "classify"),
    *("embed", "encode_tokens", "encode_space", "encode_times", "pool_times"),
)
"""The call, and the methods for parts of a model."""

for _name in METHODS:
    setattr(OptimisedViViT, _name, _following(getattr(FastViViT, _name)))
