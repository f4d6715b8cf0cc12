"""What the page says, worked out of a run's files: plain data for the template."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tubelet.report import figures
from tubelet.report.measured import interval_text, views_text
from tubelet.report.pictures import Picture, picture
from tubelet.report.run_files import RunFiles

MISTAKES = 8
EXAMPLES = 12
TABLE_CLASSES = 30
"""A confusion matrix of more classes is a picture."""
PAIRS = 8
SPIKE_VIDEOS = 8
POINTS = 120
"""Of one curve."""


@dataclass(frozen=True)
class Figure:
    """A number at the top of the page."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Shown:
    """A video on the page.

    Attributes:
        path: of the video.
        name: its file name, and its part in seconds.
        truth: what it shows.
        said: what the model said, if that is known.
        probability: that the model gave it.
        truth_probability: that the model gave what it shows.
        picture: None if the video is gone.
    """

    path: str
    name: str
    truth: str
    said: str | None
    probability: float | None
    truth_probability: float | None
    picture: Picture | None


def headline(files: RunFiles) -> list[Figure]:
    """The figures that everybody looks for first."""
    evaluation, shown = files.evaluation, []
    for head, metrics in evaluation.get("metrics", {}).items():
        prefix = "" if head == "label" else f"{head} "
        classes = len(evaluation.get("classes", {}).get(head, []))
        intervals = {name: interval_text(one) for name, one in (metrics.get("intervals") or {}).items()}
        chance = f"chance {1 / classes:.1%}" if classes else ""
        note = ", ".join(filter(None, (intervals.get("top1"), chance)))
        shown.append(Figure(f"{prefix}top-1", percent(metrics.get("top1")), note))
        if metrics.get("top5") is not None:
            shown.append(Figure(f"{prefix}top-5", percent(metrics["top5"]), intervals.get("top5", "")))
        mean = percent(metrics.get("mean_class_accuracy"))
        shown.append(Figure(f"{prefix}mean class accuracy", mean, intervals.get("mean_class_accuracy", "")))
        if metrics.get("calibration_error") is not None:
            after = (evaluation.get("calibration") or {}).get(head)
            note = f"{percent(after['calibration_error'])} with a temperature" if after else ""
            shown.append(Figure(f"{prefix}calibration error", percent(metrics["calibration_error"]), note))
    joint = evaluation.get("joint")
    if joint:
        intervals = joint.get("intervals") or {}
        shown.append(Figure("all heads right", percent(joint.get("top1")), interval_text(intervals.get("top1"))))
        if joint.get("top5") is not None:
            note = interval_text(intervals.get("top5"))
            shown.append(Figure("all heads, among the best five", percent(joint["top5"]), note))
    for head, one in (evaluation.get("multi_label") or {}).items():
        prefix = "" if head == "label" else f"{head} "
        shown.append(Figure(f"{prefix}mean average precision", percent(one.get("mean_average_precision"))))
    if not evaluation:
        best = _best_validation(files)
        if best is not None:
            shown.append(Figure("best validation top-1", percent(best)))
    if evaluation.get("num_videos") is not None:
        views = views_text(evaluation.get("views"))
        shown.append(Figure("videos", f"{evaluation['num_videos']:,}", f"{views} views each"))
    return shown


def learning_curves(files: RunFiles) -> list[str]:
    """Loss, accuracy, norms, rate and waiting time against epochs, each a plot if there is something to plot."""
    train, validation = "train", "validation"
    plots = []

    def line(name: str, kind: str, field: str) -> list[figures.Curve]:
        points = event_points(files, kind, field)
        return [figures.Curve(name, [x for x, _ in points], [y for _, y in points])] if points else []

    loss = line("training", train, "loss") + line("validation", validation, "loss")
    accuracy = line("training", train, "top1") + line("validation", validation, "top1")
    plots.append(("Loss", loss, {"from_zero": True}))
    plots.append(("Top-1 accuracy", accuracy, {"percent": True}))
    plots.append(("Gradient norm", line("", train, "gradient_norm"), {"logarithmic": True}))
    plots.append(("Change of the weights in a step, relative", line("", train, "update_ratio"), {"logarithmic": True}))
    plots.append(("Learning rate", line("", train, "lr"), {"from_zero": True}))
    plots.append(("Time spent waiting for data", line("", train, "data_wait_share"), {"percent": True}))
    plots.append(("Clips per second", line("", train, "clips_per_second"), {"from_zero": True}))
    return [figures.curves(title, lines, x_label="epoch", **how) for title, lines, how in plots if lines]


