"""What an evaluation measured beyond accuracy, as the page says it: how, at what cost, how well calibrated, and whether
time matters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tubelet.config.cost import multiply_adds_text
from tubelet.report import plots
from tubelet.report.run_files import RunFiles


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
        rows.append(("multiply-adds of a video", multiply_adds_text(cost["multiply_adds"])))
        rows.append(("device", str(cost["device"])))
    if seconds:
        rows.append(("time", f"{seconds:.1f} s, {1000 * seconds / max(evaluation['num_videos'], 1):.0f} ms a video"))
    how = evaluation.get("bootstrap")
    if isinstance(how, Mapping):
        units = f"{how['units']:,} {how['unit']}s, {how['resamples']:,} draws, seed {how['seed']}"
        rows.append(("intervals", f"{how['level']:.0%}, bootstrap over {units}"))
    return rows


def calibration(files: RunFiles, head: str) -> dict[str, Any] | None:
    """The reliability diagram of a head, and what a temperature changes, if one was fitted."""
    metrics = files.evaluation["metrics"][head]
    if not metrics.get("reliability"):
        return None
    after = (files.evaluation.get("calibration") or {}).get(head)
    series = {"as it is": metrics["reliability"]}
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
    return {"svg": plots.reliability(title, series), "rows": rows, "after": after}


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
            }
        )
    return found


ORDER_NAMES = {"shuffled": "shuffled", "reversed": "played backwards", "single_frame": "middle frame alone"}


def multi_label(files: RunFiles) -> list[dict[str, Any]]:
    """Mean average precision of heads whose videos show several classes."""
    found = []
    for head, one in (files.evaluation.get("multi_label") or {}).items():
        rows = sorted(
            one["per_class"], key=lambda row: (row["average_precision"] is None, row["average_precision"] or 0)
        )
        found.append({"head": head, "mean": one["mean_average_precision"], "rows": rows})
    return found


def views_text(views: Any) -> str:
    """`4x3` as people write it; a list is how they were stored once."""
    if isinstance(views, list) and len(views) == 2:
        views = f"{views[0]}x{views[1]}"
    return str(views or "1x1").replace("x", "×")


def interval_text(interval: Any) -> str:
    """(0.5, 0.6) as 50.0% to 60.0%; nothing for none."""
    if not isinstance(interval, list | tuple) or len(interval) != 2:
        return ""
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


def points_text(interval: Any) -> str:
    """An interval of a difference in points, (-0.1, 0.02) as -10.0 to +2.0; nothing for none."""
    if not isinstance(interval, list | tuple) or len(interval) != 2:
        return ""
    return f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"
