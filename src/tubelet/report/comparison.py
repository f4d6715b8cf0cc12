"""One page about several runs: what `tubelet.evaluation.compare` found, and what their folders say besides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tubelet.config.confidence import FEWEST_UNITS, SIGNIFICANT, interval_words
from tubelet.config.model_cost import multiply_adds_text
from tubelet.report import head as heads
from tubelet.report import plots, sections
from tubelet.report.figures import Curve
from tubelet.report.measured import interval_text, points_text, probability, views_text
from tubelet.report.page import environment, write_page
from tubelet.report.pictures import picture
from tubelet.report.run_files import RunFiles, read_run
from tubelet.report.state import setting, training_state

ALL_HEADS = "all heads"
EXAMPLES = 4
"""Videos of each pair of runs that are shown."""
SETTINGS_PER_PAGE = 60
OF_ONE_RUN = ("id", "created")
"""Entries of a run's settings that differ in any two runs."""


def write_comparison(
    runs: Mapping[str, str | Path], comparison: Mapping[str, Any], *, out: str | Path = "comparison.html"
) -> Path:
    """Write the page: one HTML file that needs nothing else, not even a network.

    Args:
        runs: name to folder.
        comparison: what `tubelet.evaluation.compare` found for these names, as `Comparison.to_dict` gives it.
        out: file to write.

    Returns:
        the path of the page.

    Raises:
        DataError: no such folder, or the page cannot be written there.
    """
    files = {name: read_run(runs[name]) for name in comparison["names"]}
    template = environment().get_template("comparison.html.j2")
    html = template.render(
        title=" · ".join(files),
        comparison=comparison,
        problems=_problems(files),
        compared=[_what(number, name, one) for number, (name, one) in enumerate(files.items(), 1)],
        how=_how(comparison),
        heads=[_head(comparison, files, head) for head in comparison["classes"]],
        joint=[(name, comparison["joint"][name]) for name in files] if len(comparison["classes"]) > 1 else [],
        pairs=[_pair(comparison, pair) for pair in comparison["pairs"]],
        examples=_examples(comparison),
        curves=[Markup(svg) for svg in _curves(files)],  # drawn by matplotlib
        without_curves=[name for name, one in files.items() if one.of_run or not one.events],
        settings=_differing_settings(files),
    )
    return write_page(html, Path(out))


def _problems(files: Mapping[str, RunFiles]) -> list[str]:
    """What must not be overlooked: files that cannot be read, trainings that were stopped, videos learned from."""
    found = []
    for name, one in files.items():
        found += [f"{name}: {problem}" for problem in one.problems]
        found += [f"{name}: {warning}" for warning in heads.warnings(one)]
    splits = {name: heads.split_words(one.evaluation) for name, one in files.items()}
    if len(set(splits.values())) > 1:
        words = ", ".join(f"{name}: {split}" for name, split in splits.items())
        found.append(f"The runs were not evaluated on the same split ({words}).")
    return found


def _what(number: int, name: str, files: RunFiles) -> dict[str, Any]:
    """What was evaluated of a run, on what, and what the run had learned from."""
    evaluation, state = files.evaluation, training_state(files)
    learned, chosen = heads.learned_from(files, evaluation), heads.chosen_on(files, evaluation)
    data = evaluation.get("data") or (None if files.of_run else setting(files, "data", "source"))
    return {
        "number": number,
        "name": name,
        "split": heads.split_words(evaluation),
        "data": str(data or "not stored"),
        "videos": f"{evaluation.get('num_videos', 0):,}",
        "learned_from": "not known" if learned is None else f"{learned:,}",
        "chosen_on": "not known" if chosen is None else f"{chosen:,}",
        "training": "not known" if state is None else state.words,
    }


def _how(comparison: Mapping[str, Any]) -> str:
    """How the intervals were made, or why there are none."""
    how = comparison["bootstrap"]
    methods = {pair["difference"].get("method") or "bootstrap" for pair in comparison["pairs"]}
    for run in comparison["metrics"].values():
        methods |= {method for figures in run.values() for method in (figures.get("methods") or {}).values()}
    return interval_words(how["unit"], how["units"], methods, how["level"])


def _head(comparison: Mapping[str, Any], files: Mapping[str, RunFiles], head: str) -> dict[str, Any]:
    """The table of a head, its classes by how much the runs differ on them, and the plot of accuracy against cost."""
    rows = []
    for number, (name, one) in enumerate(files.items(), 1):
        metrics, cost = comparison["metrics"][name][head], comparison["multiply_adds"][name]
        parameters = one.run.get("parameters") or (one.evaluation.get("cost") or {}).get("parameters")
        rows.append(
            {
                "number": number,
                "name": name,
                **metrics,
                "interval": interval_text(metrics["intervals"].get("top1")),
                "views": views_text(comparison["views"][name]),
                "cost": "–" if cost is None else multiply_adds_text(cost),
                "parameters": f"{parameters / 1e6:.2f} M" if isinstance(parameters, int) else "–",
            }
        )
    classes = []
    for number, name in enumerate(comparison["classes"][head]):
        recalls = [comparison["metrics"][run][head]["per_class"][number]["recall"] for run in files]
        if recalls[0] is not None:
            support = comparison["metrics"][comparison["names"][0]][head]["per_class"][number]["support"]
            classes.append(
                {"name": name, "support": support, "recalls": recalls, "spread": max(recalls) - min(recalls)}
            )
    classes.sort(key=lambda row: (-row["spread"], row["name"]))
    return {"name": head, "rows": rows, "classes": classes, "plot": _cost_plot(comparison, head)}


