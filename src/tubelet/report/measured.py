"""What an evaluation measured beyond accuracy, as the page says it: how, at what cost, how well calibrated, and whether
time matters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tubelet.config.confidence import FEWEST_UNITS, interval_words
from tubelet.config.model_cost import multiply_adds_text
from tubelet.config.split_names import split_name
from tubelet.report import plots
from tubelet.report.run_files import RunFiles
from tubelet.report.state import is_number

BINS_SHOWN = 3
"""A reliability diagram of fewer bins is a dot or two."""
VIDEOS_SHOWN = 20
OFF = 0.05
"""A calibration error from which a temperature is advised."""


def how_measured(files: RunFiles) -> list[tuple[str, str]]:
    """The evaluation's settings and what it cost."""
    evaluation = files.evaluation
    if evaluation.get("num_videos") is None:
        return []
    rows = [("videos", f"{evaluation['num_videos']:,}"), ("split", str(evaluation.get("split") or "all"))]
    rows.append(("views", f"{views_text(evaluation.get('views'))} of each video"))
    rows.append(("averaged", str(evaluation.get("average", "logits"))))
    cost, seconds = evaluation.get("cost"), evaluation.get("seconds")
    if isinstance(cost, Mapping):
        rows.append(("frames of a view", f"{cost['frames']:g}"))
        rows.append(("multiply-adds (MACs) of a video", multiply_adds_text(cost["multiply_adds"])))
        rows.append(("device", str(cost["device"])))
    if seconds:
        rows.append(("time", f"{seconds:.1f} s, {1000 * seconds / max(evaluation['num_videos'], 1):.0f} ms a video"))
    how = evaluation.get("bootstrap")
    if isinstance(how, Mapping):
        heads = [*evaluation["metrics"].values(), *(evaluation.get("multi_label") or {}).values()]
        methods = {m for head in heads for m in methods_of(head).values()}
        draws = f", {how['resamples']:,} draws, seed {how['seed']}" if "bootstrap" in methods else ""
        rows.append(("intervals", interval_words(how["unit"], how["units"], methods, how["level"]) + draws))
    return rows


def calibration(files: RunFiles, head: str) -> dict[str, Any] | None:
    """The reliability diagram of a head, and what a temperature changes, if one was fitted.

    None where it would say nothing: no temperature, and the videos lie in fewer than `BINS_SHOWN` bins of confidence or
    are fewer than `VIDEOS_SHOWN`.
    """
    metrics = files.evaluation["metrics"][head]
    bins = metrics.get("reliability") or []
    after = (files.evaluation.get("calibration") or {}).get(head)
    there = [one["count"] for one in bins if one["count"]]
    if not there or (not after and (len(there) < BINS_SHOWN or sum(there) < VIDEOS_SHOWN)):
        return None
    series = {"as it is": bins}
    rows = [{"name": "as it is", "loss": metrics["loss"], "error": metrics["calibration_error"]}]
    if after:
        series[f"temperature {after['temperature']:.2f}"] = after["reliability"]
        rows.append(
            {
                "name": f"divided by a temperature of {after['temperature']:.3f}",
                "loss": after["loss"],
                "error": after["calibration_error"],
            }
        )
    title = "Reliability" if head == "label" else f"Reliability, {head}"
    hint = not after and metrics["top1"] < 1 and metrics["calibration_error"] >= OFF and _has_validation(files)
    return {"svg": plots.reliability(title, series), "rows": rows, "after": after, "hint": hint}


def _has_validation(files: RunFiles) -> bool:
    """Whether the run has validation videos, and these are not the ones that were measured."""
    split = files.evaluation.get("split")
    there = any(split_name(row.get("split") or "") == "val" for row in files.splits)
    return there and bool(split) and split_name(str(split)) != "val"


