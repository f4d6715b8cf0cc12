"""`tubelet corpus select`: the next videos to label."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output
from tubelet.paths import require_free
from tubelet.text import count


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Choose the next videos to label, as a CSV that `tubelet train` reads.

    These are the videos of which the model is least certain; those that it learned from are left out. The column label
    has what the model predicts: correct it before you train.

    Attributes:
        out: the --out of `tubelet corpus run`.
        csv: the file to write.
        uncertain: how many videos.
        diverse: choose videos that differ from each other; needs a run with --embed.
        head: of the model; needed if it has several.
        without: tables of videos that are labelled already.
        overwrite: replace the file if it exists.
    """

    out: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OUT")]
    csv: Annotated[Path, tyro.conf.arg(metavar="CSV")]
    uncertain: int = 200
    diverse: bool = False
    head: str | None = None
    without: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TABLE ...")] = ()
    overwrite: bool = False


def run(options: Options, output: Output) -> int:
    """Choose and write."""
    require_free(options.csv, overwrite=options.overwrite, inputs=options.without)
    from tubelet.corpus import select
    from tubelet.corpus.labels import write_rows

    rows = select(options.out, options.uncertain, diverse=options.diverse, head=options.head, without=options.without)
    write_rows(rows, options.csv)
    output.data({"csv": str(options.csv), "videos": len(rows), "least_certain": rows[0]["probability"]})
    if not output.as_json:
        output.console.print(f"{options.csv}: {count(len(rows), 'video')}; correct their labels", soft_wrap=True)
    output.next_command(f"tubelet train {shlex.quote(str(options.csv))} --out runs/next")
    return 0
