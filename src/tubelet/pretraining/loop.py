"""The pretraining loop, from a folder of videos to weights that a training starts from."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from tubelet.config import PretrainConfig, override, pretrain_config
from tubelet.config.run_state import FINISHED
from tubelet.data import Table
from tubelet.distributed.place import require_alone
from tubelet.model import ViViT
from tubelet.pretraining.picture import save_picture
from tubelet.pretraining.setup import resume_pretraining, start_pretraining
from tubelet.pretraining.trainer import Pretrainer
from tubelet.training import events
from tubelet.training.generators import restored_generators
from tubelet.training.interrupt import StopAsked, StopRequest, TrainingInterrupted, until_stopped
from tubelet.training.mirrors import mirroring
from tubelet.training.progress import ConsoleReporter, Pace, Reporter
from tubelet.training.run_folder import RunFolder
from tubelet.training.step import DivergedError, number_of_parts, seed_step, training_step
from tubelet.weights import load

PICTURE = "reconstructions.png"


@dataclass(frozen=True)
class PretrainResult:
    """What a pretraining came to.

    Attributes:
        folder: of the run: the `init` of a training; `tubelet.load(folder)` gives the model too.
        model: without head, in evaluation mode.
        loss: mean over the clips of the last epoch; NaN if none could be read.
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
        ConfigError: settings that do not exist or fit together; a run that would be overwritten; several processes.
        DataError: no usable data; not one video that can be read.
        UnreadableError: videos that could be read before cannot be read any more.
        InUseError: another process works in `out`.
        DivergedError: loss or gradient became infinite or no number. The last checkpoint is from before.
        SpikeError: one was far above the usual, and `on_spike` says stop. The last checkpoint is from before.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP, after a checkpoint was written.
    """
    require_alone("pretraining")
    reporter = reporter or ConsoleReporter()
    folder, started = RunFolder(os.fspath(out)), time.perf_counter()
    with restored_generators(), StopRequest() as stop, folder.lock:
        if resume:
            pretrainer, notes = resume_pretraining(data, folder, config, fields)
        else:
            chosen = pretrain_config(**fields) if config is None else override(config, **fields)
            pretrainer, notes = start_pretraining(data, folder, chosen)
        for note in notes:
            reporter.message(note)
        position = pretrainer.position
        monitoring = pretrainer.config.monitoring
        with pretrainer.writing_to(folder), mirroring(pretrainer.log, folder, monitoring, position.step):
            reporter.begin(position.step, pretrainer.total_steps)
            try:
                loss = _fit(pretrainer, reporter, stop)
            finally:
                reporter.end()
            seconds = time.perf_counter() - started
            events.count_spikes(pretrainer, reporter)
            pretrainer.log.write("end", step=position.step, epoch=position.epoch, seconds=seconds, reason=FINISHED)
        picture = save_picture(pretrainer.masked, pretrainer.clips, folder.path / PICTURE, pretrainer.config.seed)
    failures = len(pretrainer.failures)
    return PretrainResult(folder.path, load(folder.path), loss, position.step, seconds, picture, failures)


def _fit(pretrainer: Pretrainer, reporter: Reporter, stop: StopRequest) -> float:
    """From where the pretrainer stands to the end; the mean loss of the last epoch."""
    position, epochs = pretrainer.position, pretrainer.config.optimisation.epochs
    try:
        while position.epoch < epochs:
            pace = _epoch(pretrainer, reporter, stop)
            position.epoch, position.batch = position.epoch + 1, 0
            pretrainer.log.write("epoch", step=position.step, epoch=position.epoch, loss=position.mean_loss)
            reporter.epoch(events.learned_line(position, epochs, pace, digits=4))
    except StopAsked:
        pretrainer.save()
        pretrainer.log.write("interrupted", step=position.step, epoch=position.epoch)
        pretrainer.deliver()
        raise TrainingInterrupted(events.how_to_go_on(pretrainer, "pretrain"), stop.signal_number or 0) from None
    pretrainer.save()
    pretrainer.deliver()
    return position.mean_loss


def _epoch(pretrainer: Pretrainer, reporter: Reporter, stop: StopRequest) -> Pace:
    """Take the steps that are left of the epoch."""
    position, optimisation, pace = pretrainer.position, pretrainer.config.optimisation, Pace()
    position.begin_epoch()
    for batch in until_stopped(pretrainer.batches(), stop):
        pace.data_came()
        events.note_failures(pretrainer, reporter, batch)
        if len(batch):
            seed_step(pretrainer.config.seed, position.step)
            pretrainer.watch.begin(position.step + 1)
            try:
                result = training_step(
                    pretrainer.forward,
                    batch,
                    pretrainer.optimiser,
                    _the_loss_itself,
                    learning_rate=pretrainer.learning_rate(),
                    accumulate_steps=number_of_parts(optimisation, len(batch)),
                    clip_norm=optimisation.clip_norm,
                    autocast=pretrainer.autocast,
                    early=pretrainer.early,
                )
            except DivergedError as error:
                raise events.diverged(pretrainer, batch, error) from None
            pace.step_done(len(batch))
        position.count(len(batch), len(batch.failures), result.loss if len(batch) else 0.0)
        if len(batch):
            events.note_step(pretrainer, reporter, result, pace, digits=4)
            events.note_spikes(pretrainer, reporter, batch, result)
            if pretrainer.checkpoint_is_due():
                pretrainer.save()
        if stop:
            raise StopAsked
    return pace


def _the_loss_itself(losses: Tensor, targets: dict[str, Tensor]) -> Tensor:
    """`MaskedTubelets` gives the loss of each clip already: what is to be guessed is in the clip."""
    return losses
