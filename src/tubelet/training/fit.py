"""The training loop: epochs, steps, validations and checkpoints of a `Trainer`, whatever its task."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from tubelet.config.run_state import EARLY, FINISHED, TIME
from tubelet.data import Batch
from tubelet.distributed.world import World, joined
from tubelet.errors import DataError, StorageError
from tubelet.evaluation import Evaluation
from tubelet.training import events
from tubelet.training.generators import restored_generators
from tubelet.training.interrupt import StopAsked, StopRequest, TrainingInterrupted, until_stopped
from tubelet.training.loggers import logging_to
from tubelet.training.monitor import SpikeError
from tubelet.training.position import Best
from tubelet.training.progress import ConsoleReporter, Pace, Reporter, SilentReporter
from tubelet.training.run_folder import RunFolder
from tubelet.training.step import DivergedError, StepResult, seed_step
from tubelet.training.sync import StepInfo, synchronised_batches
from tubelet.training.trainer import Trainer

R = TypeVar("R")


@dataclass(frozen=True)
class Outcome:
    """A training that came to its end.

    Attributes:
        trainer: in the state of the end.
        evaluation: the last validation; None without.
        seconds: of this call.
        steps_taken: in this call.
    """

    trainer: Trainer
    evaluation: Evaluation | None
    seconds: float
    steps_taken: int


def run(
    begin: Callable[[RunFolder, World], tuple[Trainer, list[str]]],
    result: Callable[[Outcome], R],
    out: str | os.PathLike[str],
    *,
    resume: bool,
    reporter: Reporter | None,
) -> R:
    """A training from the first look at its data to its result; all processes call it.

    Args:
        begin: makes the trainer, of a new run or of one that goes on, and notes for the user.
        result: of what came out; called in all processes.
        out: the run folder.
        resume: whether the run was there before.
        reporter: of the first process; None writes to the console.
    """
    folder, started = RunFolder(os.fspath(out)), time.perf_counter()
    with restored_generators(), joined() as world, StopRequest() as stop, folder.lock:
        reporter = (reporter or ConsoleReporter()) if world.first else SilentReporter()
        trainer, notes = begin(folder, world)
        for note in notes:
            reporter.message(note)
        monitoring, before = trainer.config.monitoring, trainer.position.step
        with trainer.log, logging_to(trainer.log, folder, monitoring, before) if world.first else nullcontext():
            reporter.begin(before, trainer.total_steps)
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
        return result(Outcome(trainer, evaluation, seconds, trainer.position.step - before))


def fit(trainer: Trainer, reporter: Reporter, stop: StopRequest) -> Evaluation | None:
    """Train to the end; returns the last validation."""
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
        if trainer.keeps_last or trainer.position.best is None:
            trainer.export()
        # a barrier: the launcher may end the others when one process exits
        signals = trainer.world.gather_numbers(stop.signal_number or 0)
        raise TrainingInterrupted(events.how_to_go_on(trainer), max(signals)[0]) from None
    if trainer.keeps_last:
        trainer.export()
    return evaluation


def prepare(trainer: Trainer, reporter: Reporter, stop: StopRequest) -> None:
    """Compute what no epoch changes, such as cached features."""
    for done, total in until_stopped(trainer.task.fill(), stop):
        reporter.preparing(done, total)
        if stop:
            raise StopAsked


def train_epoch(trainer: Trainer, reporter: Reporter, stop: StopRequest) -> Pace:
    """Take the steps that are left of the epoch."""
    position, pace = trainer.position, Pace()
    position.begin_epoch()
    if trainer.unfreeze():
        reporter.message(events.unfrozen(trainer))
    for batch, info in synchronised_batches(trainer.batches(), trainer.world, stop, trainer.is_late):
        pace.data_came()
        try:
            events.note_failures(trainer, reporter, batch, info.clips)
        except DataError as error:
            raise trainer.world.on_all_ranks(error) from None
        result = take_step(trainer, batch, info) if info.clips else None
        position.count(info.clips, len(batch.failures), result.loss if result is not None else 0.0)
        if result is not None:
            pace.step_done(info.clips)
            events.note_step(trainer, reporter, result, pace)
            try:  # the figures are the same in all processes, so all find the same spikes
                events.note_spikes(trainer, result, partial(_all_indices, trainer, batch))
            except SpikeError as error:
                raise trainer.world.on_all_ranks(error) from None
            if trainer.plan():
                reporter.begin(position.step, trainer.total_steps)
            elif info.checkpoint_due or trainer.checkpoint_is_due():
                trainer.save()
        if position.step >= trainer.total_steps:
            break
    return pace


def take_step(trainer: Trainer, batch: Batch, info: StepInfo) -> StepResult:
    """One optimiser step, and the update of the average of the weights."""
    step = trainer.position.step
    seed_step(trainer.config.seed, step, trainer.world.rank)
    trainer.monitor.begin(step + 1)
    try:
        result = trainer.step.run(batch, trainer.learning_rate(), info)
    except DivergedError as error:
        raise trainer.world.on_all_ranks(events.diverged(trainer, _all_indices(trainer, batch), error)) from None
    if trainer.average is not None:
        trainer.average.update(trainer.task.module, step + 1)
    return result


def _all_indices(trainer: Trainer, batch: Batch) -> list[int]:
    """Of the samples of a batch, in all processes."""
    return [index for part in trainer.world.gather(batch.indices.tolist()) for index in part]


def finish_epoch(trainer: Trainer, reporter: Reporter, stop: StopRequest, pace: Pace) -> Evaluation | None:
    """Every `validate_every` epochs validate, write a checkpoint, and export the weights if they are the best yet."""
    position, validation = trainer.position, trainer.task.validation
    done = position.epoch + 1
    last = position.step >= trainer.total_steps
    milestone = last or (validation is not None and done % validation.validate_every == 0)
    evaluation = trainer.validate(_validating(reporter, stop)) if milestone else None
    if evaluation is not None and len(evaluation.failures) == evaluation.num_videos:
        if not trainer.keeps_last and not trainer.failed_in_a_row:
            trainer.save()
        error = events.nothing_validated(trainer, evaluation)
        if not trainer.keeps_last:
            raise trainer.world.on_all_ranks(error)
        reporter.message(str(error))
        evaluation = None
    position.epoch, position.batch = done, 0
    improved = False
    if evaluation is not None:
        candidate = Best.of(evaluation, position.step, position.epoch)
        improved = candidate.beats(position.best)
        position.best = candidate if improved else position.best
        position.since_best = 0 if improved else position.since_best + 1
        events.note_validation(trainer, evaluation)
    elif validation is None:
        trainer.log.write("epoch", step=position.step, epoch=position.epoch, loss=position.mean_loss)
    position.ended = _why_ended(trainer, last)
    if milestone:
        trainer.save()
    if improved and not trainer.keeps_last:
        trainer.export_best()
    reporter.epoch(events.epoch_line(trainer, pace, evaluation, improved))
    return evaluation


def _why_ended(trainer: Trainer, last: bool) -> str | None:
    """Why the training ends after this epoch; None if it goes on."""
    position, validation = trainer.position, trainer.task.validation
    if last:
        return FINISHED if position.planned_steps in (None, trainer.all_steps) else TIME
    patience = None if validation is None else validation.patience
    return EARLY if patience is not None and position.since_best >= patience else None


def _validating(reporter: Reporter, stop: StopRequest) -> Callable[[int, int], None]:
    """Reports progress, and ends a validation when a signal came; a resumed run validates again."""

    def progress(done: int, total: int) -> None:
        reporter.validating(done, total)
        if stop:
            raise StopAsked

    return progress
