"""The graph of a model from pixels to logits, traced once for all formats."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.exported import Contract
from tubelet.exported.parts import SPACE, TIME
from tubelet.fast import OptimisedViViT
from tubelet.fast.graph import LogitsGraph
from tubelet.model import ViViT
from tubelet.nn.recording import manual_attention

TRACED_BATCH = 2
"""Clips that are traced: 1 would be taken for a constant."""

LARGEST_BATCH = 4096


class PixelGraph(nn.Module):
    """Normalisation, and the model after it.

    Args:
        model: in evaluation mode, on the CPU, in float32, with `preprocessing`.
        contract: what the graph takes.

    Raises:
        ConfigError: the size of the contract does not fit the model.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, model: ViViT, contract: Contract) -> None:
        super().__init__()
        config = model.preprocessing
        assert config is not None
        std, mean = numpy.array(config.std, numpy.float64), numpy.array(config.mean, numpy.float64)
        scale, shift = (1 / (255 * std)).astype(numpy.float32), (-mean / std).astype(numpy.float32)
        self.register_buffer("scale", torch.from_numpy(scale))
        self.register_buffer("shift", torch.from_numpy(shift))
        size = (1, config.num_frames, model.config.in_channels, *config.crop_size)
        self.logits = LogitsGraph(OptimisedViViT(model), torch.zeros(size))
        self.takes_pixels = contract.takes_pixels

    def forward(self, video: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """Logits of each head.

        Args:
            video: uint8 [B, T, H, W, C]; or as `ViViT.forward` takes it, if the contract says float32.
            frame_mask: bool [B, T].
        """
        return tuple(self.logits(self.normalised(video), frame_mask))

    def normalised(self, video: Tensor) -> Tensor:
        """float32 [B, T, C, H, W]."""
        return (video.float() * self.scale + self.shift).permute(0, 1, 4, 2, 3) if self.takes_pixels else video


class SpaceGraph(PixelGraph):
    """Pixels of tubelets to their vectors."""

    def forward(self, video: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """float32 [B, D] of uint8 [B, t', H, W, C]; or of what the contract says."""
        return (self.logits.model.encode_tubelets(self.normalised(video)),)


class TimeGraph(PixelGraph):
    """Vectors of tubelets to logits."""

    def forward(self, video: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, ...]:
        """Logits of each head, of vectors [B, t, D] and a mask of the times."""
        given = self.logits.model.forward_times(video, frame_mask)
        return tuple(given.values()) if isinstance(given, dict) else (given,)


GRAPHS: dict[str, type[PixelGraph]] = {"model": PixelGraph, SPACE: SpaceGraph, TIME: TimeGraph}


def example_inputs(contract: Contract, clips: int) -> tuple[Tensor, ...]:
    """Inputs of noise, with which the graph is traced."""
    generator = torch.Generator().manual_seed(0)
    made: list[Tensor] = []
    for each in contract.inputs:
        shape = [clips, *each["shape"][1:]]
        if each["type"] == "uint8":
            made.append(torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8))
        elif each["type"] == "bool":
            made.append(torch.ones(shape, dtype=torch.bool))
        else:
            made.append(torch.randn(shape, generator=generator))
    return tuple(made)


def trace(model: ViViT, contract: Contract, part: str = "model") -> Any:
    """The graph as a `torch.export.ExportedProgram`, for any batch unless the contract fixes it.

    Args:
        model: see `PixelGraph`.
        contract: what the graph takes.
        part: the whole model, or a part; see `tubelet.exported.parts`.

    Raises:
        ConfigError: the model cannot be traced; the error says why.
    """
    graph = GRAPHS[part](model, contract).eval()
    inputs = example_inputs(contract, contract.batch or TRACED_BATCH)
    shapes = None
    if contract.batch is None:
        batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
        shapes = tuple({0: batch} for _ in inputs)
    try:
        with torch.no_grad(), manual_attention(graph) if contract.format == "executorch" else nullcontext():
            return torch.export.export(graph, inputs, dynamic_shapes=shapes)
    except Exception as error:
        reason = " ".join(str(error).split())[:400]
        raise ConfigError(f"torch.export cannot trace this model: {type(error).__name__}: {reason}") from error
