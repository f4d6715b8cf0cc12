"""What the page says, worked out of a run's files: plain data for the template."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tubelet.report import figures
from tubelet.report.pictures import Picture, picture
from tubelet.report.run_files import RunFiles
from tubelet.report.state import is_number
from tubelet.text import count

Prediction = dict[str, Any]
"""A line of predictions.jsonl."""

MISTAKES = 8
EXAMPLES = 12
FEW_CLASSES = 6
"""A confusion matrix of no more classes need not be sorted."""
TABLE_CLASSES = 30
"""A confusion matrix of more classes is a picture."""
PAIRS = 8
SPIKE_VIDEOS = 8
POINTS = 120
"""Of one curve."""


@dataclass(frozen=True)
class Shown:
    """A video on the page.

    Attributes:
        path: of the video.
        name: its file name, and its part in seconds.
        truth: its class.
        said: the predicted class, if known.
        probability: that the model gave it.
        truth_probability: that the model gave what it shows.
        picture: None if the video is gone.
        explained: what decided, of a mistake that was explained: `method`, `difference` of the two logits, `picture`.
    """

    path: str
    name: str
    truth: str
    said: str | None
    probability: float | None
    truth_probability: float | None
    picture: Picture | None
    explained: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Curves:
    """The curves of a training as SVG: loss and accuracy, optimisation, speed."""

    main: list[str]
    optimisation: list[str]
    machine: list[str]


def learning_curves(files: RunFiles) -> Curves:
    """Loss, accuracy, norms, rate and waiting time against epochs, each a plot if there is something to plot."""
    train, validation = "train", "validation"
    if files.of_run:  # the page of another evaluation is not about the training
        return Curves([], [], [])

    def line(name: str, kind: str, field: str) -> list[figures.Curve]:
        points = event_points(files, kind, field)
        return [figures.Curve(name, [x for x, _ in points], [y for _, y in points])] if points else []

    loss = line("training", train, "loss") + line("validation", validation, "loss")
    accuracy = line("training", train, "top1") + line("validation", validation, "top1")
    precision = line("validation", validation, "mean_average_precision")
    end = max((place for event in files.events if (place := _place(event, _per_epoch(files))) is not None), default=0.0)

    def drawn(plots: list[tuple[str, list[figures.Curve], dict[str, Any]]], size: tuple[float, float]) -> list[str]:
        return [
            figures.curves(title, lines, x_label="epoch", end=end, size=size, **how)
            for title, lines, how in plots
            if lines
        ]

    return Curves(
        drawn(
            [
                ("Loss", loss, {"from_zero": True}),
                ("Top-1 accuracy", accuracy, {"percent": True}),
                ("Mean average precision", precision, {"percent": True}),
            ],
            figures.WIDE,
        ),
        drawn(
            [
                ("Learning rate", line("", train, "lr"), {"from_zero": True}),
                ("Gradient norm", line("", train, "gradient_norm"), {"logarithmic": True}),
                ("Relative change of weights", line("", train, "update_ratio"), {"logarithmic": True}),
            ],
            figures.CARD,
        ),
        drawn(
            [
                ("Time spent waiting for data", line("", train, "data_wait_share"), {"percent": True}),
                ("Clips per second", line("", train, "clips_per_second"), {"from_zero": True}),
            ],
            figures.CARD,
        ),
    )


def event_points(files: RunFiles, kind: str, field: str) -> list[tuple[float, float]]:
    """(epoch, value) of every event of a kind that has this field, thinned."""
    places = [
        (_place(one, _per_epoch(files)), one[field]) for one in files.events_of(kind) if is_number(one.get(field))
    ]
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
        "order": _confused_together(counts) if small and len(names) > FEW_CLASSES and pairs else None,
        "rows": [list(zip(row, share, strict=True)) for row, share in zip(counts, shares, strict=True)]
        if small
        else None,
        "image": None if small else figures.confusion_image(shares, "called", "true class"),
        "pairs": pairs[:PAIRS],
    }


def _confused_together(counts: Sequence[Sequence[int]]) -> list[int]:
    """Places of the classes: those with most mistakes first, each followed by what it is confused with most."""
    classes = range(len(counts))
    wrong = {i: sum(counts[i][j] + counts[j][i] for j in classes if j != i) for i in classes}
    order: list[int] = []
    while len(order) < len(counts):
        left = [i for i in classes if i not in order]
        near = [i for i in left if order and counts[order[-1]][i] + counts[i][order[-1]]]
        order.append(
            max(near or left, key=lambda i: (counts[order[-1]][i] + counts[i][order[-1]] if near else wrong[i], -i))
        )
    return order


def mistakes(files: RunFiles, head: str) -> list[Shown]:
    """Videos that the model got wrong and was most confident about."""
    return [
        replace(_shown(files, head, *one, moving=True), explained=_explained(files, head, one[0]))
        for one in most_confident_mistakes(files, head)
    ]


def most_confident_mistakes(files: RunFiles, head: str) -> list[tuple[Prediction, int, int, list[float]]]:
    """(prediction, true class, predicted class, probabilities) of what `mistakes` shows."""
    wrong = [one for one in _predictions(files, head) if one[1] != one[2]]
    return sorted(wrong, key=lambda one: -one[3][one[2]])[:MISTAKES]


def _explained(files: RunFiles, head: str, prediction: Prediction) -> Mapping[str, Any] | None:
    """The explanation of this very prediction; one of an earlier evaluation is of other logits."""

    def known_by(row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row.get(key) for key in ("path", "start", "end"))

    for row in files.explanations:
        of_this = row["head"] == head and known_by(row) == known_by(prediction)
        if of_this and row["logits"] == prediction["logits"][head]:
            return row
    return None


def examples(files: RunFiles, head: str) -> tuple[str, list[Shown]]:
    """One video of each class, and what they are in words.

    Where there are predictions, it is the video of the class that the model is most confident to get right.
    """
    best: dict[int, tuple[dict[str, Any], int, int, list[float]]] = {}
    for one in _predictions(files, head):
        truth = one[1]
        if truth not in best or one[3][truth] > best[truth][3][truth]:
            best[truth] = one
    if best:
        shown = [_shown(files, head, *best[truth], moving=True) for truth in sorted(best)[:EXAMPLES]]
        words = (
            "of the evaluated videos the one on which the model gives its class the highest probability. This is the "
            "model’s probability for one video, not how often it is right"
        )
        return f"{_so_many(len(shown), len(best))}: {words}.", shown
    rows: dict[str, dict[str, Any]] = {}
    for row in files.splits:
        for name in _names_in(files, head, row) if row.get("path") else ():
            rows.setdefault(name, row)
    shown = [_from_row(row, name) for name, row in sorted(rows.items())[:EXAMPLES]]
    return f"{_so_many(len(shown), len(rows))}, a video each.", shown


def _names_in(files: RunFiles, head: str, row: Mapping[str, Any]) -> list[str]:
    """The classes in a row of splits.csv: one, or those of a multi-label head."""
    cell, data = row.get(head), files.run.get("data")
    if cell is None:
        return []
    if isinstance(data, Mapping) and head in (data.get("multi_label") or ()):
        try:
            return [str(name) for name in json.loads(cell)]
        except (ValueError, TypeError):
            return []
    return [cell]


def _so_many(shown: int, there: int) -> str:
    return f"All {there} classes" if shown == there else f"The first {shown} of {there} classes"


def data_summary(files: RunFiles, head: str) -> dict[str, Any] | None:
    """Samples of each class and split."""
    if files.of_run or not files.splits or head not in files.splits[0]:
        return None
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in files.splits:
        for name in _names_in(files, head, row):
            counts[name or "?"][row.get("split") or "all"] += 1
    order = {"train": 0, "val": 1, "test": 2}
    samples = Counter(row.get("split") or "all" for row in files.splits)
    splits = sorted(samples, key=lambda split: (order.get(split, 3), split))
    totals = {split: samples[split] for split in splits}
    largest = max((max(row.values()) for row in counts.values()), default=0)
    return {"splits": splits, "totals": totals, "classes": dict(sorted(counts.items())), "largest": largest}


def unreadable(files: RunFiles) -> list[tuple[str, list[tuple[str, str]]]]:
    """Videos that could not be read, with the reason, under what became of them."""
    evaluated = {str(one.get("path")): str(one.get("reason", "")) for one in files.evaluation.get("failures", [])}
    trained = {str(one.get("path")): str(one.get("reason", "")) for one in files.failures}
    trained = {path: reason for path, reason in trained.items() if path not in evaluated}
    groups = (("In the evaluation; they count as wrong.", evaluated), ("They were left out of the training.", trained))
    return [(f"{count(len(found), 'video')}. {words}", sorted(found.items())) for words, found in groups if found]


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
        tables |= {key: value for key, value in config.items() if key not in tables}
    return setting_groups(tables)


def setting_groups(tables: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The settings of each table as text. Tables inside `training` are left out: each is a group of its own."""
    groups = []
    for title, table in tables.items():
        if isinstance(table, Mapping):
            nested = title == "training"
            rows = [
                (str(key), value_text(value))
                for key, value in table.items()
                if not (nested and isinstance(value, Mapping))
            ]
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


def _predictions(files: RunFiles, head: str) -> Iterable[tuple[Prediction, int, int, list[float]]]:
    """(prediction, true class, predicted class, probabilities) of every video that was read."""
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


def _per_epoch(files: RunFiles) -> Any:
    return files.run.get("steps_per_epoch")


def _place(event: Mapping[str, Any], steps_per_epoch: Any) -> float | None:
    """Epochs done, as a fraction where the steps of an epoch are known."""
    if is_number(event.get("step")) and is_number(steps_per_epoch) and steps_per_epoch > 0:
        return float(event["step"] / steps_per_epoch)
    for field in ("epoch", "step"):
        if is_number(event.get(field)):
            return float(event[field])
    return None


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `POINTS` of them, each the mean of its neighbours."""
    size = -(-len(points) // POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), max(size, 1))]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
