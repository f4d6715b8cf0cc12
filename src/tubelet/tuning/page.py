"""The report of a tuning: what was seen of the videos, what was tried, and what came out."""

from __future__ import annotations

from tubelet.evaluation.intervals import Interval
from tubelet.report.page import environment, write_page
from tubelet.text import count
from tubelet.training.progress import format_seconds
from tubelet.tuning.result import Trial, TuneResult


def write_tuning_page(result: TuneResult, command: str) -> None:
    """Write `report.html`, whole or not at all."""
    write_page(tuning_page(result, command), result.page)


def tuning_page(result: TuneResult, command: str) -> str:
    """The page as text."""
    return (
        environment("tubelet.tuning")
        .get_template("tuning.html.j2")
        .render(
            title=f"Recipe fitted to {count(result.looks.videos, 'video')}",
            answer=_answer(result),
            command=command,
            judged=(
                f"Each trial learned {result.steps:,} steps from {count(result.learned, 'training video')} and was "
                f"judged by {result.held_out} others, held out of the training videos. Validation and test videos were "
                "not used."
            ),
            lines=[_line(trial, result) for trial in result.trials],
            looks=_looks(result),
            next=result.next,
            notes=result.notes,
            recipe=result.recipe.name,
            content=result.recipe.read_text(encoding="utf-8"),
        )
    )


def _answer(result: TuneResult) -> str:
    if not result.trials:
        return f"Nothing was tried. The recipe is {result.best.label}."
    chosen = next(trial for trial in result.trials[::-1] if trial.candidate is result.best)
    first = result.trials[0]
    if result.best is first.candidate:
        return f"Nothing that was tried is better than {result.best.label}, by more than a standard error."
    before = f", {first.accuracy:.1%} with {first.candidate.label}" if first.accuracy is not None else ""
    return (
        f"The recipe is: {result.best.label}. It got {chosen.accuracy:.1%} of the held-out labels right{before}. "
        "The best of several is flattered by its own videos: measure the model that is trained with it on others."
    )


def _line(trial: Trial, result: TuneResult) -> dict[str, object]:
    return {
        "round": trial.round,
        "label": trial.candidate.label,
        "why": trial.candidate.why,
        "accuracy": "" if trial.accuracy is None else f"{trial.accuracy:.1%}",
        "interval": _range(trial.interval),
        "difference": ""
        if trial.difference is None or trial.error is None
        else f"{100 * trial.difference:+.1f} ± {100 * trial.error:.1f}",
        "trained": "" if trial.train_accuracy is None else f"{trial.train_accuracy:.1%}",
        "took": format_seconds(trial.seconds),
        "chosen": trial.chosen,
        "failure": trial.failure,
        "link": None if trial.failure else (trial.folder / "report.html").relative_to(result.folder).as_posix(),
    }


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.1%} to {interval.high:.1%}"


def _looks(result: TuneResult) -> list[tuple[str, str]]:
    looks = result.looks
    found = [
        ("training videos", f"{looks.videos}, of {count(looks.units, 'independent unit')}"),
        ("frames of a video, median", str(looks.median_frames)),
    ]
    if looks.linear is None:
        return found
    linear = looks.linear
    found.append(
        ("linear classifier, whole picture", f"{linear.whole:.1%} ± {linear.error:.1%} (chance {linear.chance:.1%})")
    )
    for part in linear.parts:
        top, left, bottom, right = part.region
        where = f"height {top:.0%} to {bottom:.0%}, width {left:.0%} to {right:.0%}"
        found.append((f"the same, {where}", f"{part.accuracy:.1%}"))
    return found
