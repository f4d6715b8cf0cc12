"""Where the studies of section 3.4 get their image model: the user's, or one pretrained on single frames."""

from __future__ import annotations

from dataclasses import replace

from tubelet.config import OptimisationConfig, PretrainConfig, TrainConfig
from tubelet.config.pretraining import for_pretraining
from tubelet.studies.models import model_of, with_model
from tubelet.studies.study import Source

NAME = "image-model"
EPOCHS = 10
"""Of the image model, for each of the base: an epoch shows it one frame of each video."""

NOTE = (
    "The image model is a ViT that learned single frames of the training videos, without their labels: most patches of "
    "a frame are hidden, and it predicts them. (The paper’s were trained on the labels of ImageNet-21k.)"
)


def image_source(base: TrainConfig) -> Source:
    """The pretraining of an image ViT of the base's sizes: a video model that sees one frame."""
    wanted = model_of(base)
    image = with_model(
        base,
        variant="spatio_temporal",
        embedding="uniform_frames",
        num_frames=1,
        tubelet_size=(1, *wanted.tubelet_size[1:]),
        pool="cls" if wanted.pool == "cls" else "mean",
    )
    dense = {name: value for name, value in base.preprocessing.items() if name != "sampling"}
    image = replace(
        image,
        preprocessing={**dense, "frame_stride": 1},
        augmentation=replace(base.augmentation, speed=(1.0, 1.0), coverage=(1.0, 1.0)),
    )
    config: PretrainConfig = for_pretraining(image)
    optimisation = OptimisationConfig(
        learning_rate=config.optimisation.learning_rate,
        betas=config.optimisation.betas,
        epochs=EPOCHS * base.optimisation.epochs,
        batch_size=4 * base.optimisation.batch_size,
    )
    config = replace(config, optimisation=optimisation, init=None)
    return Source(name=NAME, label="image model", config=config)
