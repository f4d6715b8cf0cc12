"""A model whose forward pass OpenVINO compiles for the CPU."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.fast.merging import MergingEncoder
from tubelet.fast.model import FastViViT, copy_sharing_tensors
from tubelet.fast.optimised import OptimisedViViT
from tubelet.model import ViViT
from tubelet.nn.pooling import PositionalPooling
from tubelet.nn.positions import Positions, interpolate_grid
from tubelet.nn.recording import takes_manual_path

_COMPILING = threading.RLock()

MOST_SHAPES = 4
"""Compiled graphs that are kept, each with a copy of the weights; the one that was made first goes first."""


class OpenVINOViViT(OptimisedViViT):
    """What `optimise(model, backend="openvino")` gives: the call runs a graph that OpenVINO made of the model.

    A graph is made for each shape of a batch when the first of that shape comes, which takes seconds; it is in float32
    and holds the weights as they are at that moment. The call with a `frame_mask`, on another device or in another
    type, while attention is recorded or tokens are merged, and the methods for parts of the model (`forward_features`,
    `encode_space`, ...) have no graph and run as with `backend="torch"`. Copies and pickles compile anew, and so does
    the next call after a layer or the configuration of the model changed. Nothing is reported to OpenVINO's makers.

    Args:
        model: stays as it is.

    Raises:
        ConfigError: OpenVINO is not installed.
    """

    def __init__(self, model: ViViT) -> None:
        try:
            with _without_telemetry():
                import openvino  # noqa: F401  (missing is said now, not at the first clip)
        except ImportError as error:
            raise ConfigError(
                "backend='openvino' needs it installed: pip install 'tubelet[openvino]'; or use backend='torch'"
            ) from error
        self._graphs: dict[torch.Size, Callable[[Tensor], list[Tensor]]]
        super().__init__(model)

    def follow(self) -> None:
        """See `OptimisedViViT`; graphs of what was there before are let go."""
        before = self._made_of
        super().follow()
        if self._made_of is not before:
            self._graphs = {}

    @torch.no_grad()
    def forward(
        self, video: Float[Tensor, "B T C H W"], frame_mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B K"] | dict[str, Float[Tensor, "B _"]]:
        """As `ViViT.forward`. Threads may call it at once."""
        if frame_mask is not None or not self._has_graph_for(video):
            return super().forward(video, frame_mask)
        self.follow()
        outputs = self._graph(video)(video)
        heads = self.config.num_classes
        return dict(zip(heads, outputs, strict=True)) if isinstance(heads, dict) else outputs[0]

    def _graph(self, video: Tensor) -> Callable[[Tensor], list[Tensor]]:
        with _COMPILING:  # torch traces one model at a time
            graph = self._graphs.get(video.shape)
            if graph is None:
                while len(self._graphs) >= MOST_SHAPES:
                    self._graphs.pop(next(iter(self._graphs)))
                graph = self._graphs[video.shape] = self._compile(video)
        return graph

    def _has_graph_for(self, video: Tensor) -> bool:
        if video.device.type != "cpu" or video.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
            return False
        if torch.compiler.is_compiling():
            return False
        return not takes_manual_path(self) and not any(isinstance(module, MergingEncoder) for module in self.modules())

    def _compile(self, video: Tensor) -> Callable[[Tensor], list[Tensor]]:
        import openvino

        exported = torch.export.export(_Logits(self._at_the_size_of(video)), (video,))
        with _without_telemetry():
            graph = openvino.convert_model(exported)
        threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.compile_model(graph, "CPU", threads)
        own = threading.local()

        def run(video: Tensor) -> list[Tensor]:
            if not hasattr(own, "request"):  # one for each thread: it holds the inputs and outputs of its call
                own.request = compiled.create_infer_request()
            results = own.request.infer(video.contiguous().numpy(), share_inputs=True)
            return [torch.from_numpy(results[number].copy()) for number in range(len(compiled.outputs))]

        return run

    def _at_the_size_of(self, video: Tensor) -> OpenVINOViViT:
        """A copy that shares the weights, with grids that need no resizing, for which OpenVINO has no operation."""
        grids: dict[str, Tensor] = {}

        def keep(module: Positions | PositionalPooling, inputs: tuple[Any, ...], _: Any, name: str) -> None:
            size = inputs[0].shape[1:4] if isinstance(module, Positions) else inputs[1]
            grids[name] = interpolate_grid(module.grid, tuple(size))

        grids_of = [
            (n, module) for n, module in self.named_modules() if isinstance(module, Positions | PositionalPooling)
        ]
        handles = [module.register_forward_hook(partial(keep, name=name)) for name, module in grids_of]
        try:
            super().forward(video)  # raises what is wrong with a shape that does not fit
        finally:
            for handle in handles:
                handle.remove()
        twin = copy_sharing_tensors(self)
        for name, grid in grids.items():
            module = twin.get_submodule(name)
            module.grid = nn.Parameter(grid) if isinstance(module.grid, nn.Parameter) else grid
        return twin

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_graphs": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> OpenVINOViViT:
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__getstate__(), memo))
        return twin


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """OpenVINO's import and converter report over the network with `openvino-telemetry` installed; not from here."""
    try:
        import openvino_telemetry  # type: ignore[import-untyped]
    except ImportError:
        yield
        return
    with patch.object(openvino_telemetry, "Telemetry"):
        yield


class _Logits(nn.Module):
    """The model with a list of its heads' logits, which is what a graph can give."""

    def __init__(self, model: OptimisedViViT) -> None:
        super().__init__()
        self.model = model

    def forward(self, video: Tensor) -> list[Tensor]:
        logits = FastViViT.forward(self.model, video)
        return list(logits.values()) if isinstance(logits, dict) else [logits]
