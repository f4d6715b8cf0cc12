"""How the weights of a new model are drawn."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tubelet.nn.attention import FactorisedDotProductAttention, SelfAttention
from tubelet.nn.blocks import MLP
from tubelet.nn.embedding import TubeletEmbedding
from tubelet.nn.encoder import Encoder
from tubelet.nn.pooling import PositionalPooling

HEAD_STD = 0.02


@torch.no_grad()
def initialise_parameters(model: nn.Module, residual_init: float = 1.0) -> None:
    """Draw every parameter of `model` as Scenic, the reference code, does, with one exception.

    - attention: Xavier-uniform kernels, each of query, key, value and output on its own; biases 0
    - MLP: Xavier-uniform kernels; biases normal with standard deviation 1e-6
    - tubelet and stem kernels: normal, truncated at two standard deviations, variance 1 / fan-in; biases 0
    - class tokens 0; learned positions normal with standard deviation 0.02
    - LayerNorm: scale 1, bias 0; BatchNorm sets these itself
    - factors of positional pooling: normal with mean 1 and standard deviation 1
    - heads: normal with standard deviation 0.02, biases 0. Scenic starts them at 0, and with a head of 0 no other
      parameter gets a gradient from the first batch.

    On the meta device, which holds no values, nothing is drawn: torch would import its compiler.

    Args:
        model: any module.
        residual_init: factor on the kernels of the attention's output and of the MLP's second layer.
    """
    if _is_meta(model):
        return
    for module in model.modules():
        if isinstance(module, SelfAttention | FactorisedDotProductAttention):
            for kernel in (*module.qkv.weight.chunk(3), module.out.weight):
                nn.init.xavier_uniform_(kernel)
            module.out.weight.mul_(residual_init)
            nn.init.zeros_(module.qkv.bias)
            nn.init.zeros_(module.out.bias)
        elif isinstance(module, MLP):
            for linear in (module.fc1, module.fc2):
                nn.init.xavier_uniform_(linear.weight)
                nn.init.normal_(linear.bias, std=1e-6)
            module.fc2.weight.mul_(residual_init)
        elif isinstance(module, TubeletEmbedding | nn.Conv3d):
            _truncated_lecun_normal(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, Encoder):
            if module.cls is not None:
                nn.init.zeros_(module.cls)
            for positions in module.positions.parameters():
                nn.init.normal_(positions, std=0.02)
        elif isinstance(module, PositionalPooling):
            nn.init.normal_(module.grid, mean=1.0, std=1.0)


@torch.no_grad()
def scale_residual_branches(model: nn.Module, factor: float) -> None:
    """Multiply the output layer (weight and bias) of every attention and MLP by a factor."""
    for module in model.modules():
        if isinstance(module, SelfAttention | FactorisedDotProductAttention | MLP):
            last = module.fc2 if isinstance(module, MLP) else module.out
            last.weight.mul_(factor)
            last.bias.mul_(factor)


def initialise_head(head: nn.Module) -> None:
    """Draw new linear heads, as `initialise_parameters` describes."""
    if _is_meta(head):
        return
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=HEAD_STD)
            nn.init.zeros_(module.bias)


def _is_meta(module: nn.Module) -> bool:
    return any(parameter.is_meta for parameter in module.parameters())


def _truncated_lecun_normal(kernel: Tensor) -> None:
    fan_in = kernel[0].numel()
    # 0.8796... is the standard deviation of a unit normal truncated at +-2: dividing restores the intended variance
    std = 1 / math.sqrt(fan_in) / 0.87962566103423978
    nn.init.trunc_normal_(kernel, std=std, a=-2 * std, b=2 * std)