def event_points(files: RunFiles, kind: str, field: str) -> list[tuple[float, float]]:
    """(epoch, value) of every event of a kind that has this field, thinned."""
    per_epoch = files.run.get("steps_per_epoch")
    places = [(_place(one, per_epoch), one[field]) for one in files.events_of(kind) if _is_number(one.get(field))]
    return _thinned(sorted((place, value) for place, value in places if place is not None))


def class_table(files: RunFiles, head: str) -> list[dict[str, Any]]:
    """Per-class figures, the weakest class first."""
    rows = files.evaluation["metrics"][head].get("per_class", [])
    return sorted(rows, key=lambda row: (2.0 if row.get("recall") is None else row["recall"], row["name"]))


def confusion(files: RunFiles, head: str) -> dict[str, Any] | None:
    """The confusion matrix: a table of shares and counts, or a picture; and the pairs confused most."""
    counts = files.evaluation["metrics"][head].get("confusion") or []
    names = files.evaluation.get("classes", {}).get(head, [])
    if not counts or not any(map(any, counts)):
        return None
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    pairs = [
        {"truth": names[i], "said": names[j], "count": count, "share": shares[i][j]}
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if i != j and count
    ]
    pairs.sort(key=lambda pair: (-pair["count"], -pair["share"], pair["truth"]))
    small = len(names) <= TABLE_CLASSES
    return {
        "names": names,
        "rows": [list(zip(row, share, strict=True)) for row, share in zip(counts, shares, strict=True)]
        if small
        else None,
        "image": None if small else figures.confusion_image(shares, "called", "true class"),
        "pairs": pairs[:PAIRS],
    }


def mistakes(files: RunFiles, head: str) -> list[Shown]:
    """Videos that the model got wrong and was surest about."""
    wrong = [shown for shown in _predictions(files, head) if shown[1] != shown[2]]
    wrong.sort(key=lambda one: -one[3][one[2]])
    return [_shown(files, head, *one, moving=True) for one in wrong[:MISTAKES]]


def examples(files: RunFiles, head: str) -> list[Shown]:
    """One video of each class, with a prediction if there is one: the one that the model is surest to get right."""
    best: dict[int, tuple[dict[str, Any], int, int, list[float]]] = {}
    for one in _predictions(files, head):
        truth = one[1]
        if truth not in best or one[3][truth] > best[truth][3][truth]:
            best[truth] = one
    chosen = [best[truth] for truth in sorted(best)][:EXAMPLES]
    if chosen:
        return [_shown(files, head, *one, moving=True) for one in chosen]
    rows: dict[str, dict[str, Any]] = {}
    for row in files.splits:
        if row.get("path") and row.get(head) is not None:
            rows.setdefault(row[head], row)
    return [_from_row(row, name) for name, row in sorted(rows.items())[:EXAMPLES]]


def data_summary(files: RunFiles, head: str) -> dict[str, Any] | None:
    """Samples of each class and split."""
    if not files.splits or head not in files.splits[0]:
        return None
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in files.splits:
        counts[row.get(head) or "?"][row.get("split") or "all"] += 1
    order = {"train": 0, "val": 1, "test": 2}
    splits = sorted({split for row in counts.values() for split in row}, key=lambda split: (order.get(split, 3), split))
    totals = {split: sum(row[split] for row in counts.values()) for split in splits}
    largest = max(max(row.values()) for row in counts.values())
    return {"splits": splits, "totals": totals, "classes": dict(sorted(counts.items())), "largest": largest}


def unreadable(files: RunFiles) -> list[tuple[str, str]]:
    """Videos that training or evaluation could not read, with the reason."""
    found = {str(one.get("path")): str(one.get("reason", "")) for one in files.failures}
    found |= {str(one.get("path")): str(one.get("reason", "")) for one in files.evaluation.get("failures", [])}
    return sorted(found.items())


def spikes(files: RunFiles) -> list[dict[str, Any]]:
    """Steps whose loss or gradient norm was far above the usual, or no number, with the videos they were given."""
    found = []
    for event in files.events_of("spike"):
        figures = f"{value_text(event.get('value'))} (usual: {value_text(event.get('usual'))})"
        found.append({"step": event.get("step"), "what": f"{event.get('what')} {figures}", "videos": _names(event)})
    for event in files.events_of("diverged"):
        found.append({"step": event.get("step"), "what": f"ended: {event.get('reason')}", "videos": _names(event)})
    return found


def _names(event: Mapping[str, Any]) -> str:
    names = [Path(str(path)).name for path in event.get("videos", [])]
    return ", ".join(names[:SPIKE_VIDEOS]) + (" …" if len(names) > SPIKE_VIDEOS else "")


