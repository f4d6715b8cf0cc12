"""What an evaluation cost: multiply-adds from the model's configuration, and the time that it took here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from tubelet.config import ModelConfig, PreprocessingConfig
from tubelet.config.model_cost import cost
from tubelet.evaluation.predictions import VideoPrediction


@dataclass(frozen=True)
class EvaluationCost:
    """Means over the videos that could be read.

    Attributes:
        multiply_adds: of the model, for all views of a video: what papers tabulate as FLOPs times views. Each view
            counts in full: what is saved on tubelets that several clips share is not taken off.
        views: of a video.
        frames: of a view.
        parameters: of the model.
        device: that the model ran on, and the precision of its matrix products.
    """

    multiply_adds: float
    views: float
    frames: float
    parameters: int
    device: str


def evaluation_cost(
    model: ModelConfig, preprocessing: PreprocessingConfig, predictions: Sequence[VideoPrediction], device: str
) -> EvaluationCost | None:
    """What these predictions cost; None if no video could be read."""
    read = [(one.views, one.frames) for one in predictions if one.views is not None and one.frames is not None]
    if not read:
        return None
    costs = {
        frames: cost(
            dataclasses.replace(
                model, num_frames=max(frames, model.sampled_frames or 0), image_size=preprocessing.crop_size
            )
        )
        for frames in {frames for _, frames in read}
    }
    views = sum(views for views, _ in read)
    return EvaluationCost(
        multiply_adds=sum(views * costs[frames].multiply_adds for views, frames in read) / len(read),
        views=views / len(read),
        frames=sum(views * frames for views, frames in read) / views,
        parameters=cost(model).parameters,
        device=device,
    )
