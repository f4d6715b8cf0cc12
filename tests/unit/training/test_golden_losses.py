"""The losses and gradient norms of a short training, step by step, as they were when they were last looked at.

A change of the maths, of the order of the videos, of an augmentation or of a draw shows here, in the step where it
begins. Where it is meant, the failure prints the new figures; say in the commit why they changed. Clips are images of
whole numbers and nothing is resized, so that other versions of decoders and other processors give the same pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tubelet.config import AugmentationConfig, DataConfig, OptimisationConfig, RuntimeConfig, TrainConfig
from tubelet.training import SilentReporter, read_events, train

TOLERANCE = 2e-4
"""Other processors add in another order, and AdamW enlarges that; a changed formula moves the figures by far more."""

GOLDEN: dict[str, list[tuple[float, float]]] = {
    "adamw": [
        (1.08897, 1.21279),
        (1.11352, 3.27297),
        (1.09474, 3.15176),
        (1.11127, 4.39298),
        (1.06714, 2.95807),
        (1.1686, 3.50452),
        (1.12265, 3.30774),
        (1.08754, 3.26309),
        (1.09936, 0.69257),
    ],
    "sgd": [
        (1.08897, 1.21279),
        (1.11352, 3.27297),
        (1.14806, 3.66368),
        (1.11689, 2.78045),
        (1.04319, 2.34068),
        (1.15744, 3.09572),
        (1.15277, 3.284),
        (1.09879, 3.52433),
        (1.09564, 1.41101),
    ],
}
"""By optimiser: (loss, gradient norm) of each step. The first is taken at rate 0, the beginning of the warm-up."""

OPTIMISERS: dict[str, dict[str, Any]] = {
    "adamw": {"learning_rate": 2e-3, "weight_decay": 0.1, "layer_decay": 0.8},
    "sgd": {"learning_rate": 0.1, "weight_decay": 0.0, "clip_norm": 0.5, "accumulate_steps": 2},
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of three clips of twelve images: a bright square moves down, right, or stays."""
    root = tmp_path_factory.mktemp("pictures")
    ramp = (torch.arange(20)[:, None] * 5 + torch.arange(20) * 3).to(torch.uint8)
    for number, (name, (down, right)) in enumerate({"down": (1, 0), "right": (0, 1), "stay": (0, 0)}.items()):
        for clip in range(3):
            folder = root / name / str(clip)
            folder.mkdir(parents=True)
            for time in range(12):
                picture = torch.stack([ramp, ramp // 2, 200 - ramp])
                top, left = (4 * clip + time * down) % 15, (5 * number + time * right) % 15
                picture[:, top : top + 5, left : left + 5] = torch.tensor([250, 180, 90 + 40 * clip])[:, None, None]
                Image.fromarray(picture.to(torch.uint8).permute(1, 2, 0).numpy()).save(folder / f"{time:02d}.png")
    return root


@pytest.mark.parametrize("optimiser", sorted(GOLDEN))
def test_a_short_training_takes_the_steps_it_always_took(
    pictures: Path, tmp_path: Path, tiny: TrainConfig, optimiser: str
) -> None:
    config = TrainConfig(
        preset="vivit_tiny_16x2_fe",
        model={**tiny.model, "dropout": 0.0, "drop_path": 0.0},
        preprocessing={"resize": 20, "sampling": "uniform"},
        data=DataConfig(workers=0, fractions={"train": 1.0}),
        augmentation=AugmentationConfig(
            coverage=(0.7, 1.0), scale_jitter=(1.0, 1.0), flip=0.5, colour=0.5, mixup=0.2, label_smoothing=0.1
        ),
        optimisation=OptimisationConfig(
            optimiser="adamw" if optimiser == "adamw" else "sgd",
            epochs=3,
            warmup_epochs=0.5,
            batch_size=3,
            **OPTIMISERS[optimiser],
        ),
        runtime=RuntimeConfig(device="cpu"),
        seed=7,
    )
    train(pictures, tmp_path / "run", config=config, reporter=SilentReporter())
    steps = read_events(tmp_path / "run" / "metrics.jsonl", "train")
    found = [(round(step["loss"], 5), round(step["gradient_norm"], 5)) for step in steps]
    assert len(found) == 9
    for step, (one, expected) in enumerate(zip(found, GOLDEN[optimiser], strict=True), 1):
        assert one == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE), f"step {step}; all: {found}"
