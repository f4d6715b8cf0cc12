"""Speed: modules with the names, the parameters and the results of `tubelet.nn`'s, computed in another way.

`tubelet.optimise` makes the fastest exact form of a model, for inference or for training; `merge_tokens` one that is
less exact. Nothing here changes a model: what it gives shares the model's parameters.
"""

from __future__ import annotations

from typing import Literal, overload

from tubelet.errors import ConfigError
from tubelet.fast.evaluating import Evaluating
from tubelet.fast.merging import MergingViViT, merge_tokens
from tubelet.fast.openvino import OpenVINOViViT
from tubelet.fast.optimised import OptimisedViViT
from tubelet.fast.training import TrainingViViT, training_form
from tubelet.model import ViViT

__all__ = [
    "Evaluating",
    "OpenVINOViViT",
    "OptimisedViViT",
    "TrainingViViT",
    "merge_tokens",
    "optimise",
    "training_form",
]

BACKENDS = {"torch": OptimisedViViT, "openvino": OpenVINOViViT}


@overload
def optimise(model: ViViT, backend: str = ..., training: Literal[False] = ...) -> OptimisedViViT: ...
@overload
def optimise(model: ViViT, backend: str = ..., *, training: Literal[True]) -> TrainingViViT: ...
def optimise(model: ViViT, backend: str = "torch", training: bool = False) -> OptimisedViViT | TrainingViViT:
    """The same function, in its fastest exact form here.

    Args:
        model: stays as it is. Its weights are shared, not copied: a later change of them shows in both.
        backend: `torch`, with its own kernels; or `openvino`, whose compiler is a little faster on some CPUs
            (docs/performance.md) and takes seconds for the first batch of each shape. It compiles `forward` for whole
            clips in float32, with the weights as they are then: see `OpenVINOViViT`.
        training: the form for a training loop of your own on a CPU: a hand-written backward pass, which keeps less.
            `tubelet train` uses it by itself. Gradients are those of the model up to rounding; there are no second
            ones.

    Returns:
        a `ViViT` with the call and the methods of `model`, for inference alone (nothing it gives can be differentiated)
        or for training. Logits are those of `model` up to rounding (1e-5 of their size). On other devices than the CPU,
        for inference under autocast, where tokens are merged, and in a block with a layer that was replaced, subclassed
        or hooked, it computes as `model` does. The result is not moved or cast; `model` is.

    Raises:
        ConfigError: an unknown backend, or one that is not installed; a subclass of `ViViT`; later, when a form for
            inference is put in training mode.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"backend={backend!r} is unknown; it is one of {', '.join(BACKENDS)}")
    if type(model) not in (ViViT, MergingViViT):
        raise ConfigError(f"expected a ViViT, got a {type(model).__name__}, which may compute something else")
    if not training:
        return BACKENDS[backend](model)
    if backend != "torch":
        raise ConfigError(f"backend={backend!r} is for inference; leave it out with training=True")
    return TrainingViViT(model)
