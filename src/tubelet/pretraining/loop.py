"""Pretraining as one call: from a folder of videos to weights that a training starts from."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tubelet.config import PretrainConfig, override, pretrain_config
from tubelet.data import Table, read_configured
from tubelet.distributed.world import World
from tubelet.model import ViViT
from tubelet.pretraining.model import MaskedTubelets
from tubelet.pretraining.picture import save_picture
from tubelet.pretraining.task import MaskedTask, choose
from tubelet.training.fit import Outcome, run
from tubelet.training.lengths import with_training_lengths
from tubelet.training.model import build_model
from tubelet.training.parallel import whole_tensors
from tubelet.training.progress import Reporter
from tubelet.training.run_folder import RunFolder
from tubelet.training.setup import create_run, resume_run, with_source
from tubelet.training.step import seed_step
from tubelet.training.task import require_shareable
from tubelet.training.trainer import Trainer
from tubelet.training.videos import note_videos

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
        picture: what the model predicts of some clips; None if not one of them could be read.
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

    Most of each clip is hidden and has to be predicted from the rest (`MaskedTubelets`). It pays most where labelled
    videos are few.

        out/model.safetensors, config.json   the encoder without head: the `init` of a training
        out/reconstructions.png              clips, what was visible of them, and what the model predicts
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
        UnreadableError: videos that could be read before cannot be read any more.
        InUseError: another process works in `out`.
        DivergedError: loss or gradient became infinite or no number. The last checkpoint is from before.
        SpikeError: one was far above the usual, and `on_spike` says stop. The last checkpoint is from before.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP, after a checkpoint was written.
    """

    def begin(folder: RunFolder, world: World) -> tuple[Trainer, list[str]]:
        if resume:
            return resume_run(MaskedTask, data, folder, config, fields, world)
        chosen = pretrain_config(**fields) if config is None else override(config, **fields)
        return start_pretraining(data, folder, chosen, world)

    return run(begin, _result, out, resume=resume, reporter=reporter)


def start_pretraining(
    data: Table | str | os.PathLike[str] | None, out: RunFolder, config: PretrainConfig, world: World
) -> tuple[Trainer, list[str]]:
    """Prepare a new run; its folder appears when all is in it.

    Returns:
        the trainer, and what was decided, for the user.
    """
    if world.first:
        out.require_unused()
    require_shareable(config, world)
    config = with_source(config, data)
    unlabelled = replace(config.data, labels=())
    table = world.broadcast(lambda: without_labels(data if isinstance(data, Table) else read_configured(unlabelled)))
    chosen, which = choose(table, config.splits)
    seed_step(config.seed, -1)
    model, start = build_model(config.as_training(), chosen)
    model.labels = None
    described = model.preprocessing
    assert described is not None
    model.preprocessing, rates = world.broadcast(lambda: with_training_lengths(described, chosen))
    learns, name = tuple(chosen.splits), out.path.resolve().name
    known = world.broadcast(lambda: note_videos(model, table, name, None, learns=learns))
    notes = [*table.notes, which, *start, *rates, *known]
    return create_run(MaskedTask.of(model, table, config, world), out, table, notes, world)


def _result(outcome: Outcome) -> PretrainResult:
    trainer = outcome.trainer
    task, folder = trainer.task, trainer.folder.path
    assert isinstance(task, MaskedTask)
    masked = _whole(trainer, task.module)
    picture = trainer.world.broadcast(lambda: save_picture(masked, task.clips, folder / PICTURE, trainer.config.seed))
    return PretrainResult(
        folder,
        trainer.exported_model(),
        trainer.position.mean_loss,
        trainer.position.step,
        outcome.seconds,
        picture,
        len(trainer.failures),
    )


def _whole(trainer: Trainer, masked: MaskedTubelets) -> MaskedTubelets:
    """Encoder and decoder; with FSDP a plain copy with all parameters."""
    if not trainer.parallel.sharded:
        return masked
    plain = MaskedTubelets(trainer.parallel.whole(masked.model), masked.masking).to(trainer.task.device)
    plain.load_state_dict(whole_tensors(masked))
    return plain


def without_labels(table: Table) -> Table:
    """The same videos with their labels forgotten; one that was listed with several labels is there once."""
    bare = dict.fromkeys(
        (sample.path, sample.start, sample.end, sample.split, sample.group) for sample in table.samples
    )
    samples = tuple(
        replace(table.samples[0], path=path, labels={}, start=start, end=end, split=split, group=group)
        for path, start, end, split, group in bare
    )
    return replace(table, samples=samples, classes={})
