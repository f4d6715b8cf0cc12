"""`tubelet doctor`: what this machine has, and whether it works."""

from __future__ import annotations

from dataclasses import dataclass

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Say what this machine has: versions, decoders (each is tried), devices, and the speed of a matrix product.

    The exit code is 1 if something that tubelet cannot do without does not work.

    Attributes:
        measure: seconds to spend on measuring each device; 0 leaves it out.
    """

    measure: float = 1.0


def run(options: Options, output: Output) -> int:
    """Look, measure, print."""
    from tubelet.cli.machine import describe_machine

    machine = describe_machine(measure_seconds=options.measure)
    if not output.as_json:
        _show(machine, output)
    output.data(machine)
    for problem in machine["problems"]:
        output.warn(problem)
    return 1 if machine["problems"] else 0


def _show(machine: dict[str, object], output: Output) -> None:
    from rich.table import Table

    def value_text(value: object) -> str:
        if value is None:
            return "not there"
        if isinstance(value, float):
            return f"{value:,.1f}"
        return str(value)

    for title, rows in machine.items():
        if not isinstance(rows, dict):
            continue
        table = Table(
            box=None, pad_edge=False, show_header=False, title=title, title_justify="left", title_style="bold"
        )
        table.add_column(no_wrap=True, min_width=24)
        table.add_column(overflow="fold")
        for name, value in rows.items():
            table.add_row(f"  {name}", value_text(value))
        output.console.print(table)
