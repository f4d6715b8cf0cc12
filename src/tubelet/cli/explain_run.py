"""`tubelet explain` without videos: methods scored on a data set; the mistakes of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tubelet.cli.arguments import load_model, read_or_own
from tubelet.cli.output import Output
from tubelet.files import write_text
from tubelet.json_files import dump_json
from tubelet.paths import require_free
from tubelet.text import count

if TYPE_CHECKING:
    from tubelet.cli.explain import Options
    from tubelet.explanation import MethodComparison


def compare(options: Options, output: Output) -> int:
    """Score, write, print."""
    files = page, numbers = options.out / "methods.md", options.out / "methods.json"
    for file in files if options.out.exists() else ():
        require_free(file, overwrite=options.overwrite)
    table = read_or_own(options, options.model, options.data, "tubelet explain MODEL --data DATA --score")
    from tubelet.evaluation.evaluator import own_split
    from tubelet.explanation import compare_on_data

    with output.progress("scoring methods") as progress:
        found = compare_on_data(
            load_model(options.model, output),
            table,
            split=options.split or own_split(table),
            methods=options.methods or None,
            filling=options.filling,
            most=options.most,
            device=options.device,
            progress=progress,
        )
    options.out.mkdir(parents=True, exist_ok=True)
    write_text(page, _markdown(found))
    write_text(numbers, dump_json(found.to_dict(), indent=2) + "\n")
    if not output.as_json:
        _show(found, output)
        output.console.print(f"table  {page}", markup=False, soft_wrap=True)
    output.data({**found.to_dict(), "file": str(numbers)})
    return 0


def mistakes(options: Options, output: Output) -> int:
    """Explain the most confident mistakes of a run, for its page."""
    from tubelet.runs import explain_mistakes

    with output.progress("explaining mistakes") as progress:
        found = explain_mistakes(
            options.model,
            model=load_model(options.model, output),
            method=options.method,
            device=options.device,
            progress=progress,
        )
    for problem in found.missing:
        output.warn(problem)
    if not output.as_json:
        output.console.print(f"{count(found.count, 'mistake')} explained, by {found.method}")
        output.console.print(f"report  {found.report}", markup=False, soft_wrap=True)
    output.data({"count": found.count, "method": found.method, "report": found.report, "missing": found.missing})
    return 1 if found.missing else 0


def _about(found: MethodComparison) -> str:
    return f"{found.clips} videos, hidden tokens: {found.filling}"


def _markdown(found: MethodComparison) -> str:
    head, *rows = found.table()
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join([f"{_about(found)}.", "", *("| " + " | ".join(line) + " |" for line in lines), ""])


def _show(found: MethodComparison, output: Output) -> None:
    from rich.table import Table

    (first, *titles), *rows = found.table()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for title in titles:
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(*row)
    output.console.print(table)
    output.console.print(_about(found))
