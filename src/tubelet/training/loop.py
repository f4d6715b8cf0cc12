"""The training loop, from a folder of videos to a run folder."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tubelet.config import TrainConfig, default_recipe, override, train_config
from tubelet.config.run_state import EARLY, FINISHED, TIME
from tubelet.data import Batch, Table
from tubelet.distributed.world import joined
from tubelet.errors import DataError, StorageError
from tubelet.evaluation import Evaluation
from tubelet.given_model import unwrapped
from tubelet.model import ViViT
from tubelet.training import events
from tubelet.training.generators import restored_generators
from tubelet.training.interrupt import StopAsked, StopRequest, TrainingInterrupted, until_stopped
from tubelet.training.mirrors import mirroring
from tubelet.training.progress import ConsoleReporter, Pace, Reporter, SilentReporter
from tubelet.training.run_folder import RunFolder
from tubelet.training.setup import resume_run, start_run
from tubelet.training.step import DivergedError, StepResult, number_of_parts, seed_step, training_step
from tubelet.training.together import Agreement, agreed
from tubelet.training.trainer import Best, Trainer
from tubelet.training.watch import SpikeError


@dataclass(frozen=True, repr=False)
class TrainResult:
    """What a training came to.

    Attributes:
        folder: of the run; `tubelet.load(folder)` gives the model too.
        model: with the weights that were delivered, in evaluation mode.
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
        top1 = "" if self.best is None else f", best top-1 {self.best.top1:.2%} in epoch {self.best.epoch}"
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

        out/model.safetensors, config.json   the weights that are delivered: `tubelet.load(out)`
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
    reporter = reporter or ConsoleReporter()
    given = unwrapped(model) if isinstance(model, nn.Module) else None
    if model is not None and given is None:
        fields["model"] = model
    folder, started = RunFolder(os.fspath(out)), time.perf_counter()
    with restored_generators(), joined() as world, StopRequest() as stop, folder.lock:
        if not world.first:
            reporter = SilentReporter()
        if resume:
            trainer, notes = resume_run(data, folder, config, fields, world, given)
        else:
            if config is None and given is not None:
                fields.setdefault("recipe", default_recipe(None, given=True)[0])
            chosen = train_config(**fields) if config is None else override(config, **fields)
            trainer, notes = start_run(data, folder, chosen, given, world)
        for note in notes:
            reporter.message(note)
        monitoring, done = trainer.config.monitoring, trainer.position.step
        with (
            trainer.writing_to(folder),
            mirroring(trainer.log, folder, monitoring, done) if world.first else nullcontext(),
        ):
            reporter.begin(done, trainer.total_steps)
            try:
                evaluation = fit(trainer, reporter, stop)
            except StorageError:
                if world.first and not resume and trainer.is_at_start:
                    folder.remove()
                raise
            finally:
                reporter.end()
            seconds = time.perf_counter() - started
            events.note_end(trainer, reporter, seconds)
        delivered, position = trainer.delivered_model(), trainer.position
    return TrainResult(
        folder.path,
        delivered,
        position.best,
        evaluation,
        steps=position.step,
        steps_taken=position.step - done,
        ended=position.ended or FINISHED,
        seconds=seconds,
        num_failures=len(trainer.failures),
    )


def fit(trainer: Trainer, reporter: Reporter, stop: StopRequest) -> Evaluation | None:
    """Train from where the trainer stands to the end; returns the last validation."""
    evaluation, position = None, trainer.position
    try:
        if position.ended is None:
            prepare(trainer, reporter, stop)
        while position.ended is None:
            pace = train_epoch(trainer, reporter, stop)
            evaluation = finish_epoch(trainer, reporter, stop, pace) or evaluation
    except StopAsked:
        trainer.save()
        trainer.log.write("interrupted", step=position.step, epoch=position.epoch)
        if trainer.delivers_last or trainer.position.best is None:
            trainer.deliver()
        # all have to be here: whoever started the processes may end the others when one goes
        signals = trainer.world.gather_numbers(stop.signal_number or 0)
        raise TrainingInterrupted(events.how_to_go_on(trainer, "train"), max(signals)[0]) from None
    if trainer.delivers_last:
        trainer.deliver()
    return evaluation


def prepare(trainer: Trainer, reporter: Reporter, stop: StopRequest) -> None:
    """Have everything computed that no epoch changes."""
    for done, total in until_stopped(trainer.prepare(), stop):
        reporter.preparing(done, total)
        if stop:
            raise StopAsked


