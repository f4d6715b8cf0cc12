"""A factorised encoder as two graphs: one that makes a vector of each tubelet, and one from vectors to logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy

from tubelet.config import ModelConfig, uniform_frame_indices
from tubelet.exported.contract import Contract
from tubelet.exported.sessions import MODEL_FILES, Session

SPACE, TIME = "space", "time"


def part_file(format: str, part: str) -> str:
    """The file that a part is opened by: `space.onnx`, `time.onnx`."""
    return MODEL_FILES[format].replace("model", part, 1)


def contract_of_part(contract: Contract, part: str) -> Contract:
    """The contract of a model with inputs and outputs of one of its parts.

    `space` takes `tubelets`, uint8 [B, t', H, W, C] (or float32 [B, t', C, H, W]), and gives `vectors`, float32 [B, D].
    `time` takes `vectors`, float32 [B, t, D], and where the model takes a mask `time_mask`, bool [B, t], True at times
    with a real frame; it gives the logits.
    """
    config = contract.model_config()
    video = contract.inputs[0]
    batch, width = video["shape"][0], config.hidden_size
    if part == SPACE:
        tubelets = {**video, "name": "tubelets", "shape": [batch, config.tubelet_size[0], *video["shape"][2:]]}
        return replace(contract, inputs=(tubelets,), outputs=({"name": "vectors", "shape": [batch, width]},))
    times = config.grid[0]
    inputs: list[Mapping[str, Any]] = [{"name": "vectors", "type": "float32", "shape": [batch, times, width]}]
    if contract.takes_mask:
        inputs.append({"name": "time_mask", "type": "bool", "shape": [batch, times]})
    return replace(contract, inputs=tuple(inputs))


class PartsSession:
    """Whole clips through both parts: inputs and outputs are those of the whole model.

    Args:
        space: of the first part.
        time: of the second.
        config: of the model.
    """

    def __init__(self, space: Session, time: Session, config: ModelConfig) -> None:
        self._space, self._time, self._config = space, time, config
        self.provider = space.provider

    def __call__(self, inputs: list[Any]) -> list[Any]:
        """See `Session`."""
        frames, size = inputs[0].shape[1], self._config.tubelet_size[0]
        if self._config.sampled_frames is not None:
            picked = list(uniform_frame_indices(frames, self._config.sampled_frames))
            inputs = [each[:, picked] for each in inputs]
        video = inputs[0].reshape(-1, size, *inputs[0].shape[2:])
        (vectors,) = self._space([numpy.ascontiguousarray(video)])
        clips = len(inputs[0])
        masks = [each.reshape(clips, -1, size).any(2) for each in inputs[1:]]
        return self._time([vectors.reshape(clips, -1, vectors.shape[1]), *masks])
