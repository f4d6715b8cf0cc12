"""What the loop writes down and tells: events in `metrics.jsonl`, lines for a person, and the words of its errors."""

from __future__ import annotations

from tubelet.data import Batch, Failure
from tubelet.errors import DataError
from tubelet.evaluate import Evaluation
from tubelet.train.progress import Pace, Reporter
from tubelet.train.step import DivergedError, StepResult
from tubelet.train.trainer import Trainer

HOPELESS = 100
"""So many videos that cannot be read, and not one that can, end a training."""

SHOWN = 8
"""Videos that an error names; `metrics.jsonl` has all of them."""


def note_failures(trainer: Trainer, reporter: Reporter, batch: Batch) -> None:
    """Write down and tell which videos cannot be read; give up if there is nothing but such.

    Raises:
        DataError: not one video could be read so far, and enough were tried.
    """
    for failure in trainer.failures.note(batch.failures):
        reporter.message(f"cannot be read and is left out: {failure.path}: {failure.reason}")
    trainer.clips_read += len(batch)
    trainer.clips_failed += len(batch.failures)
    if not trainer.clips_read and trainer.clips_failed >= min(HOPELESS, len(trainer.clips)):
        first = batch.failures[0]
        raise DataError(
            f"not one of the first {trainer.clips_failed} training videos can be read, so there is nothing to learn "
            f"from; {first.path}: {first.reason}"
        )


def note_step(trainer: Trainer, reporter: Reporter, result: StepResult, pace: Pace) -> None:
    """Write down and tell what a step did; it is counted already."""
    position = trainer.position
    trainer.log.write(
        "train",
        step=position.step,
        epoch=position.epoch + 1,
        loss=result.loss,
        lr=result.learning_rate,
        gradient_norm=result.gradient_norm,
        clips_per_second=round(pace.clips_per_second, 3),
        data_wait_share=round(pace.data_wait_share, 4),
    )
    reporter.step(position.step, f"loss {result.loss:.3f}  {pace}")


def note_validation(trainer: Trainer, evaluation: Evaluation) -> None:
    """Write down the figures of a validation, and the videos that it could not read."""
    position = trainer.position
    heads = {head: metrics.top1 for head, metrics in evaluation.metrics.items()}
    trainer.log.write(
        "validation",
        step=position.step,
        epoch=position.epoch,
        loss=evaluation.loss,
        top1=evaluation.top1,
        **({"top1_by_head": heads} if len(heads) > 1 else {}),
        top5=next(iter(evaluation.metrics.values())).top5 if len(heads) == 1 else None,
        best=position.best is not None and position.best.step == position.step,
        num_failures=len(evaluation.failures),
        seconds=round(evaluation.seconds, 3),
    )
    trainer.failures.note(Failure(-1, failure.path, failure.reason) for failure in evaluation.failures)


def epoch_line(trainer: Trainer, pace: Pace, evaluation: Evaluation | None, improved: bool) -> str:
    """An epoch in one line."""
    epochs = trainer.config.optimisation.epochs
    text = f"epoch {trainer.position.epoch:>{len(str(epochs))}}/{epochs}"
    if pace.clips:
        text += f"  loss {pace.mean_loss:.3f}  {pace}"
    if evaluation is not None:
        loss = "-" if evaluation.loss is None else f"{evaluation.loss:.3f}"
        text += f"  validation top-1 {evaluation.top1:6.2%} loss {loss}{'  best' if improved else ''}"
    return text


def diverged(trainer: Trainer, batch: Batch, error: DivergedError) -> DivergedError:
    """The error that says where the training broke; the clips that it was given are written down."""
    position = trainer.position
    paths = [trainer.clips.table.samples[index].path for index in batch.indices.tolist()]
    trainer.log.write("diverged", step=position.step + 1, epoch=position.epoch + 1, reason=str(error), videos=paths)
    more = f" and {len(paths) - SHOWN} more (metrics.jsonl)" if len(paths) > SHOWN else ""
    return DivergedError(
        f"{error} at step {position.step + 1}; {trainer.folder.last} is from before. A smaller learning_rate, a longer "
        f"warm-up or a clip_norm may help. The batch: {', '.join(paths[:SHOWN])}{more}"
    )


def how_to_go_on(trainer: Trainer) -> str:
    """For whoever stopped a training."""
    folder, position = trainer.folder.path, trainer.position
    return (
        f"stopped after step {position.step} of {trainer.total_steps}, nothing is lost; go on with "
        f"`tubelet train --resume --out {folder}` or tubelet.train(out={str(folder)!r}, resume=True)"
    )
