"""What the loop writes down and tells: events in `metrics.jsonl`, lines for a person, and the words of its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from tubelet.config.run_state import EARLY, TIME
from tubelet.data import Batch, ClipDataset, Failure
from tubelet.errors import DataError, UnreadableError
from tubelet.evaluation import Evaluation
from tubelet.text import listing
from tubelet.training.log import EventLog
from tubelet.training.position import Position
from tubelet.training.progress import Pace, Reporter
from tubelet.training.run_folder import FailureLog, RunFolder
from tubelet.training.step import DivergedError, StepResult
from tubelet.training.trainer import Trainer
from tubelet.training.watch import SpikeError, StepWatch

HOPELESS = 100
"""So many clips in a row that cannot be read, or all of an epoch, end a training."""

SHOWN = 8
"""Videos that an error names; `metrics.jsonl` has all of them."""


@runtime_checkable
class Learner(Protocol):
    """What learns from clips in steps and keeps a run folder: a training, or a pretraining."""

    folder: RunFolder
    log: EventLog
    failures: FailureLog
    clips: ClipDataset
    watch: StepWatch
    failed_in_a_row: int

    @property
    def total_steps(self) -> int:
        """Of the whole run."""
        ...

    @property
    def position(self) -> Position:
        """How far it is."""
        ...


def note_failures(
    learner: Learner, reporter: Reporter, batch: Batch, what: str = "videos", clips: int | None = None
) -> None:
    """Write down and tell which videos cannot be read; give up where there are only such for a while.

    Args:
        learner: whose videos they are.
        reporter: is told.
        batch: with its failures.
        what: the videos in the words of the error: "training videos".
        clips: that could be read; by default those of the batch.

    Raises:
        DataError: not one video could be read so far, and many, or all, were tried.
        UnreadableError: videos could be read, and then so many in a row could not.
    """
    for failure in learner.failures.note(batch.failures):
        reporter.message(f"cannot be read and is left out: {failure.path}: {failure.reason}")
    some = len(batch) if clips is None else clips
    learner.failed_in_a_row = 0 if some else learner.failed_in_a_row + len(batch.failures)
    if learner.failed_in_a_row < min(HOPELESS, len(learner.clips)):
        return
    example = f"{batch.failures[0].path}: {batch.failures[0].reason}"
    if learner.position.epoch or learner.position.clips:
        raise UnreadableError(
            f"the last {learner.failed_in_a_row} {what} in a row could not be read, and those before could; {example}. "
            f"When they are there again, go on with --resume; {learner.folder.last} is from before"
        )
    raise DataError(
        f"not one of the first {learner.failed_in_a_row} {what} can be read, so there is nothing to learn from; "
        f"{example}"
    )


def note_step(learner: Learner, reporter: Reporter, result: StepResult, pace: Pace, digits: int = 3) -> None:
    """Write down and tell what a step did, the loss with so many digits; it is counted already."""
    position = learner.position
    ratio = learner.watch.update_ratio
    learner.log.write(
        "train",
        step=position.step,
        epoch=position.epoch + 1,
        loss=result.loss,
        lr=result.learning_rate,
        gradient_norm=result.gradient_norm,
        **({} if ratio is None else {"update_ratio": ratio}),
        clips_per_second=round(pace.clips_per_second, 3),
        data_wait_share=round(pace.data_wait_share, 4),
    )
    reporter.step(position.step, f"loss {result.loss:.{digits}f}  {pace}")


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
    """An epoch of a training in one line."""
    text = learned_line(trainer.position, trainer.epochs, pace)
    if evaluation is not None:
        loss = "-" if evaluation.loss is None else f"{evaluation.loss:.3f}"
        text += f"  validation top-1 {evaluation.top1:6.2%} loss {loss}{'  best' if improved else ''}"
        text += _unreadable(len(evaluation.failures), evaluation.num_videos)
    return text


def nothing_validated(trainer: Trainer, evaluation: Evaluation) -> UnreadableError:
    """The error of a validation that has no readable video: it says nothing of the weights, and chooses none."""
    trainer.failures.note(Failure(-1, failure.path, failure.reason) for failure in evaluation.failures)
    first = evaluation.failures[0]
    return UnreadableError(
        f"not one of the {evaluation.num_videos} validation videos can be read, so the weights cannot be judged; "
        f"{first.path}: {first.reason}. When they are there again, go on with --resume, which validates again; "
        "or start a new run with --validation-split none"
    )


def learned_line(position: Position, epochs: int, pace: Pace, digits: int = 3) -> str:
    """What was learned in the epoch that is over: its number, the loss with so many digits, the pace."""
    text = f"epoch {position.epoch:>{len(str(epochs))}}/{epochs}"
    if pace.clips:
        text += f"  loss {position.mean_loss:.{digits}f}  {pace}"
    return text + _unreadable(position.clips_failed, position.clips + position.clips_failed)


def _unreadable(failed: int, total: int) -> str:
    return f"  {failed} of {total} clips unreadable ({failed / total:.1%})" if failed else ""


def note_end(trainer: Trainer, reporter: Reporter, seconds: float) -> None:
    """Write down that the training is over and why, and tell it where that is not what was planned."""
    position = trainer.position
    trainer.log.write(
        "end", step=position.step, epoch=position.epoch, seconds=seconds, reason=position.ended, epochs=trainer.epochs
    )
    count_spikes(trainer, reporter)
    planned = f"epoch {position.epoch} of {trainer.config.optimisation.epochs}"
    if position.ended == EARLY:
        reporter.message(
            f"stopped early after {planned}: no better validation in {position.since_best} (patience="
            f"{trainer.config.validation.patience})"
        )
    elif position.ended == TIME:
        reporter.message(f"stopped in {planned}: the time is over (minutes={trainer.config.optimisation.minutes:g})")


def diverged(learner: Learner, batch: Batch, error: DivergedError) -> DivergedError:
    """The error that says where it broke; the clips that it was given are written down."""
    position = learner.position
    paths = _videos(learner, batch)
    learner.log.write("diverged", step=position.step + 1, epoch=position.epoch + 1, reason=str(error), videos=paths)
    return DivergedError(
        f"{error} at step {position.step + 1}; {learner.folder.last} is from before. A smaller learning_rate, a longer "
        f"warm-up or a clip_norm may help. The batch: {_listed(paths)}"
    )


def note_spikes(
    learner: Learner,
    reporter: Reporter,
    batch: Batch,
    result: StepResult,
    whole: Callable[[Batch], Batch] = lambda batch: batch,
) -> None:
    """Write down which figures of a step, which is counted already, are out of line, and the clips that it was given.

    Args:
        learner: whose step it was.
        reporter: is told.
        batch: of the step.
        result: of the step.
        whole: gives the batch of all processes, of which `batch` is a part.

    Raises:
        SpikeError: there are some and the training is to stop then; no checkpoint was written since.
    """
    spikes = learner.watch.spikes(result)
    if not spikes:
        return
    position, paths = learner.position, _videos(learner, whole(batch))
    where = {"step": position.step, "epoch": position.epoch + 1}
    for spike in spikes:
        learner.log.write("spike", **where, what=spike.what, value=spike.value, usual=spike.usual, videos=paths)
    words = f"spike at step {position.step}: {' and '.join(map(str, spikes))}"
    on_spike = learner.watch.config.on_spike
    if on_spike == "stop":
        raise SpikeError(
            f"{words}; {learner.folder.last} is from before. Resume with on_spike='tell' to go through it, or start "
            f"anew with a smaller learning_rate, a longer warm-up or a clip_norm. The batch: {_listed(paths)}"
        )
    if on_spike == "tell" and learner.watch.spike_steps == 1:
        reporter.message(f"{words}. The batch: {_listed(paths)}. Further ones are counted (metrics.jsonl has each)")


def count_spikes(learner: Learner, reporter: Reporter) -> None:
    """Tell how many spikes there were, where more than the first one was to be told."""
    steps = learner.watch.spike_steps
    if steps > 1 and learner.watch.config.on_spike == "tell":
        reporter.message(
            f"{steps} of {learner.position.step} steps had a spike; metrics.jsonl has each with its videos"
        )


def _videos(learner: Learner, batch: Batch) -> list[str]:
    return [learner.clips.table.samples[index].path for index in batch.indices.tolist()]


def _listed(paths: Sequence[str]) -> str:
    return listing(paths, SHOWN, more=" (metrics.jsonl)")


def how_to_go_on(learner: Learner, verb: str) -> str:
    """For whoever stopped it; `verb` is what the command line and the library call it."""
    folder, position = learner.folder.path, learner.position
    return (
        f"stopped after step {position.step} of {learner.total_steps}, nothing is lost; go on with "
        f"`tubelet {verb} --resume --out {folder}` or tubelet.{verb}(out={str(folder)!r}, resume=True)"
    )
