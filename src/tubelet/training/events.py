"""What the loop logs and reports: events in `metrics.jsonl`, lines for the user, and its errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tubelet.config.run_state import EARLY, TIME
from tubelet.data import Batch, Failure
from tubelet.errors import DataError, UnreadableError
from tubelet.evaluation import Evaluation
from tubelet.text import count, listing
from tubelet.training.log import read_events
from tubelet.training.monitor import Spike, SpikeError
from tubelet.training.position import Best
from tubelet.training.progress import Pace, Reporter
from tubelet.training.step import DivergedError, StepResult
from tubelet.training.trainer import Trainer

HOPELESS = 100
"""So many clips in a row that cannot be read, or all of an epoch, end a training."""

SHOWN = 8
"""Videos that an error names; `metrics.jsonl` has all of them."""


def note_failures(trainer: Trainer, reporter: Reporter, batch: Batch, clips: int) -> None:
    """Log and report the videos of a batch that cannot be read; of all processes, `clips` could.

    Raises:
        DataError: not one video could be read so far, and many, or all, were tried.
        UnreadableError: videos could be read, and then so many in a row could not.
    """
    for failure in trainer.failures.note(batch.failures):
        reporter.message(f"cannot be read and is left out: {failure.path}: {failure.reason}")
    trainer.failed_in_a_row = 0 if clips else trainer.failed_in_a_row + len(batch.failures)
    if trainer.failed_in_a_row < min(HOPELESS, len(trainer.task.clips)):
        return
    failed = f"{trainer.failed_in_a_row} {trainer.task.videos}"
    example = f"{batch.failures[0].path}: {batch.failures[0].reason}"
    if trainer.position.epoch or trainer.position.clips:
        raise UnreadableError(
            f"the last {failed} in a row could not be read, and those before could; {example}. "
            f"When they are there again, go on with --resume; {trainer.folder.last} is from before"
        )
    raise DataError(f"not one of the first {failed} can be read, so there is nothing to learn from; {example}")


def note_step(trainer: Trainer, reporter: Reporter, result: StepResult, pace: Pace) -> None:
    """Log and report a step, which is counted already."""
    position = trainer.position
    ratio = trainer.monitor.update_ratio
    trainer.log.write(
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
    reporter.step(position.step, f"loss {result.loss:.{trainer.task.digits}f}  {pace}")


def note_validation(trainer: Trainer, evaluation: Evaluation) -> None:
    """Log a validation, and the videos that it could not read."""
    position = trainer.position
    heads = {head: metrics.top1 for head, metrics in evaluation.metrics.items()}
    trainer.log.write(
        "validation",
        step=position.step,
        epoch=position.epoch,
        loss=evaluation.loss,
        top1=evaluation.top1 if evaluation.metrics else None,
        **({"top1_by_head": heads} if len(heads) > 1 else {}),
        top5=next(iter(evaluation.metrics.values())).top5 if len(heads) == 1 else None,
        **({"mean_average_precision": evaluation.mean_average_precision} if evaluation.multi_label else {}),
        best=position.best is not None and position.best.step == position.step,
        num_failures=len(evaluation.failures),
        seconds=round(evaluation.seconds, 3),
    )
    trainer.failures.note(Failure(-1, failure.path, failure.reason) for failure in evaluation.failures)


def epoch_line(trainer: Trainer, pace: Pace, evaluation: Evaluation | None, improved: bool) -> str:
    """An epoch in one line: its number, the mean loss, the pace, the validation."""
    position, epochs = trainer.position, trainer.epochs
    text = f"epoch {position.epoch:>{len(str(epochs))}}/{epochs}"
    if pace.clips:
        text += f"  loss {position.mean_loss:.{trainer.task.digits}f}  {pace}"
    text += _unreadable(position.clips_failed, position.clips + position.clips_failed)
    if evaluation is not None:
        loss = "-" if evaluation.loss is None else f"{evaluation.loss:.3f}"
        figures = Best.of(evaluation, position.step, position.epoch).in_words()
        text += f"  validation {figures} loss {loss}{'  best' if improved else ''}"
        text += _unreadable(len(evaluation.failures), evaluation.num_videos)
    return text


def nothing_validated(trainer: Trainer, evaluation: Evaluation) -> UnreadableError:
    """The error of a validation without a readable video."""
    trainer.failures.note(Failure(-1, failure.path, failure.reason) for failure in evaluation.failures)
    first = evaluation.failures[0]
    return UnreadableError(
        f"not one of the {evaluation.num_videos} validation videos can be read, so the weights cannot be judged; "
        f"{first.path}: {first.reason}. When they are there again, go on with --resume, which validates again; "
        "or start a new run with --validation-split none"
    )


def _unreadable(failed: int, total: int) -> str:
    return f"  {failed} of {total} clips unreadable ({failed / total:.1%})" if failed else ""


def note_end(trainer: Trainer, reporter: Reporter, seconds: float) -> None:
    """Log the end of the training and its reason; report it where that is not what was planned."""
    position = trainer.position
    trainer.log.write(
        "end", step=position.step, epoch=position.epoch, seconds=seconds, reason=position.ended, epochs=trainer.epochs
    )
    if trainer.monitor.spike_steps and trainer.world.first and trainer.monitor.config.on_spike == "warn":
        reporter.message(spike_line(trainer))
    planned = f"epoch {position.epoch} of {trainer.config.optimisation.epochs}"
    if position.ended == EARLY:
        reporter.message(
            f"stopped early after {planned}: no better validation in {position.since_best} (patience="
            f"{trainer.task.validation and trainer.task.validation.patience})"
        )
    elif position.ended == TIME:
        reporter.message(f"stopped in {planned}: the time is over (minutes={trainer.config.optimisation.minutes:g})")


def unfrozen(trainer: Trainer) -> str:
    """What changes with the epoch that begins."""
    optimisation = trainer.config.optimisation
    return (
        f"from epoch {trainer.position.epoch + 1} on everything learns: {optimisation.freeze} was frozen for "
        f"{count(trainer.position.epoch, 'epoch')}"
    )


def spike_line(trainer: Trainer) -> str:
    """All spikes of a training in one line: how many, the largest against what was usual, and where each is."""
    found = read_events(trainer.folder.metrics, "spike")
    if not found:  # the file lost its lines
        return f"{count(trainer.monitor.spike_steps, 'step')} of {trainer.position.step} had a spike"
    largest = max(found, key=lambda event: event["value"] / event["usual"])
    steps = len({event["step"] for event in found})
    return (
        f"{steps} of {trainer.position.step} steps had a spike, the largest at step {largest['step']}: "
        f"{Spike(largest['what'], largest['value'], largest['usual'])}; metrics.jsonl has each with its videos"
    )


def diverged(trainer: Trainer, indices: list[int], error: DivergedError) -> DivergedError:
    """The error that says where it broke; the videos of the step, of all processes, are logged."""
    position, paths = trainer.position, _paths(trainer, indices)
    trainer.log.write("diverged", step=position.step + 1, epoch=position.epoch + 1, reason=str(error), videos=paths)
    return DivergedError(
        f"{error} at step {position.step + 1}; {trainer.folder.last} is from before. A smaller learning_rate, a longer "
        f"warm-up or a clip_norm may help. The batch: {_listed(paths)}"
    )


def note_spikes(trainer: Trainer, result: StepResult, indices: Callable[[], list[int]]) -> None:
    """Log the spikes of a step, which is counted already, with the videos of the batch; `note_end` counts them.

    Args:
        trainer: took the step.
        result: of the step.
        indices: gives the samples of the batch, of all processes; called if they are needed.

    Raises:
        SpikeError: a spike, with `on_spike="stop"`; no checkpoint was written since.
    """
    spikes = trainer.monitor.spikes(result)
    if not spikes:
        return
    position, paths = trainer.position, _paths(trainer, indices())
    where = {"step": position.step, "epoch": position.epoch + 1}
    for spike in spikes:
        trainer.log.write("spike", **where, what=spike.what, value=spike.value, usual=spike.usual, videos=paths)
    words = f"spike at step {position.step}: {' and '.join(map(str, spikes))}"
    if trainer.monitor.config.on_spike == "stop":
        raise SpikeError(
            f"{words}; {trainer.folder.last} is from before. Resume with on_spike='warn' to go through it, or start "
            f"anew with a smaller learning_rate, a longer warm-up or a clip_norm. The batch: {_listed(paths)}"
        )


def _paths(trainer: Trainer, indices: list[int]) -> list[str]:
    return [trainer.task.clips.table.samples[index].path for index in indices]


def _listed(paths: Sequence[str]) -> str:
    return listing(paths, SHOWN, more=" (metrics.jsonl)")


def how_to_go_on(trainer: Trainer) -> str:
    """The message of a training that was stopped."""
    folder, position, verb = trainer.folder.path, trainer.position, trainer.task.verb
    return (
        f"stopped after step {position.step} of {trainer.total_steps}, nothing is lost; go on with "
        f"`tubelet {verb} --resume --out {folder}` or tubelet.{verb}(out={str(folder)!r}, resume=True)"
    )
