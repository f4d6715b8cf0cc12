"""Supervised training as one call: from a folder of videos to a run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tubelet.config import TrainConfig, default_recipe, override, train_config
from tubelet.config.run_state import FINISHED
from tubelet.data import Table
from tubelet.distributed.world import World
from tubelet.evaluation import Evaluation
from tubelet.given_model import unwrapped
from tubelet.model import ViViT
from tubelet.training.fit import Outcome, run
from tubelet.training.new_run import start_run
from tubelet.training.position import Best
from tubelet.training.progress import Reporter
from tubelet.training.run_folder import RunFolder
from tubelet.training.setup import resume_run
from tubelet.training.supervised import SupervisedTask
from tubelet.training.trainer import Trainer


@dataclass(frozen=True, repr=False)
class TrainResult:
    """What a training came to.

    Attributes:
        folder: of the run; `tubelet.load(folder)` gives the model too.
        model: with the weights that were exported, in evaluation mode.
        best: the best validation; None without validation.
        evaluation: the last validation; None without.
        steps: of the whole training.
        steps_taken: of them in this call; 0 if the run that was resumed was complete.
        ended: why there is nothing left to do: `finished`, `early stopping` or `time` (see `patience` and `minutes`).
        seconds: of this call.
        num_failures: videos that could not be read; `failures.jsonl` in the folder names them.
    """

    folder: Path
    model: ViViT
    best: Best | None
    evaluation: Evaluation | None
    steps: int
    steps_taken: int
    ended: str
    seconds: float
    num_failures: int

    def __repr__(self) -> str:
        top1 = "" if self.best is None else f", best {self.best.in_words()} in epoch {self.best.epoch}"
        failures = f", {self.num_failures} unreadable videos" if self.num_failures else ""
        return f"TrainResult({str(self.folder)!r}, {self.steps} steps, {self.ended}{top1}{failures})"


def train(
    data: Table | str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = "run",
    *,
    config: TrainConfig | None = None,
    model: nn.Module | Mapping[str, Any] | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    **fields: Any,
) -> TrainResult:
    """Train a model on labelled videos and leave a run folder.

        out/model.safetensors, config.json   the weights that are exported: `tubelet.load(out)`
        out/run.json, splits.csv             the whole configuration, what it ran on, and every sample with its split
        out/metrics.jsonl, failures.jsonl    what happened, and which videos could not be read
        out/checkpoints/last, best           to resume from

    The same data, configuration and machine give the same weights, also if the training is killed at any moment and
    resumed: on a CPU to the last bit.

    Args:
        data: a folder with a folder of videos for each class, a CSV (see `tubelet.data.read_table`), or a table.
        out: the run folder; must not hold a run, unless `resume`.
        config: everything else; by default the recipe that fits (`tubelet.config.default_recipe`): for a model that is
            given, `fine-tune`, with the preprocessing of the model.
        model: a model to train instead of the one that the configuration describes, it is changed; or fields of
            `ModelConfig`, `{"num_frames": 16}`, for the latter. It may have layers of your own.
        resume: go on with the run in `out`. The rest need not be given again, but for a model with layers of your own.
        reporter: shows how it goes; a `ConsoleReporter` if none is given.
        fields: of the configuration, by their own names: `epochs=5, batch_size=4, seed=1`.

    Raises:
        ConfigError: settings that do not exist or fit together; a run that would be overwritten.
        DataError: no usable data; not one training video that can be read.
        UnreadableError: videos that could be read before cannot be read any more.
        InUseError: another process works in `out`.
        DivergedError: loss or gradient became infinite or no number. The last checkpoint is from before.
        SpikeError: one was far above the usual, and `on_spike` says stop. The last checkpoint is from before.
        StorageError: the folder cannot be written; a training that has not begun leaves none.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP, after a checkpoint was written.
    """
    given = unwrapped(model) if isinstance(model, nn.Module) else None
    if model is not None and given is None:
        fields["model"] = model

    def begin(folder: RunFolder, world: World) -> tuple[Trainer, list[str]]:
        if resume:
            return resume_run(SupervisedTask, data, folder, config, fields, world, given)
        if config is None and given is not None:
            fields.setdefault("recipe", default_recipe(None, given=True)[0])
        chosen = train_config(**fields) if config is None else override(config, **fields)
        return start_run(data, folder, chosen, given, world)

    return run(begin, _result, out, resume=resume, reporter=reporter)


def _result(outcome: Outcome) -> TrainResult:
    trainer = outcome.trainer
    position = trainer.position
    return TrainResult(
        trainer.folder.path,
        trainer.exported_model(),
        position.best,
        outcome.evaluation,
        steps=position.step,
        steps_taken=outcome.steps_taken,
        ended=position.ended or FINISHED,
        seconds=outcome.seconds,
        num_failures=len(trainer.failures),
    )
