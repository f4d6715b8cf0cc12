"""`tubelet data check`: what is wrong with a data set, before anything is trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from tubelet.cli.arguments import TableOptions
from tubelet.cli.output import Output


@dataclass(frozen=True, kw_only=True)
class Options(TableOptions):
    """Look for what is wrong with a data set: broken videos, the same video twice, in two splits, with two labels.

    The exit code is 1 if a video cannot be read, is damaged, lies in two splits or has two labels, or if a class cannot
    be learned.

    Attributes:
        data: a folder or a table of videos.
        thorough: decode every frame, and not the first and last alone; report what FFmpeg logs of damage.
        threads: worker threads; 0 is one for each core.
    """

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    thorough: bool = False
    threads: int = 0


def run(options: Options, output: Output) -> int:
    """Check and print."""
    from tubelet.data import check

    table = options.read(options.data, allow_leaks=True)
    for note in table.notes:
        output.note(note)
    with output.progress("checking") as progress:
        report = check(table, thorough=options.thorough, threads=options.threads or None, progress=progress)
    if not output.as_json:
        output.console.print(str(report), markup=False, soft_wrap=True)
        output.console.print("nothing wrong was found" if report.ok else "not ready to train on; see above")
    output.data(report.to_dict())
    return 0 if report.ok else 1
