"""`tubelet bench`: what a model costs and gives here, in every form that there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from tubelet.cli.arguments import CommonOptions, require_source
from tubelet.cli.output import Output
from tubelet.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Time a model in every form that there is here, and compare what the forms give for real clips.

    Of a model the plain and the optimised form are measured, and bfloat16 where the processor has units for it; of
    exported folders what is in them. All take turns, one clip at a time. The first form is the reference of the others.

    Attributes:
        models: runs, model folders, and folders that `tubelet export` wrote.
        data: real videos, folders or tables of them; by default the sample clips of the first model. With the model's
            classes as labels (class folders, a table), the table has accuracy too.
        rounds: of measurements.
        memory: measure peak memory too, in a process for each form.
    """

    models: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="MODEL [EXPORTED ...]")]
    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="DATA ...")] = ()
    rounds: int = 5
    memory: bool = True


def run(options: Options, output: Output) -> int:
    """Measure and print the table."""
    if options.rounds < 1:
        raise ConfigError(f"--rounds {options.rounds}: at least one is needed")
    for name in options.models:
        require_source(name)
    from rich.table import Table

    from tubelet.exporting.bench import bench

    rows = bench(options.models, data=options.data, rounds=options.rounds, memory=options.memory)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("model", "form", "run by"):
        table.add_column(title, no_wrap=True)
    for title in ("MB", "peak MB", "seconds a clip", "right", "same top-1", "probabilities differ by"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        memory = "" if row.memory is None else f"{row.memory:,.0f}"
        right = "" if row.right is None else f"{row.right} of {row.clips}"
        figures = (f"{row.megabytes:,.1f}", memory, f"{row.seconds:.4f}", right, f"{row.agreement} of {row.clips}")
        table.add_row(row.name, row.form, row.provider, *figures, f"{row.probabilities:.1e}")
    if not output.as_json:
        output.console.print(table)
    for row in {row.name: row for row in rows if row.right is not None}.values():
        if row.learned_from:
            output.warn(
                f"{row.name} learned from {row.learned_from} of these {row.clips} videos: how many are right is no "
                "measure of new ones"
            )
        elif row.learned_from is None:
            output.warn(f"it is not known whether {row.name} learned from these videos")
    output.data({"rows": [row.to_dict() for row in rows]})
    return 0
