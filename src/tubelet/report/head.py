"""The head of a page: which videos the figures are of, whether the model knew them, and what was trained."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.config.split_names import split_name
from tubelet.report.measured import between, fitted_words, percent, views_text
from tubelet.report.run_files import RunFiles, Table
from tubelet.report.state import delivered_epoch, is_number, keeps_best, setting, training_state
from tubelet.text import count

SPLITS = {"train": "training", "val": "validation"}
"""Splits whose name says more when it is written in full."""


@dataclass(frozen=True)
class Figure:
    """A number at the top of the page."""

    name: str
    value: str
    note: str = ""


def split_words(evaluation: Table) -> str:
    """What the evaluated videos are to the training: `validation`, `test`, `all videos`."""
    split = evaluation.get("split")
    return "all videos" if not split else SPLITS.get(split_name(str(split)), str(split))


def learned_from(files: RunFiles, evaluation: Table) -> int | None:
    """How many of the evaluated videos the model learned from; None if that is not known.

    An evaluation from before this was stored is held against the splits of its run.
    """
    if is_number(evaluation.get("learned_from")) and (evaluation["learned_from"] or not unknown(evaluation)):
        return int(evaluation["learned_from"])
    if (
        unknown(evaluation)
        or "learned_from" in evaluation
        or evaluation is not files.evaluation
        or not (files.splits and files.predictions)
    ):
        return None
    learned = {row.get("path") for row in files.splits if split_name(row.get("split") or "") == "train"}
    return sum(one.get("path") in learned for one in files.predictions)


def unknown(evaluation: Table) -> bool:
    """Whether it cannot be known what the model learned from."""
    return bool(evaluation.get("provenance_unknown"))


def chosen_on(files: RunFiles, evaluation: Table) -> int | None:
    """How many of the evaluated videos chose the weights; None if that is not known."""
    if is_number(evaluation.get("chosen_on")):
        return int(evaluation["chosen_on"])
    wanted, split = setting(files, "validation", "validation_split"), evaluation.get("split")
    if "chosen_on" in evaluation or evaluation is not files.evaluation or not (wanted and split):
        return None
    same = split_name(str(split)) == split_name(str(wanted))
    chose = same and keeps_best(files) and bool(files.events_of("validation"))
    return int(evaluation.get("num_videos") or 0) if chose else 0


def what_it_is_of(files: RunFiles) -> str:
    """The sentence above the figures: how many videos, of which split, and what that makes them."""
    evaluation = files.evaluation
    total = evaluation.get("num_videos")
    if not is_number(total):
        return "Not evaluated yet: tubelet evaluate measures the model on videos that it did not learn from."
    videos = count(int(total), "video")
    split = evaluation.get("split")
    where = f"of the {split_words(evaluation)} split" if split else "(all that were given, without a split)"
    role, chose = "", chosen_on(files, evaluation)
    if chose:
        which = "These videos" if chose >= total else f"{chose:,} of them"
        role = f" {which} chose the weights, so the figures are likely too good: this is not a test."
    elif split and split_name(str(split)) == "train":
        role = " The model was trained on this split: the figures do not say how it does on new videos."
    return f"The figures are of {videos} {where}.{role}"


def warnings(files: RunFiles) -> list[str]:
    """What must not be overlooked: a training that was stopped, videos that the model had learned from."""
    found, evaluation, state = [], files.evaluation, training_state(files)
    if state is not None and state.finished is False:
        found.append(f"This training is not finished: it {state.words}.")
    if evaluation.get("num_videos"):
        total, learned = evaluation["num_videos"], learned_from(files, evaluation)
        if learned:
            found.append(
                f"The model, or one that it was started from, learned from {learned:,} of these {total:,} videos. The "
                "figures do not say how it does on new ones."
            )
        left_out = evaluation.get("left_out")
        if left_out:
            found.append(f"{left_out:,} more videos were left out of the figures: the model had learned from them.")
        if unknown(evaluation):
            reason = evaluation["provenance_unknown"]
            why = f": {reason}" if isinstance(reason, str) else ""
            found.append(f"It is not known whether the model had learned from these videos{why}.")
    return found


def headline(files: RunFiles) -> list[Figure]:
    """The main metrics, each with the split that it is of."""
    evaluation, shown = files.evaluation, []
    of = split_words(evaluation)
    for head, metrics in evaluation.get("metrics", {}).items():
        prefix = "" if head == "label" else f"{head} "
        classes = len(evaluation.get("classes", {}).get(head, []))
        chance = f"chance {1 / classes:.1%}" if classes else ""
        note = "; ".join(filter(None, (between(evaluation, metrics, "top1"), chance)))
        shown.append(Figure(f"{prefix}top-1, {of}", percent(metrics.get("top1")), note))
        if metrics.get("top5") is not None:
            note = between(evaluation, metrics, "top5")
            shown.append(Figure(f"{prefix}top-5, {of}", percent(metrics["top5"]), note))
        mean, note = percent(metrics.get("mean_class_accuracy")), between(evaluation, metrics, "mean_class_accuracy")
        shown.append(Figure(f"{prefix}mean class accuracy, {of}", mean, note))
    joint = evaluation.get("joint")
    if joint:
        shown.append(Figure(f"all heads right, {of}", percent(joint.get("top1")), between(evaluation, joint, "top1")))
        if joint.get("top5") is not None:
            note = between(evaluation, joint, "top5")
            shown.append(Figure(f"all heads, among the best five, {of}", percent(joint["top5"]), note))
    for head, one in (evaluation.get("multi_label") or {}).items():
        prefix = "" if head == "label" else f"{head} "
        note = between(evaluation, one, "mean_average_precision")
        shown.append(Figure(f"{prefix}mean average precision, {of}", percent(one.get("mean_average_precision")), note))
        if one.get("macro_f1") is not None:
            fitted = fitted_words(evaluation, one)
            note = f"thresholds {fitted}" if fitted else "threshold 0.5 for every class"
            shown.append(Figure(f"{prefix}F1, mean over classes, {of}", percent(one["macro_f1"]), note))
    for head, one in (evaluation.get("abstention") or {}).items():
        prefix, note = "" if head == "label" else f"{head} ", fitted_words(evaluation, one)
        shown.append(Figure(f"{prefix}answered, {of}", percent(one["coverage"]), f"the others are unknown; {note}"))
        shown.append(
            Figure(f"{prefix}right where answered, {of}", percent(one["accuracy"]), f"{one['answered']:,} videos")
        )
    if not evaluation:
        for key, name in (("top1", "top-1"), ("mean_average_precision", "mean average precision")):
            best = [event[key] for event in files.events_of("validation") if is_number(event.get(key))]
            if best:
                shown.append(Figure(f"best validation {name}", percent(max(best)), "it chose itself: not a test"))
    if evaluation.get("num_videos") is not None:
        views = views_text(evaluation.get("views"))
        shown.append(Figure(f"videos, {of}", f"{evaluation['num_videos']:,}", f"{views} views each"))
    return shown


def facts(files: RunFiles) -> list[tuple[str, str]]:
    """What the page is about, in a few lines: data, dates, recipe, how far the training came."""
    evaluation, run, state = files.evaluation, files.run, training_state(files)
    rows = [("run", files.of_run)] if files.of_run else []
    if evaluation.get("num_videos") is not None:
        rows.append(("evaluated", _evaluated(files, evaluation)))
        learned = learned_from(files, evaluation)
        known = "not known" if learned is None else f"{learned:,} of these {evaluation['num_videos']:,} videos"
        rows.append(("learned from", known))
    source = setting(files, "data", "source")
    if source:
        rows.append(("trained on", str(source)))
    recipe = setting(files, "recipe")
    if recipe:
        rows.append(("recipe", str(recipe)))
    if state is not None:
        rows.append(("training", state.words))
        if state.seconds is not None:
            since = " since it was last resumed" if run.get("resumed") else ""
            rows.append(("duration", f"{duration_text(state.seconds)}{since}"))
    epoch = delivered_epoch(files)
    if epoch is not None:
        rows.append(("weights", f"of epoch {epoch:,}, the best in validation"))
    if run.get("created"):
        rows.append(("begun", date_text(run["created"])))
    return rows


def command(files: RunFiles) -> str:
    """What was typed to make the run; empty if that is not known."""
    environment = files.run.get("environment")
    typed = environment.get("command") if isinstance(environment, Mapping) else None
    if not isinstance(typed, list) or not typed:
        return ""
    program = Path(str(typed[0])).name
    return " ".join(["tubelet" if program == "__main__.py" else program, *map(str, typed[1:])])


def others(files: RunFiles) -> list[dict[str, str]]:
    """The other evaluations of a run, `evaluations/NAME`, a row each."""
    rows = []
    for name, one in files.others.items():
        heads = one.get("metrics") or {}
        first = next(iter(heads.values()), {}) if len(heads) < 2 else {"top1": one.get("top1")}
        several = next(iter((one.get("multi_label") or {}).values()), None)
        figure = percent(first.get("top1"))
        interval = between(one, first, "top1")
        if not heads and several is not None:
            figure = f"{percent(several.get('mean_average_precision'))} (mAP)"
            interval = between(one, several, "mean_average_precision")
        learned = one.get("learned_from")
        rows.append(
            {
                "name": name,
                "data": str(one.get("data") or "not stored"),
                "split": split_words(one),
                "videos": f"{one.get('num_videos', 0):,}",
                "top1": figure,
                "interval": interval,
                "learned_from": f"{learned:,}" if is_number(learned) else "not known",
                "date": date_text(one["date"]) if one.get("date") else "–",
            }
        )
    return rows


def date_text(value: Any) -> str:
    """An ISO 8601 time as a day and a minute; anything else as it is."""
    try:
        return datetime.datetime.fromisoformat(str(value)).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return str(value)


def duration_text(seconds: float) -> str:
    """4000 as 1 h 7 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _evaluated(files: RunFiles, evaluation: Table) -> str:
    data = evaluation.get("data") or ("" if files.of_run else setting(files, "data", "source"))
    videos = count(evaluation["num_videos"], "video")
    parts = [f"{split_words(evaluation)}, {videos}" if evaluation.get("split") else f"all {videos}"]
    parts += [f"of {data}"] if data else []
    parts += [f"on {date_text(evaluation['date'])}"] if evaluation.get("date") else []
    return " ".join(parts)
