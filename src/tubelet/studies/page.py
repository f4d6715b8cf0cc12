"""A study's page, and the same as Markdown, JSON and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tubelet.config import TrainConfig, to_dict
from tubelet.data import Table
from tubelet.files import write_text
from tubelet.json_files import dump_json
from tubelet.report.page import environment, write_page
from tubelet.report.sections import setting_groups
from tubelet.studies.cost_plot import cost_plot, save_cost_plot
from tubelet.studies.folder import StudyFolder
from tubelet.studies.results import Verdict, results_dict
from tubelet.studies.rows import Row, percent, points
from tubelet.studies.study import Plan, Study
from tubelet.text import printable_lines

VERDICTS = {"agrees": "holds here", "contradicts": "the other way round here", "open": "cannot be told"}


@dataclass(frozen=True)
class Written:
    """What a page is about.

    Attributes:
        study: the question.
        plan: its runs.
        base: the configuration that they share.
        table: the videos.
        seeds: of the runs.
        command: that made it.
    """

    study: Study
    plan: Plan
    base: TrainConfig
    table: Table
    seeds: tuple[int, ...]
    command: str


def write_pages(
    folder: StudyFolder, written: Written, rows: Sequence[Row], verdicts: Sequence[Verdict], summary: Sequence[str]
) -> None:
    """Write `report.html`, `results.md`, `results.json` and `plot.png`, each whole or not at all."""
    columns, lines = table_of(written, rows)
    write_page(_html(folder, written, rows, verdicts, summary), folder.page)
    write_text(folder.markdown, printable_lines(_markdown(written, rows, columns, lines, verdicts, summary)))
    results = {"study": written.study.name, "verdict": list(summary), **results_dict(rows, verdicts)}
    write_text(folder.results, dump_json(results, indent=2) + "\n")
    save_cost_plot(rows, folder.plot)


def table_of(written: Written, rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """The headings and lines of the table; a column that would say the same in every line, or nothing, is left out."""
    columns: dict[str, list[str]] = {"": [row.label for row in rows]}
    for name in dict.fromkeys(name for row in rows for name in row.facts):
        columns[name] = [row.facts.get(name, "") for row in rows]
    if len({row.views for row in rows}) > 1:
        columns["views"] = [row.views for row in rows]
    columns["top-1"] = [percent(row.top1) for row in rows]
    columns["training videos"] = [_share(row.train_top1) for row in rows]
    columns["gap"] = [_gap(row) for row in rows]
    varying = {
        "parameters, M": [_number(row.parameters / 1e6) for row in rows],
        "multiply-adds, M": [_number(row.multiply_adds / 1e6) for row in rows],
        "ms a clip": [_number(row.clip_milliseconds) for row in rows],
    }
    for name, values in varying.items():
        if len(set(values)) > 1 and (name != "ms a clip" or "multiply-adds, M" in columns):
            columns[name] = values
    for name in dict.fromkeys(name for row in rows for name in row.paper):
        columns[f"paper: {name}"] = [f"{row.paper[name]:.1f}" if name in row.paper else "" for row in rows]
    if any(row.failures or row.waiting for row in rows):
        columns["runs"] = [_runs(row) for row in rows]
    return list(columns), [list(line) for line in zip(*columns.values(), strict=True)]


def _html(
    folder: StudyFolder, written: Written, rows: Sequence[Row], verdicts: Sequence[Verdict], summary: Sequence[str]
) -> str:
    columns, lines = table_of(written, rows)
    links = [_links(folder, written, row) for row in rows]
    return (
        environment("tubelet.studies")
        .get_template("study.html.j2")
        .render(
            title=written.study.title,
            study=written.study,
            summary=summary,
            columns=columns,
            words={"views", "runs", *(name for row in rows for name in row.facts)},
            lines=list(zip(rows, lines, strict=True)),
            links=links,
            runs=any(links) or any(row.failures for row in rows),
            plot=Markup(cost_plot(rows, written.study.title)),  # drawn by matplotlib
            findings=[(verdict.conclusion, _finding(verdict, rows)) for verdict in verdicts],
            finding_columns=FINDING_COLUMNS,
            failures=_failures(rows),
            notes=notes_of(written),
            command=written.command,
            settings=_settings(written.base),
        )
    )


FINDING_COLUMNS = ("hypothesis", "difference, points", "here", "training videos", "gap", "why", "in the paper")


def _finding(verdict: Verdict, rows: Sequence[Row]) -> list[str]:
    """A line of the table of findings; training accuracy and gap are those of the better and the worse row."""
    by_key = {row.key: row for row in rows}
    pair = by_key[verdict.hypothesis.better], by_key[verdict.hypothesis.worse]
    return [
        verdict.hypothesis.text,
        points(verdict.difference),
        VERDICTS[verdict.conclusion],
        " / ".join(_share(row.train_top1) for row in pair),
        " / ".join(_gap(row) for row in pair),
        verdict.reason,
        verdict.hypothesis.paper or "–",
    ]


def _markdown(
    written: Written,
    rows: Sequence[Row],
    columns: Sequence[str],
    lines: Sequence[Sequence[str]],
    verdicts: Sequence[Verdict],
    summary: Sequence[str],
) -> str:
    parts = [f"# {written.study.title}", written.study.question, " ".join(summary)]
    if written.command:
        parts.append(f"```\n{written.command}\n```")
    parts.append(_markdown_table(columns, lines))
    parts.append("![top-1 and cost](plot.png)")
    if verdicts:
        parts.append("## Findings")
        parts.append(_markdown_table(FINDING_COLUMNS, [_finding(verdict, rows) for verdict in verdicts]))
    parts.append("## How to read it")
    parts += [written.study.paper, *notes_of(written)]
    return "\n\n".join(parts) + "\n"


def _markdown_table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(columns), line(["---"] * len(columns)), *map(line, lines)])


def notes_of(written: Written) -> list[str]:
    """What a reader must know to read the table."""
    splits, seeds = written.table.splits, len(written.seeds)
    tested = splits.get("test", 0)
    error = 100 * 1.96 * math.sqrt(0.25 / max(1, tested))
    notes = [
        f"Trained on {splits.get('train', 0)} videos of the train split, tested on {tested} of the test split, which "
        f"chose nothing; the same for all cells. {_seeds(seeds)}",
        "A difference between two rows is taken seed by seed and video by video; its interval is the wider one of the "
        f"t-interval over seeds and that over the test videos (of {tested} videos a share near a half is known to "
        f"{error:.1f} points). “Holds” and “the other way round” mean that the interval does not reach 0.",
        "“training videos” is the accuracy on (at most as many) training videos without augmentation; the gap is how "
        "much more that is than on the test videos. Multiply-adds are those of all views "
        "of one video; “ms a clip” is the fastest single forward pass of one clip on the machine that ran it.",
        *written.plan.notes,
    ]
    notes += [f"{cell.label}: {cell.note}" for cell in written.plan.cells if cell.note]
    return notes


def _seeds(count: int) -> str:
    if count == 1:
        return "One seed for each cell: there are no error bars, and a difference may be chance."
    return f"{count} seeds for each cell. ± is a 95 % t-interval of the mean over seeds."


def _links(folder: StudyFolder, written: Written, row: Row) -> list[tuple[int, str]]:
    name = row.key.split(" ")[0]
    found = []
    for seed in row.by_seed:
        page = folder.cells / name / f"seed-{seed}" / "report.html"
        if page.is_file():
            found.append((seed, page.relative_to(folder.path).as_posix()))
    return found


def _failures(rows: Sequence[Row]) -> list[tuple[str, int, str]]:
    found = {(row.title, seed): error for row in rows for seed, error in row.failures.items()}
    return [(label, seed, error) for (label, seed), error in found.items()]


def _runs(row: Row) -> str:
    parts = [f"{len(row.by_seed)} done"]
    parts += [f"{len(row.failures)} failed"] if row.failures else []
    parts += [f"{len(row.waiting)} not ended"] if row.waiting else []
    return ", ".join(parts)


def _settings(base: TrainConfig) -> list[tuple[str, list[tuple[str, str]]]]:
    """The settings that all runs share. The seed is left out, and the source of the data, which the command has."""
    shared = to_dict(base)
    del shared["seed"], shared["data"]["source"]
    return setting_groups({"training": shared, **shared})


def _gap(row: Row) -> str:
    return "–" if row.gap is None else f"{100 * row.gap:+.1f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float) -> str:
    """Three digits that count."""
    if not value:
        return "–"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"
