"""A model whose forward pass OpenVINO compiles for the CPU."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.exported.sessions import OpenVINOSession, without_telemetry
from tubelet.fast.graph import LogitsGraph
from tubelet.fast.merging import MergingEncoder
from tubelet.fast.optimised import OptimisedViViT
from tubelet.model import ViViT
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
            with without_telemetry():
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

        exported = torch.export.export(LogitsGraph(self, video), (video,))
        with without_telemetry():
            graph = openvino.convert_model(exported)
        session = OpenVINOSession(graph, torch.get_num_threads())
        return lambda video: [torch.from_numpy(logits) for logits in session([video.contiguous().numpy()])]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_graphs": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> OpenVINOViViT:
        twin = self.__class__.__new__(self.__class__)
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__getstate__(), memo))
        return twin
