"""`tubelet report`: the page of a run, written again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output
from tubelet.paths import require_folder, require_free
from tubelet.text import printable


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Write a run's page again: one HTML file with its configuration, curves, classes, confusions and mistakes.

    Needs the files of the run, and its videos for the pictures; no model is loaded.

    Attributes:
        run: folder of a run.
        out: file to write; by default the run's own report.html, which is written anew.
        overwrite: replace a file that exists.
        open: open the page in a browser.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    out: Path | None = None
    overwrite: bool = False
    open: bool = False


def run(options: Options, output: Output) -> int:
    """Write the page and say where it is."""
    require_folder(options.run, "a run")
    if options.out is not None and not _same(options.out, options.run / "report.html"):
        require_free(options.out, overwrite=options.overwrite)
    from tubelet.report import write_report

    page = write_report(options.run, out=options.out)
    if not output.as_json:
        output.console.print(printable(str(page)), soft_wrap=True)
    output.data({"report": str(page)})
    if options.open:
        output.open_page(page)
    return 0


def _same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()
