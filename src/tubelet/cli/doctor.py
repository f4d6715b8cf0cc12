"""`tubelet doctor`: what this machine has, whether it works, and whether a model computes here what it should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tubelet.cli.arguments import CommonOptions, require_source
from tubelet.cli.output import Output

if TYPE_CHECKING:
    from tubelet.runs import SampleCheck


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Say what this machine has: versions, decoders (each is tried), devices, and the speed of a matrix product.

    With RUN, its model computes the logits of the run's sample clips again, in every way that this machine has: as it
    is (plain), optimised, compiled, with OpenVINO; and they are compared with those of the training.

    The exit code is 1 if something that tubelet cannot do without does not work, or if logits differ.

    Attributes:
        run: a run, or a model that was saved from one.
        backends: of RUN, compute in these ways alone: plain, optimise, compile, openvino.
        precisions: of RUN, with matrix products in these types; float32 by default, and bfloat16 on GPUs made for it.
        device: of RUN: auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps.
        measure: seconds to spend on measuring each device; 0 leaves it out.
    """

    run: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[RUN]")] = None
    backends: tuple[Literal["plain", "optimise", "compile", "openvino"], ...] = ()
    precisions: tuple[Literal["float32", "bfloat16"], ...] = ()
    device: str = "auto"
    measure: float = 1.0


def run(options: Options, output: Output) -> int:
    """Look, measure, print."""
    if options.run is not None:
        require_source(options.run)
    from tubelet.cli.machine import describe_machine

    machine: dict[str, Any] = describe_machine(measure_seconds=options.measure)
    if not output.as_json:
        _show(machine, output)
    agrees = True
    if options.run is not None:
        from tubelet.runs import check_samples

        check = check_samples(
            options.run,
            backends=options.backends or None,
            precisions=options.precisions or None,
            device=options.device,
        )
        machine, agrees = {**machine, "samples": check.to_dict()}, check.ok
        if not output.as_json:
            _show_check(check, output)
        if not check.same_weights:
            output.warn(f"the weights of {options.run} are others than those that gave the logits of its sample clips")
        if not agrees:
            output.warn(f"{options.run} does not compute here what it computed when it was trained")
    output.data(machine)
    for problem in machine["problems"]:
        output.warn(problem)
    return 0 if agrees and not machine["problems"] else 1


def _show_check(check: SampleCheck, output: Output) -> None:
    from rich.table import Table

    title = f"logits of sample clips, made with torch {check.made.get('torch')} on {check.made.get('device')}"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for name in ("backend", "precision"):
        table.add_column(f"  {name}" if name == "backend" else name, no_wrap=True)
    for name in ("logits differ by", "at most", "probabilities by", "same top-1", ""):
        table.add_column(name, justify="right")
    for one in check.checks:
        found = one.difference
        if found is None:
            table.add_row(f"  {one.backend}", one.precision, "", "", "", "", f"not here: {one.problem}")
            continue
        figures = (f"{value:.1e}" for value in (found.logits, found.tolerance, found.probabilities))
        same = f"{found.same_top1} of {found.clips}"
        table.add_row(f"  {one.backend}", one.precision, *figures, same, "agrees" if one.ok else "DIFFERS")
    output.console.print(table)


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