def _cost_plot(comparison: Mapping[str, Any], head: str) -> Markup | None:
    """None where a cost is not known, or all are the same."""
    costs = comparison["multiply_adds"]
    if None in costs.values() or len(set(costs.values())) < 2:
        return None
    points = {}
    for name in comparison["names"]:
        metrics = comparison["metrics"][name][head]
        points[name] = (costs[name], metrics["top1"], metrics["intervals"].get("top1"))
    title = "Accuracy and cost" if head == "label" else f"Accuracy and cost, {head}"
    return Markup(plots.accuracy_against_cost(title, points))  # drawn by matplotlib


def _pair(comparison: Mapping[str, Any], pair: Mapping[str, Any]) -> dict[str, Any]:
    """A pair in words: a difference counts as shown where Holm's p is below 0.05 and no interval holds 0."""
    one, few = pair["difference"], comparison["bootstrap"]["units"] < FEWEST_UNITS
    interval = one["interval"]
    if pair["adjusted_p_value"] >= SIGNIFICANT:
        said = "not significantly different"
    elif interval is not None and interval[0] <= 0 <= interval[1]:
        said = "not shown: the interval reaches 0"
    else:
        better, worse = (pair["second"], pair["first"]) if one["difference"] > 0 else (pair["first"], pair["second"])
        said = f"{better} is better than {worse}"
        if few:
            units = f"{comparison['bootstrap']['units']} {comparison['bootstrap']['unit']}s"
            said += f" on these videos; {units} are too few to say more"
    return {
        "head": "" if pair["head"] == "label" else pair["head"],
        "first": pair["first"],
        "second": pair["second"],
        "said": said,
        "difference": f"{100 * one['difference']:+.1f} points",
        "interval": points_text(interval),
        "only_first": one["only_first"],
        "only_second": one["only_second"],
        "p_value": f"{one['p_value']:.3g}",
        "adjusted": f"{pair['adjusted_p_value']:.3g}",
    }


def _examples(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Videos that only one run of a pair gets right, with their frames."""
    groups = []
    for pair in comparison["pairs"]:
        heads = list(comparison["classes"]) if pair["head"] == ALL_HEADS else [pair["head"]]
        shown = [_example(comparison, pair, place, heads) for place in pair["examples"][:EXAMPLES]]
        if shown:
            title = f"{pair['first']} and {pair['second']}"
            groups.append({"title": title if pair["head"] == "label" else f"{title}: {pair['head']}", "videos": shown})
    return groups


def _example(comparison: Mapping[str, Any], pair: Mapping[str, Any], place: int, heads: list[str]) -> dict[str, Any]:
    videos = comparison["videos"]
    video = videos[place] if place in videos else videos[str(place)]
    answers = []
    for name in (pair["first"], pair["second"]):
        said = video["said"][name]
        parts = [(comparison["classes"][head], said[head]) for head in heads] if said is not None else []
        right = said is not None and all(said[head][0] == video["labels"][head] for head in heads)
        words = ", ".join(f"{names[label]}, p {probability(share)}" for names, (label, share) in parts)
        answers.append({"name": name, "right": right, "said": words or "could not read it"})
    return {
        "truth": ", ".join(comparison["classes"][head][video["labels"][head]] for head in heads),
        "name": sections.video_name(video["path"], video["start"], video["end"]),
        "answers": answers,
        "picture": picture(video["path"], video["start"], video["end"], moving=False),
    }


def _curves(files: Mapping[str, RunFiles]) -> list[str]:
    """Loss and accuracy of all runs that have some."""
    drawn = []
    for title, kind, field, is_share in (
        ("Training loss", "train", "loss", False),
        ("Validation top-1", "validation", "top1", True),
    ):
        lines = {}
        for number, (name, one) in enumerate(files.items(), 1):
            points = [] if one.of_run else sections.event_points(one, kind, field)
            if points:
                lines[number] = Curve(name, [x for x, _ in points], [y for _, y in points])
        if lines:
            drawn.append(plots.runs_curves(title, lines, percent=is_share))
    return drawn


def _differing_settings(files: Mapping[str, RunFiles]) -> list[tuple[str, list[str]]]:
    """Settings that are not the same in all runs, with their value in each."""
    tables = {name: _flat_settings(one) for name, one in files.items()}
    keys = dict.fromkeys(key for table in tables.values() for key in table)
    rows = [(key, [table.get(key, "–") for table in tables.values()]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1][:SETTINGS_PER_PAGE]


def _flat_settings(files: RunFiles) -> dict[str, str]:
    groups = sections.settings(files)
    return {f"{title}: {name}": value for title, rows in groups for name, value in rows if name not in OF_ONE_RUN}
