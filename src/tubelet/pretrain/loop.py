"""The pretraining loop, from a folder of videos to weights that a training starts from."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tubelet.config import PretrainConfig, override, pretrain_config
from tubelet.data import Batch, Table
from tubelet.errors import DataError
from tubelet.model import ViViT
from tubelet.pretrain.picture import save_picture
from tubelet.pretrain.setup import resume_pretraining, start_pretraining
from tubelet.pretrain.trainer import Pretrainer
from tubelet.train.events import HOPELESS
from tubelet.train.interrupt import StopRequest, TrainingInterrupted
from tubelet.train.progress import ConsoleReporter, Pace, Reporter
from tubelet.train.run_folder import RunFolder
from tubelet.train.step import DivergedError, StepResult, seed_step, training_step
from tubelet.weights import load

PICTURE = "reconstructions.png"


@dataclass(frozen=True)
class PretrainResult:
    """What a pretraining came to.

    Attributes:
        folder: of the run: the `init` of a training; `tubelet.load(folder)` gives the model too.
        model: without head, in evaluation mode.
        loss: mean over the clips of the last epoch.
        steps: of the whole pretraining.
        seconds: of this call.
        picture: what the model guesses of some clips; None if not one of them could be read.
        num_failures: videos that could not be read; `failures.jsonl` in the folder names them.
    """

    folder: Path
    model: ViViT
    loss: float
    steps: int
    seconds: float
    picture: Path | None
    num_failures: int


def pretrain(
    data: Table | str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = "pretrained",
    *,
    config: PretrainConfig | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    **fields: Any,
) -> PretrainResult:
    """Let a model learn from videos without labels, to start a training from: `tubelet.train(data, init=out)`.

    Most of each clip is hidden and has to be guessed from the rest (`MaskedTubelets`). It pays most where labelled
    videos are few.

        out/model.safetensors, config.json   the encoder without head: the `init` of a training
        out/reconstructions.png              clips, what was visible of them, and what the model guesses
        out/run.json, splits.csv             the whole configuration, and every video with its split
        out/metrics.jsonl, failures.jsonl    what happened, and which videos could not be read
        out/checkpoints/last                 to resume from, decoder included

    The same data, configuration and machine give the same weights, also if it is killed at any moment and resumed: on a
    CPU to the last bit.

    Args:
        data: a folder of videos, a table (see `tubelet.data.read_table`); labels are not read. Of data with splits the
            train split alone is learned from, unless `splits` says otherwise.
        out: the run folder; must not hold a run, unless `resume`.
        config: everything else; by default that of `tubelet.config.pretrain_config`, whose model is that of the recipe
            for trainings from scratch.
        resume: go on with the run in `out`. The rest need not be given again.
        reporter: shows how it goes; a `ConsoleReporter` if none is given.
        fields: of the configuration, by their own names: `epochs=50, mask_ratio=0.9`.

    Raises:
        ConfigError: settings that do not exist or fit together; a run that would be overwritten.
        DataError: no usable data; not one video that can be read.
        DivergedError: loss or gradient became infinite or no number. The last checkpoint is from before.
        TrainingInterrupted: Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    reporter = reporter or ConsoleReporter()
    folder, started = RunFolder(os.fspath(out)), time.perf_counter()
    with torch.random.fork_rng(devices=[]), StopRequest() as stop:
        if resume:
            pretrainer, notes = resume_pretraining(data, folder, config, fields)
        else:
            chosen = pretrain_config(**fields) if config is None else override(config, **fields)
            pretrainer, notes = start_pretraining(data, folder, chosen)
        for note in notes:
            reporter.message(note)
        position = pretrainer.position
        with pretrainer.writing_to(folder):
            reporter.begin(position.step, pretrainer.total_steps)
            try:
                loss = _fit(pretrainer, reporter, stop)
            finally:
                reporter.end()
            seconds = time.perf_counter() - started
            pretrainer.log.write("end", step=position.step, epoch=position.epoch, seconds=seconds)
        picture = save_picture(pretrainer.masked, pretrainer.clips, folder.path / PICTURE, pretrainer.config.seed)
    failures = len(pretrainer.failures)
    return PretrainResult(folder.path, load(folder.path), loss, position.step, seconds, picture, failures)


class _StopAsked(Exception):  # noqa: N818  # not an error
    """A signal came; nothing is half done."""


