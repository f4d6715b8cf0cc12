"""`tubelet evaluate`: how well a model does on labelled videos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tubelet.cli.arguments import TableOptions
from tubelet.cli.output import Output
from tubelet.errors import ConfigError

if TYPE_CHECKING:
    from tubelet.data import Table
    from tubelet.evaluate import Evaluation

WORST = 5
"""Classes that are named in the terminal; the page has all."""


@dataclass(frozen=True, kw_only=True)
class Options(TableOptions):
    """Measure a model on labelled videos, over several views of each.

    Writes evaluation.json and predictions.jsonl, and for a run its page (report.html) again. A video that cannot be
    read counts as wrong and is named.

    Attributes:
        model: a run, a model folder, a checkpoint or a Hub id.
        data: a folder or a table of labelled videos; without it, the videos that the run was given.
        split: evaluate these samples alone; test, or else val, by default if the data has splits.
        views: CLIPSxCROPS: clips spread over each video, times 1 crop (centre) or 3 along its longer side.
        average: of the views: logits (the paper), or probabilities.
        out: folder for the results; the run itself by default.
        device: auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps.
        precision: of matrix products; auto is bfloat16 on GPUs that are made for it.
        batch_size: views of a video that go through the model at once.
        workers: processes that decode; 0 decodes in this one.
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    data: Annotated[str | None, tyro.conf.arg(metavar="DATA")] = None
    split: Annotated[str | None, tyro.conf.arg(metavar="SPLIT")] = None
    views: str = "1x1"
    average: Literal["logits", "probabilities"] = "logits"
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    batch_size: int = 4
    workers: int = 0


def run(options: Options, output: Output) -> int:
    """Evaluate, store, print."""
    from tubelet.evaluate import evaluate, parse_views
    from tubelet.report import write_report
    from tubelet.weights import load

    parse_views(options.views)  # before the model is loaded, which takes seconds
    run_folder = Path(options.model)
    out = options.out or (run_folder if run_folder.is_dir() else None)
    table = _table(options, run_folder)
    split = options.split or next((name for name in ("test", "val") if name in table.splits), None)
    if split is not None:
        table = table.split(split)
    for note in table.notes:
        output.warn(note)
    model = load(options.model)
    with output.progress("evaluating") as progress:
        evaluation = evaluate(
            model,
            table,
            views=options.views,
            average=options.average,
            views_per_forward=options.batch_size,
            workers=options.workers,
            device=options.device,
            precision=options.precision,
            progress=progress,
        )
    written = None if out is None else evaluation.save(out)
    page = write_report(out) if out is not None and (out / "run.json").is_file() else None
    for failure in evaluation.failures:
        output.warn(f"{failure.path}: could not be read and counts as wrong: {failure.reason}")
    if not output.as_json:
        _show(evaluation, split, output)
        for name, path in (("results", written), ("report ", page)):
            if path is not None:
                output.console.print(f"{name}  {path}", markup=False, soft_wrap=True)
    files = {"file": written, "report": page}
    output.data(
        {"split": split, **evaluation.to_dict(), **{k: None if v is None else str(v) for k, v in files.items()}}
    )
    return 0


def _table(options: Options, run_folder: Path) -> Table:
    if options.data is not None:
        return options.read(options.data)
    splits = run_folder / "splits.csv"
    if not splits.is_file():
        raise ConfigError(f"{options.model} is not a run that knows its videos; name some: --data DATA")
    return options.read(splits)


def _show(evaluation: Evaluation, split: str | None, output: Output) -> None:
    from rich.markup import escape
    from rich.table import Table

    output.console.print(f"{'all videos' if split is None else split}: {evaluation}", markup=False)
    for head, metrics in evaluation.metrics.items():
        rows = sorted((row for row in metrics.per_class if row.recall is not None), key=lambda row: row.recall or 0.0)
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(f"{'class' if head == 'label' else head}, weakest first", no_wrap=True)
        for title in ("videos", "recall", "precision"):
            table.add_column(title, justify="right")
        for row in rows[:WORST]:
            precision = "" if row.precision is None else f"{row.precision:.1%}"
            table.add_row(escape(row.name), str(row.support), f"{row.recall:.1%}", precision)
        output.console.print(table)