def train_epoch(trainer: Trainer, reporter: Reporter, stop: StopRequest) -> Pace:
    """Take the steps that are left of the epoch."""
    position, pace = trainer.position, Pace()
    position.begin_epoch()
    for batch, agreement in agreed(trainer.batches(), trainer.world, stop, trainer.is_late):
        pace.data_came()
        try:
            events.note_failures(trainer, reporter, batch, "training videos", agreement.clips)
        except DataError as error:
            raise trainer.world.alike(error) from None
        result = take_step(trainer, batch, agreement) if agreement.clips else None
        position.count(agreement.clips, len(batch.failures), result.loss if result is not None else 0.0)
        if result is not None:
            pace.step_done(agreement.clips)
            events.note_step(trainer, reporter, result, pace)
            _note_spikes(trainer, reporter, batch, result)
            if trainer.plan():
                reporter.begin(position.step, trainer.total_steps)
            elif agreement.late or trainer.checkpoint_is_due():
                trainer.save()
        if position.step >= trainer.total_steps:
            break
    return pace


def take_step(trainer: Trainer, batch: Batch, agreement: Agreement) -> StepResult:
    """One change of the weights."""
    optimisation, step = trainer.config.optimisation, trainer.position.step
    seed_step(trainer.config.seed, step, trainer.world.rank)
    trainer.watch.begin(step + 1)
    try:
        result = training_step(
            trainer.forward,
            batch,
            trainer.optimiser,
            trainer.loss_of,
            learning_rate=trainer.learning_rate(),
            accumulate_steps=number_of_parts(optimisation, agreement.clips),
            clip_norm=optimisation.clip_norm,
            autocast=trainer.autocast,
            parallel=trainer.parallel,
            agreement=agreement,
            early=trainer.early,
        )
    except DivergedError as error:
        raise trainer.world.alike(events.diverged(trainer, _whole_batch(trainer, batch), error)) from None
    if trainer.average is not None:
        trainer.average.update(trainer.model, step + 1)
    return result


def _note_spikes(trainer: Trainer, reporter: Reporter, batch: Batch, result: StepResult) -> None:
    """The figures are the same in all processes, so all find the same spikes."""
    try:
        events.note_spikes(trainer, reporter, batch, result, lambda part: _whole_batch(trainer, part))
    except SpikeError as error:
        raise trainer.world.alike(error) from None


def _whole_batch(trainer: Trainer, batch: Batch) -> Batch:
    """This process's part of a batch with the indices of all parts, which name the videos."""
    indices = [index for part in trainer.world.gather(batch.indices.tolist()) for index in part]
    return dataclasses.replace(batch, indices=torch.tensor(indices, dtype=torch.int64))


def finish_epoch(trainer: Trainer, reporter: Reporter, stop: StopRequest, pace: Pace) -> Evaluation | None:
    """Every `validate_every` epochs validate, write a checkpoint, and deliver the weights if they are the best yet."""
    position, config = trainer.position, trainer.config
    done = position.epoch + 1
    last = position.step >= trainer.total_steps
    milestone = done % config.validation.validate_every == 0 or last
    evaluation = trainer.validate(_validating(reporter, stop)) if milestone else None
    if evaluation is not None and len(evaluation.failures) == evaluation.num_videos:
        if not trainer.delivers_last and not trainer.failed_in_a_row:
            trainer.save()
        error = events.nothing_validated(trainer, evaluation)
        if not trainer.delivers_last:
            raise trainer.world.alike(error)
        reporter.message(str(error))
        evaluation = None
    position.epoch, position.batch = done, 0
    improved = False
    if evaluation is not None:
        candidate = Best(position.step, position.epoch, evaluation.top1, evaluation.loss)
        improved = candidate.beats(position.best)
        position.best = candidate if improved else position.best
        position.since_best = 0 if improved else position.since_best + 1
        events.note_validation(trainer, evaluation)
    position.ended = _why_ended(trainer, last)
    if milestone:
        trainer.save()
    if improved and not trainer.delivers_last:
        trainer.deliver_best()
    reporter.epoch(events.epoch_line(trainer, pace, evaluation, improved))
    return evaluation


def _why_ended(trainer: Trainer, last: bool) -> str | None:
    """Why the training ends after this epoch; None if it goes on."""
    position, patience = trainer.position, trainer.config.validation.patience
    if last:
        return FINISHED if position.planned_steps in (None, trainer.all_steps) else TIME
    return EARLY if patience is not None and position.since_best >= patience else None


def _validating(reporter: Reporter, stop: StopRequest) -> Callable[[int, int], None]:
    """Passes progress on, and leaves a validation when a signal came; it is done again after resuming."""

    def progress(done: int, total: int) -> None:
        reporter.validating(done, total)
        if stop:
            raise StopAsked

    return progress
