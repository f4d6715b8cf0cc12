"""`tubelet.optimise`: a model in its fastest exact form for inference here."""

from __future__ import annotations

from tubelet.errors import ConfigError
from tubelet.inference.evaluating import Evaluating
from tubelet.inference.openvino import OpenVINOViViT
from tubelet.inference.optimised import OptimisedViViT
from tubelet.model import ViViT

__all__ = ["Evaluating", "OpenVINOViViT", "OptimisedViViT", "optimise"]

BACKENDS = {"torch": OptimisedViViT, "openvino": OpenVINOViViT}


def optimise(model: ViViT, backend: str = "torch") -> OptimisedViViT:
    """The same function, in its fastest exact form for inference here.

    Args:
        model: stays as it is. Its weights are shared, not copied: a later change of them shows in both.
        backend: `torch`, with its own kernels; or `openvino`, whose compiler is a little faster on some CPUs
            (docs/performance.md) and takes seconds for the first batch of each shape. It compiles `forward` for whole
            clips in float32, with the weights as they are then: see `OpenVINOViViT`.

    Returns:
        a `ViViT` for inference alone, with the call and the methods of `model`. Nothing it gives can be differentiated.
        Its logits are those of `model` up to rounding (1e-5 of their size). Under autocast, on other devices than the
        CPU and where tokens are merged it computes as `model` does, and so does a block with a layer that somebody
        replaced or hooked on to.

    Raises:
        ConfigError: an unknown backend, or one that is not installed; later, when the result is put in training mode.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"backend={backend!r} is unknown; it is one of {', '.join(BACKENDS)}")
    return BACKENDS[backend](model)
