"""The page itself: sections put into the template, written whole or not at all."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from tubelet.errors import DataError
from tubelet.files import replacing_shared
from tubelet.report import head, measured, sections
from tubelet.report.run_files import RunFiles, read_run
from tubelet.text import printable_lines
from tubelet.version import __version__

REPORT_FILE = "report.html"


@dataclass(frozen=True)
class Section:
    """A part of the page that the caller adds, before the others.

    Attributes:
        title: its heading.
        html: what it holds, safe HTML that uses the page's own stylesheet.
    """

    title: str
    html: str


def write_report(
    run_folder: str | Path, *, out: str | Path | None = None, title: str | None = None, extra: Sequence[Section] = ()
) -> Path:
    """Write the page of a run: one HTML file that needs nothing else, not even a network.

    Reads config.json, run.json, metrics.jsonl, evaluation.json, predictions.jsonl and splits.csv, and frames of the
    videos where these are still there. What is missing is left out. Other evaluations of the run (`evaluations/NAME`)
    are in a table, and each such folder can have a page of its own.

    Args:
        run_folder: folder of the run, or of an evaluation.
        out: file to write; `report.html` in the run folder by default.
        title: heading of the page; the folder's name by default.
        extra: sections to put first.

    Returns:
        the path of the page.

    Raises:
        DataError: no such run, or the page cannot be written there.
    """
    files = read_run(run_folder)
    page = Path(out) if out is not None else files.folder / REPORT_FILE
    name = files.folder.resolve().name
    html = render(files, title or (f"{files.of_run}: {name}" if files.of_run else name), extra)
    return write_page(html, page)


def write_page(html: str, page: Path) -> Path:
    """Write a page, whole or not at all.

    Raises:
        DataError: it cannot be written there.
    """
    if page.is_dir() or not page.absolute().parent.is_dir():
        raise DataError(f"{page} cannot be written: it is a folder, or lies in one that does not exist")
    with replacing_shared(page) as partial:
        partial.write_text(printable_lines(html), encoding="utf-8")
    return page


def render(files: RunFiles, title: str, extra: Sequence[Section] = ()) -> str:
    """The page as text."""
    template = environment().get_template("run.html.j2")
    return template.render(
        title=title,
        files=files,
        subtitle=_subtitle(files),
        what_it_is_of=head.what_it_is_of(files),
        warnings=head.warnings(files),
        headline=head.headline(files),
        facts=head.facts(files),
        command=head.command(files),
        others=head.others(files),
        extra=[(section.title, Markup(section.html)) for section in extra],  # the caller's own HTML
        curves=sections.learning_curves(files),
        learning="" if files.of_run else str(files.learning.get("sentence") or ""),
        spikes=sections.spikes(files),
        heads=[_head(files, name) for name in sections.heads(files)],
        temporal=measured.temporal(files),
        multi_label=measured.multi_label(files),
        how_measured=measured.how_measured(files),
        unreadable=sections.unreadable(files),
        notes=[str(note) for note in files.run.get("notes", [])],
        settings=sections.settings(files),
        environment=sections.environment(files),
    )


def environment(*packages: str) -> Environment:
    """Jinja with the report's templates and those of other packages; everything but marked HTML is escaped."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, "tubelet.report")]),
        autoescape=select_autoescape(("html", "j2")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["version"] = __version__
    made.globals["written"] = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    made.filters["percent"] = measured.percent
    made.filters["probability"] = measured.probability
    made.filters["breakable"] = breakable
    made.filters["svg"] = Markup  # drawn by matplotlib
    made.filters["interval"] = measured.interval_text
    made.filters["points"] = measured.points_text
    return made


def breakable(name: Any) -> Markup:
    """A class's name or a path, that may go on in the next line after `_`, `-` and `/`."""
    return Markup(re.sub(r"([_/-])(?=\S)", r"\1<wbr>", str(escape(name))))


def _head(files: RunFiles, name: str) -> dict[str, Any]:
    is_measured = name in files.evaluation.get("metrics", {})
    about, examples = sections.examples(files, name)
    return {
        "name": name,
        "metrics": files.evaluation["metrics"][name] if is_measured else None,
        "classes": sections.class_table(files, name) if is_measured else [],
        "confusion": sections.confusion(files, name) if is_measured else None,
        "calibration": measured.calibration(files, name) if is_measured else None,
        "mistakes": sections.mistakes(files, name) if is_measured else [],
        "examples": examples,
        "about_examples": about,
        "data": sections.data_summary(files, name),
    }


def _subtitle(files: RunFiles) -> str:
    model = files.config.get("model", {})
    if not isinstance(model, dict) or "variant" not in model:
        return ""
    frames, size = model.get("num_frames", "?"), model.get("image_size", ["?", "?"])
    height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
    parameters = files.run.get("parameters")
    count = f", {parameters / 1e6:.2f} M parameters" if isinstance(parameters, int) else ""
    return f"{str(model['variant']).replace('_', ' ')}, {frames} frames of {height}×{width} pixels{count}"