def settings(files: RunFiles) -> list[tuple[str, list[tuple[str, str]]]]:
    """Every setting, in named groups."""
    run = {key: value for key, value in files.run.items() if not isinstance(value, Mapping | list)}
    config = files.run.get("config")
    tables: dict[str, Any] = {
        "model": files.config.get("model"),
        "preprocessing": files.config.get("preprocessing"),
        "training": {**(config if isinstance(config, Mapping) else {}), **run},
    }
    if isinstance(config, Mapping):
        tables |= {key: value for key, value in config.items() if isinstance(value, Mapping) and key not in tables}
    groups = []
    for title, table in tables.items():
        if isinstance(table, Mapping):
            rows = [(str(key), value_text(value)) for key, value in table.items() if _is_setting(value, title)]
            if rows:
                groups.append((title, rows))
    return groups


def environment(files: RunFiles) -> list[tuple[str, str]]:
    """What the run ran on."""
    found = files.run.get("environment")
    if not isinstance(found, Mapping):
        return []
    rows: list[tuple[str, str]] = []
    for key, value in found.items():
        if isinstance(value, Mapping):
            rows.extend((str(name), value_text(version)) for name, version in value.items())
        elif value is not None:
            command = key == "command" and isinstance(value, list)
            rows.append((str(key), " ".join(map(str, value)) if command else value_text(value)))
    return rows


def heads(files: RunFiles) -> list[str]:
    """Names of the model's heads."""
    named = files.evaluation.get("metrics") or files.config.get("labels") or {}
    return list(named) or ["label"]


def percent(value: Any) -> str:
    """0.912 as 91.2 %."""
    return f"{value:.1%}" if _is_number(value) else "–"


def value_text(value: Any) -> str:
    """A setting as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(value_text, value)) or "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {value_text(item)}" for key, item in value.items()) or "–"
    return str(value)


def _is_setting(value: Any, title: str) -> bool:
    """Not a group of settings, each of which has a heading of its own."""
    return not (title == "training" and isinstance(value, Mapping))


def _predictions(files: RunFiles, head: str) -> Iterable[tuple[dict[str, Any], int, int, list[float]]]:
    """(prediction, true class, class said, probabilities) of every video that was read."""
    classes = len(files.evaluation.get("classes", {}).get(head, []))
    for prediction in files.predictions:
        logits, truth = (prediction.get("logits") or {}).get(head), prediction.get("labels", {}).get(head)
        if logits and truth is not None and len(logits) == classes and 0 <= truth < classes:
            yield prediction, truth, max(range(classes), key=logits.__getitem__), _softmax(logits)


def _shown(
    files: RunFiles, head: str, prediction: dict[str, Any], truth: int, said: int, shares: list[float], moving: bool
) -> Shown:
    names = files.evaluation["classes"][head]
    path, start, end = str(prediction["path"]), prediction.get("start"), prediction.get("end")
    return Shown(
        path=path,
        name=video_name(path, start, end),
        truth=names[truth],
        said=names[said],
        probability=shares[said],
        truth_probability=shares[truth],
        picture=picture(path, start, end, moving=moving),
    )


def _from_row(row: Mapping[str, Any], name: str) -> Shown:
    start, end = (float(row[key]) if row.get(key) else None for key in ("start", "end"))
    path = str(row["path"])
    return Shown(path, video_name(path, start, end), name, None, None, None, picture(path, start, end))


def video_name(path: str, start: float | None, end: float | None) -> str:
    """The file's name, and the part of it in seconds."""
    part = "" if start is None and end is None else f" {start or 0:.2f}–{'end' if end is None else f'{end:.2f}'} s"
    return Path(path).name + part


def _softmax(logits: list[float]) -> list[float]:
    largest = max(logits)
    powers = [math.exp(value - largest) for value in logits]
    return [power / sum(powers) for power in powers]


def _best_validation(files: RunFiles) -> float | None:
    found = [event["top1"] for event in files.events_of("validation") if _is_number(event.get("top1"))]
    return max(found, default=None)


def _place(event: Mapping[str, Any], steps_per_epoch: Any) -> float | None:
    """Epochs done, as a fraction where the steps of an epoch are known."""
    if _is_number(event.get("step")) and _is_number(steps_per_epoch) and steps_per_epoch > 0:
        return float(event["step"] / steps_per_epoch)
    for field in ("epoch", "step"):
        if _is_number(event.get(field)):
            return float(event[field])
    return None


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `POINTS` of them, each the mean of its neighbours."""
    size = -(-len(points) // POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), max(size, 1))]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
