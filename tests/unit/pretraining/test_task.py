"""What the task of a pretraining adds to a batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tubelet
from tubelet.config import PretrainConfig
from tubelet.data import Batch, read_configured
from tubelet.pretraining.loop import without_labels
from tubelet.pretraining.task import MaskedTask
from tubelet.training.model import preprocessing_for
from tubelet.training.step import TrainingStep
from tubelet.training.sync import StepInfo


@pytest.fixture
def task(clips: Path, tiny: PretrainConfig) -> MaskedTask:
    model = tubelet.create(tiny.preset, **tiny.model, num_classes=0)
    model.preprocessing = preprocessing_for(model.config, tiny.preprocessing)
    return MaskedTask.of(model, without_labels(read_configured(replace(tiny.data, source=str(clips), labels=()))), tiny)


def batch_of(*indices: int) -> Batch:
    return Batch(torch.rand(len(indices), 4, 3, 24, 24), None, {}, torch.tensor(indices, dtype=torch.int64))


def test_prepare_what_is_hidden_of_a_clip_depends_on_seed_epoch_and_clip_alone(task: MaskedTask) -> None:
    def hidden(*indices: int, epoch: int = 0, number: int = 0) -> Tensor:
        return task.prepare(batch_of(*indices), epoch, number).targets["positions"]

    together = hidden(0, 1, 2, 3, 4)
    assert torch.equal(together, torch.cat([hidden(0, 1), hidden(2, 3, 4, number=7)]))
    assert len(torch.unique(together, dim=0)) > 1
    assert not torch.equal(together, hidden(0, 1, 2, 3, 4, epoch=1))


def test_step_of_a_process_without_clips_changes_nothing_by_itself(task: MaskedTask) -> None:
    """All of its videos may be unreadable; it still takes part in the exchange of gradients."""
    optimiser = torch.optim.SGD(task.module.parameters())
    step = TrainingStep(task.module, optimiser, task.losses)
    before = {name: value.clone() for name, value in task.module.state_dict().items()}
    result = step.run(task.prepare(batch_of(), 0, 0), 0.1, StepInfo(clips=3, largest=3))
    assert (result.loss, result.gradient_norm) == (0.0, 0.0)
    assert all(torch.equal(value, before[name]) for name, value in task.module.state_dict().items())