def _fit(pretrainer: Pretrainer, reporter: Reporter, stop: StopRequest) -> float:
    """From where the pretrainer stands to the end; the mean loss of the last epoch."""
    position, epochs, loss = pretrainer.position, pretrainer.config.optimisation.epochs, float("nan")
    try:
        while position.epoch < epochs:
            pace = _epoch(pretrainer, reporter, stop)
            position.epoch, position.batch, loss = position.epoch + 1, 0, pace.mean_loss
            pretrainer.log.write("epoch", step=position.step, epoch=position.epoch, loss=loss)
            reporter.epoch(f"epoch {position.epoch:>{len(str(epochs))}}/{epochs}  loss {loss:.4f}  {pace}")
    except _StopAsked:
        pretrainer.save()
        pretrainer.deliver()
        raise TrainingInterrupted(_how_to_go_on(pretrainer), stop.signal_number or 0) from None
    pretrainer.save()
    pretrainer.deliver()
    return loss


def _epoch(pretrainer: Pretrainer, reporter: Reporter, stop: StopRequest) -> Pace:
    """Take the steps that are left of the epoch."""
    position, optimisation, pace = pretrainer.position, pretrainer.config.optimisation, Pace()
    for batch in _until_stopped(pretrainer.batches(), stop):
        pace.data_came()
        _note_failures(pretrainer, reporter, batch)
        if len(batch):
            seed_step(pretrainer.config.seed, position.step)
            try:
                result = training_step(
                    pretrainer.forward,
                    batch,
                    pretrainer.optimiser,
                    _the_loss_itself,
                    learning_rate=pretrainer.learning_rate(),
                    accumulate_steps=optimisation.accumulate_steps,
                    clip_norm=optimisation.clip_norm,
                    autocast=pretrainer.autocast,
                )
            except DivergedError as error:
                raise DivergedError(_what_diverged(pretrainer, batch, error)) from None
            pace.step_done(len(batch), result.loss)
        position.step, position.batch = position.step + 1, position.batch + 1
        if len(batch):
            _log_step(pretrainer, reporter, result, pace)
        if pretrainer.checkpoint_is_due():
            pretrainer.save()
        if stop:
            raise _StopAsked
    return pace


def _the_loss_itself(losses: Tensor, targets: dict[str, Tensor]) -> Tensor:
    """`MaskedTubelets` gives the loss of each clip already: what is to be guessed is in the clip."""
    return losses


def _until_stopped(batches: Iterator[Batch], stop: StopRequest) -> Iterator[Batch]:
    """The batches. Ctrl-C reaches the workers of a loader too, and where it ends them, that is no error of theirs."""
    try:
        yield from batches
    except RuntimeError:
        if stop:
            raise _StopAsked from None
        raise


def _note_failures(pretrainer: Pretrainer, reporter: Reporter, batch: Batch) -> None:
    """Write unreadable videos down; give up if there is nothing but such."""
    for failure in pretrainer.failures.note(batch.failures):
        reporter.message(f"cannot be read and is left out: {failure.path}: {failure.reason}")
    pretrainer.clips_read += len(batch)
    pretrainer.clips_failed += len(batch.failures)
    if not pretrainer.clips_read and pretrainer.clips_failed >= min(HOPELESS, len(pretrainer.clips)):
        first = batch.failures[0]
        raise DataError(
            f"not one of the first {pretrainer.clips_failed} videos can be read, so there is nothing to learn from; "
            f"{first.path}: {first.reason}"
        )


def _log_step(pretrainer: Pretrainer, reporter: Reporter, result: StepResult, pace: Pace) -> None:
    position = pretrainer.position
    pretrainer.log.write(
        "train",
        step=position.step,
        epoch=position.epoch + 1,
        loss=result.loss,
        lr=result.learning_rate,
        gradient_norm=result.gradient_norm,
        clips_per_second=round(pace.clips_per_second, 3),
        data_wait_share=round(pace.data_wait_share, 4),
    )
    reporter.step(position.step, f"loss {result.loss:.4f}  {pace}")


def _what_diverged(pretrainer: Pretrainer, batch: Batch, error: DivergedError) -> str:
    """Says where it broke, and writes down which clips it was given."""
    position = pretrainer.position
    paths = [pretrainer.clips.table.samples[index].path for index in batch.indices.tolist()]
    pretrainer.log.write("diverged", step=position.step + 1, epoch=position.epoch + 1, reason=str(error), videos=paths)
    shown = ", ".join(paths[:8]) + (f" and {len(paths) - 8} more (metrics.jsonl)" if len(paths) > 8 else "")
    return (
        f"{error} at step {position.step + 1}; {pretrainer.folder.last} is from before. A smaller learning_rate, a "
        f"longer warm-up or a clip_norm may help. The batch: {shown}"
    )


def _how_to_go_on(pretrainer: Pretrainer) -> str:
    folder, position = pretrainer.folder.path, pretrainer.position
    return (
        f"stopped after step {position.step} of {pretrainer.total_steps}, nothing is lost; go on with "
        f"`tubelet pretrain --resume --out {folder}` or tubelet.pretrain(out={str(folder)!r}, resume=True)"
    )
