"""An evaluation in the terminal: its figures, the weakest classes, whether time matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tubelet.cli.output import Output

if TYPE_CHECKING:
    from tubelet.evaluation import Evaluation

WORST = 5
"""Classes that are named in the terminal; the page has all."""


def show(evaluation: Evaluation, output: Output) -> None:
    """Print it."""
    from rich.table import Table

    output.console.print(str(evaluation), markup=False)
    for head, metrics in evaluation.metrics.items():
        rows = sorted((row for row in metrics.per_class if row.recall is not None), key=lambda row: row.recall or 0.0)
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(f"{'class' if head == 'label' else head}, weakest first", no_wrap=True)
        for title in ("videos", "recall", "precision"):
            table.add_column(title, justify="right")
        for row in rows[:WORST]:
            precision = "" if row.precision is None else f"{row.precision:.1%}"
            table.add_row(row.name, str(row.support), f"{row.recall:.1%}", precision)
        output.console.print(table)
    _show_probe(evaluation, output)


def _show_probe(evaluation: Evaluation, output: Output) -> None:
    from rich.table import Table

    if evaluation.probe is None:
        return
    for head, probe in evaluation.probe.heads.items():
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("frames" if head == "label" else f"frames, {head}", no_wrap=True)
        for title in ("top-1", "95 %", "difference", "p (McNemar)", "same answer"):
            table.add_column(title, justify="right")
        table.add_row("in order", f"{probe.top1:.1%}", _range(probe.interval), "", "", "")
        for order, one in probe.orders.items():
            cells = (f"{one.top1:.1%}", _range(one.interval), f"{one.difference.difference:+.1%}")
            table.add_row(order.replace("_", " "), *cells, f"{one.difference.p_value:.2g}", f"{one.same:.1%}")
        output.console.print(table)
        output.console.print(probe.verdict, markup=False)


def _range(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.1%} to {interval[1]:.1%}"
