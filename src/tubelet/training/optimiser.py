"""The optimiser and its parameter groups: weight decay and layer-wise learning rate decay."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from tubelet.config import OptimisationConfig
from tubelet.model import ViViT
from tubelet.training.adapters import RATE, is_adapter
from tubelet.training.parallel import shard_like


def make_optimiser(model: nn.Module, config: OptimisationConfig) -> torch.optim.Optimizer:
    """AdamW or SGD over `parameter_groups`."""
    groups = parameter_groups(model, config.weight_decay, config.layer_decay, config.pooling_rate)
    if config.optimiser == "adamw":
        device = next(model.parameters()).device
        fused = device.type in ("cpu", "cuda")  # one kernel for all parameters; mps has none for every type
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)
    return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)


def load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """`load_state_dict` of full tensors, for an optimiser over parameters that may be sharded."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    parts = {
        number: {name: shard_like(value, parameters[number]) for name, value in values.items()}
        for number, values in state["state"].items()
    }
    optimiser.load_state_dict({**state, "state": parts})


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of every group: `rate` times the group's own factor, if it has one."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("rate_factor", 1.0)


def add_new_parameters(optimiser: torch.optim.Optimizer, model: nn.Module, config: OptimisationConfig) -> None:
    """Add the trainable parameters that the optimiser does not have yet, in groups of their own behind the others."""
    known = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
    for group in parameter_groups(model, config.weight_decay, config.layer_decay, config.pooling_rate):
        new = [parameter for parameter in group["params"] if id(parameter) not in known]
        if new:
            optimiser.add_param_group({**group, "params": new})


def parameter_groups(
    model: nn.Module, weight_decay: float, layer_decay: float | None = None, pooling_rate: float = 1.0
) -> list[dict[str, Any]]:
    """The trainable parameters, grouped by weight decay and by learning rate.

    No weight decay on biases, norms, positions, class tokens and weights of pooling. With `layer_decay` r, a parameter
    at depth k of n learns at r^(n - k) of the rate: embedding and positions are depth 0, blocks follow, the last norm,
    the weights of pooling and the heads are depth n (Clark et al., 2020; as in BEiT). The temporal encoder of model 2
    follows on the spatial one. Adapters learn at `tubelet.training.adapters.RATE` times the rate, at any depth.

    Args:
        model: a ViViT; without `layer_decay`, any module.
        weight_decay: of the parameters that have one.
        layer_decay: r; None for the same rate everywhere.
        pooling_rate: factor on the rate of the weights of pooling.

    Returns:
        groups for a torch optimiser, each with `params`, `weight_decay` and `rate_factor`.
    """
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        factor = pooling_rate if _is_of_pooling(name) else 1.0
        if layer_decay is not None:
            assert isinstance(model, ViViT)
            factor *= layer_decay ** (_num_depths(model) - _depth(name, model))
        if is_adapter(name):
            factor = RATE
        decays = _decays(name, parameter)
        group = groups.setdefault(
            (factor, decays),
            {"params": [], "weight_decay": weight_decay if decays else 0.0, "rate_factor": factor},
        )
        group["params"].append(parameter)
    return list(groups.values())


def _is_of_pooling(name: str) -> bool:
    return re.search(r"(^|\.)pool_weights(\.|$)", name) is not None


def _decays(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1 and not _is_of_pooling(name) and not re.search(r"(^|\.)(cls|positions)(\.|$)", name)


def _num_depths(model: ViViT) -> int:
    return model.config.num_layers + (model.config.temporal_layers or 0) + 1


def _depth(name: str, model: ViViT) -> int:
    """Blocks that stand before this parameter, plus one inside a block; 0 in the embedding."""
    before = model.config.num_layers if name.startswith("temporal_encoder.") else 0
    block = re.search(r"encoder\.blocks\.(\d+)\.", name)
    if block:
        return before + int(block[1]) + 1
    if re.search(r"encoder\.(norm|pool_weights)\.", name):
        own = model.config.temporal_layers or 0 if before else model.config.num_layers
        last = before + own == _num_depths(model) - 1
        return before + own + last
    return _num_depths(model) if name.startswith("head.") else before