def temporal(files: RunFiles) -> list[dict[str, Any]]:
    """Whether time matters, for each head."""
    probe = files.evaluation.get("probe")
    if not isinstance(probe, Mapping):
        return []
    found = []
    for head, one in probe["heads"].items():
        rows = [
            {"name": "in order", "top1": one["top1"], "interval": one["interval"], "difference": None, "same": None}
        ]
        for order, figures in one["orders"].items():
            rows.append({"name": ORDER_NAMES.get(order, order), **figures})
        classes = [row for row in one["per_class"] if row["support"]]
        classes.sort(key=lambda row: (min(row["shuffled"], row["reversed"]) - row["ordinary"], row["name"]))
        found.append(
            {
                "head": head,
                "verdict": one["verdict"],
                "chance": one["chance"],
                "rows": rows,
                "classes": classes,
                "turned": one["turned"],
                "few": _too_few(files.evaluation),
            }
        )
    return found


def _too_few(evaluation: Mapping[str, Any]) -> str:
    """Why there are no intervals at all; empty if there are some."""
    how = evaluation.get("bootstrap")
    few = isinstance(how, Mapping) and how["units"] < FEWEST_UNITS
    return interval_words(how["unit"], how["units"], ()) if few and how else ""


def probability(value: Any) -> str:
    """The probability of one video: = 0.97, and never 1.00 for what is not quite."""
    if not is_number(value):
        return "–"
    return "> 0.99" if 0.995 <= value < 1 else "< 0.01" if 0 < value < 0.005 else f"= {value:.2f}"


ORDER_NAMES = {"shuffled": "shuffled", "reversed": "played backwards", "single_frame": "middle frame alone"}


def fitted_words(evaluation: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Which videos a threshold was fitted on; empty if it was not."""
    if not figures.get("fitted_on"):
        return ""
    split = figures.get("split")
    words = f"fitted on {figures['fitted_on']:,}{f' {split}' if split else ''} videos"
    return f"{words}, which are these: too good a figure" if split and split == evaluation.get("split") else words


def multi_label(files: RunFiles) -> list[dict[str, Any]]:
    """The figures of heads whose videos may show several classes."""
    found = []
    for head, one in (files.evaluation.get("multi_label") or {}).items():
        rows = sorted(
            one["per_class"], key=lambda row: (row["average_precision"] is None, row["average_precision"] or 0)
        )
        fitted = fitted_words(files.evaluation, one)
        found.append(
            {
                "head": head,
                "mean": one["mean_average_precision"],
                "macro_f1": one.get("macro_f1"),
                "micro_f1": one.get("micro_f1"),
                "fitted": fitted and f"thresholds {fitted}",
                "rows": rows,
            }
        )
    return found


def views_text(views: Any) -> str:
    """`4x3` as people write it; a list is how they were stored once."""
    if isinstance(views, list) and len(views) == 2:
        views = f"{views[0]}x{views[1]}"
    return str(views or "1x1").replace("x", "×")


def percent(value: Any) -> str:
    """0.912 as 91.2%."""
    return f"{value:.1%}" if is_number(value) else "–"


def methods_of(figures: Mapping[str, Any]) -> dict[str, str]:
    """How the intervals of these figures were made; all were bootstraps when that was not stored."""
    stored = figures.get("methods") or {}
    return {name: stored.get(name, "bootstrap") for name in figures.get("intervals") or {}}


def between(evaluation: Mapping[str, Any], figures: Mapping[str, Any], name: str) -> str:
    """The interval of a figure with its method; or why there is none. Empty where none was asked for."""
    how = evaluation.get("bootstrap")
    interval = interval_text((figures.get("intervals") or {}).get(name))
    if not isinstance(how, Mapping):
        return interval
    words = interval_words(how["unit"], how["units"], [methods_of(figures)[name]] if interval else [], how["level"])
    return f"{interval} ({words})" if interval and how["units"] >= FEWEST_UNITS else words


def interval_text(interval: Any) -> str:
    """(0.5, 0.6) as 50.0% to 60.0%; nothing for none, or for one without width."""
    if not _has_width(interval):
        return ""
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def points_text(interval: Any) -> str:
    """An interval of a difference in points, (-0.1, 0.02) as -10.0 to +2.0; nothing for none."""
    if not _has_width(interval):
        return ""
    return f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"


def _has_width(interval: Any) -> bool:
    return isinstance(interval, list | tuple) and len(interval) == 2 and interval[1] > interval[0]
