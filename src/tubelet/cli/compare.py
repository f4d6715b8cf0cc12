"""`tubelet compare`: several runs on the same videos."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output
from tubelet.errors import ConfigError
from tubelet.paths import require_folder, require_free

if TYPE_CHECKING:
    from tubelet.evaluation import Comparison


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Compare runs on the videos that all of them were evaluated on, with paired tests, and write a page.

    Needs what `tubelet evaluate` stored in their folders; no model is loaded. The tests say whether other videos of the
    same kind might turn the order around. They say nothing of other seeds: train each with several for that.

    Attributes:
        runs: folders of two runs or more (or of evaluations, --out of `tubelet evaluate`).
        out: file to write the page to; comparison.html here by default.
        overwrite: replace a file that exists.
        open: open the page in a browser.
    """

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN RUN [RUN ...]")]
    out: Path = Path("comparison.html")
    overwrite: bool = False
    open: bool = False


def run(options: Options, output: Output) -> int:
    """Compare, write the page, print."""
    for folder in options.runs:
        require_folder(folder, "a run")
    require_free(options.out, overwrite=options.overwrite)
    from tubelet.evaluation import Evaluation, compare
    from tubelet.evaluation.keeping import shared_evaluations
    from tubelet.report import write_comparison

    folders = _named(options.runs)
    comparison = compare({name: Evaluation.load(folder) for name, folder in folders.items()})
    page = write_comparison(folders, comparison.to_dict(), out=options.out)
    if not output.as_json:
        _show(comparison, output)
        output.console.print(f"page  {page}", markup=False, soft_wrap=True)
        others = shared_evaluations(options.runs) if any(comparison.chosen_on.values()) else []
        if others:
            output.console.print(
                f"next  tubelet compare {shlex.join(map(str, others[0]))}", markup=False, soft_wrap=True
            )
    output.data({**comparison.to_dict(), "page": str(page)})
    if options.open:
        output.open_page(page)
    return 0


def _named(runs: tuple[Path, ...]) -> dict[str, Path]:
    """The folders by the shortest ends of their paths that tell them apart."""
    paths = [run.resolve() for run in runs]
    if len(set(paths)) < max(2, len(paths)):
        raise ConfigError("a comparison needs two runs or more, each named once: tubelet compare RUN RUN")
    for length in range(1, max(len(path.parts) for path in paths) + 1):
        names = [os.path.join(*path.parts[-length:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, runs, strict=True))


def _show(comparison: Comparison, output: Output) -> None:
    from rich.table import Table

    from tubelet.config.model_cost import multiply_adds_text

    how = comparison.bootstrap
    output.console.print(f"{comparison.num_videos} videos that all runs were asked about", markup=False)
    for name, count in comparison.left_out.items():
        if count:
            output.warn(f"{count} videos of {name} were left out: another run was not asked about them")
    if comparison.learned_from:
        output.warn(f"{comparison.learned_from} more were left out: a run learned from them")
    for name, chosen in comparison.chosen_on.items():
        if chosen:
            output.warn(f"{chosen} of these videos chose the weights of {name} (validation)")
    for name, reason in comparison.provenance_unknown.items():
        output.warn(f"it is not known whether {name} learned from these videos: {reason}")
    for head in comparison.classes:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("run" if head == "label" else f"run, {head}", no_wrap=True)
        for title in ("split", "top-1", "95 %", "mean class", "views", "multiply-adds"):
            table.add_column(title, justify="right")
        for name in comparison.names:
            figures, cost = comparison.metrics[name][head], comparison.multiply_adds[name]
            between = figures.intervals.get("top1")
            table.add_row(
                name,
                comparison.splits[name] or "all",
                f"{figures.top1:.1%}",
                "" if between is None else f"{between[0]:.1%} to {between[1]:.1%}",
                f"{figures.mean_class_accuracy:.1%}",
                comparison.views[name],
                "" if cost is None else multiply_adds_text(cost),
            )
        output.console.print(table)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("difference of top-1", no_wrap=True)
    for title in ("", f"95 %, {how.units} {how.unit}s", "only one right", "p (McNemar)", "p (Holm)"):
        table.add_column(title, justify="right")
    for pair in comparison.pairs:
        one = pair.difference
        head = "" if pair.head == "label" else f", {pair.head}"
        interval = "none" if one.interval is None else f"{one.interval[0]:+.1%} to {one.interval[1]:+.1%}"
        discordant = f"{one.only_first} : {one.only_second}"
        p_values = (f"{one.p_value:.3g}", f"{pair.adjusted_p_value:.3g}")
        title = f"{pair.second} − {pair.first}{head}"
        table.add_row(title, f"{one.difference:+.1%}", interval, discordant, *p_values)
    output.console.print(table)
    methods = {pair.difference.method for pair in comparison.pairs if pair.difference.method is not None}
    output.console.print(f"95 %: {how.describe(methods)}")
