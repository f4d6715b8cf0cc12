"""`tubelet data prepare`: a data set into shards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from tubelet.cli.arguments import TableOptions
from tubelet.cli.output import Output
from tubelet.config.shards import ShardConfig
from tubelet.text import count, printable


@dataclass(frozen=True, kw_only=True)
class Options(TableOptions):
    """Put a data set into shards: tar files with videos encoded anew, so that clips are read from them quickly.

    OUT is then a data set like any other: tubelet train OUT. Videos that cannot be read are left out and listed in
    failures.jsonl; the exit code is 1 then. If it is stopped, the same command goes on.

    Attributes:
        data: a folder or a table of videos.
        out: folder for the shards; new, empty, or one in which this was begun.
        workers: videos that are encoded at once; 0 is one for each core.
        shards: how they are encoded.
    """

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    workers: int = 0
    shards: ShardConfig = field(default_factory=ShardConfig)


def run(options: Options, output: Output) -> int:
    """Prepare and print."""
    from tubelet.config import to_dict
    from tubelet.data import prepare

    table = options.read(options.data)
    for note in table.notes:
        output.note(note)
    with output.progress("preparing") as progress:
        report = prepare(table, options.out, options.shards, workers=options.workers or None, progress=progress)
    for failure in report.failures:
        output.warn(f"{failure.path}: could not be read and is left out: {failure.reason}")
    if not output.as_json:
        megabytes, before = report.bytes / 1e6, report.bytes_before / 1e6
        output.console.print(
            f"{count(report.samples, 'sample')} of {count(report.videos, 'video')} in {count(report.shards, 'shard')}, "
            f"{megabytes:.1f} MB "
            f"(as they were: {before:.1f} MB), {report.seconds:.0f} s",
            markup=False,
        )
        output.console.print(f"train on them: tubelet train {printable(str(report.folder))}", soft_wrap=True)
    output.data(to_dict(report))
    return 1 if report.failures else 0
