"""Memory before it is too late: what a batch will take is known before the training begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from reporters import Told
from tubelet.config import TrainConfig, override
from tubelet.fast import optimise
from tubelet.presets import create
from tubelet.training import settle, train
from tubelet.training.fitting import Fit
from tubelet.training.memory import expected_memory, peak_memory


@pytest.mark.parametrize(
    ("variant", "embedding"),
    [("", "tubelet"), ("_fe", "tubelet"), ("_fsa", "tubelet"), ("_fdp", "tubelet"), ("_fe", "conv_stem")],
)
def test_what_a_batch_takes_is_expected_to_a_quarter(variant: str, embedding: str) -> None:
    """In the form that a training on a CPU takes."""
    changes = {"num_frames": 4, "image_size": 64, "num_layers": 3, "embedding": embedding}
    plain = create(f"vivit_small_16x2{variant}", num_classes=2, **changes).train()
    model = optimise(plain, training=True)

    def step(clips: int) -> None:
        model.zero_grad(set_to_none=True)
        model(torch.zeros(clips, 4, 3, 64, 64)).sum().backward()

    taken = peak_memory(lambda: step(24)) - peak_memory(lambda: step(12))
    assert expected_memory(model.config, 12) == pytest.approx(taken, rel=0.25)


def test_a_batch_that_would_not_fit_is_taken_in_parts_without_being_asked(
    clips: Path, tmp_path: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system ends a process that takes more than there is, without a word."""
    monkeypatch.setattr(settle, "available_memory", lambda: 10_000)
    monkeypatch.setattr(settle, "fitting", lambda task: Fit(3, "in 3 parts"))
    told = Told()
    train(clips, tmp_path / "run", config=override(tiny, epochs=1), reporter=told)
    (line,) = (text for text in told.messages if "in 3 parts" in text)
    assert "a batch of 3 clips takes about" in line
    stored = json.loads((tmp_path / "run" / "run.json").read_text())["config"]["optimisation"]
    assert stored["accumulate_steps"] == 3
