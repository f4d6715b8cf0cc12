"""`tubelet evaluate`: how well a model does on labelled videos."""

from __future__ import annotations

import dataclasses
import json
import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from tubelet.cli.arguments import TableOptions, load_model, one_source, read_or_own, require_source, warn_of_unfinished
from tubelet.cli.output import Output
from tubelet.errors import ConfigError, DataError
from tubelet.paths import require_data, require_free

if TYPE_CHECKING:
    from tubelet.data import Table
    from tubelet.distributed.world import World
    from tubelet.evaluation import Evaluation
    from tubelet.model import ViViT

RUN_FILE, EVALUATION_FILE = "run.json", "evaluation.json"

WORST = 5
"""Classes that are named in the terminal; the page has all."""


@dataclass(frozen=True, kw_only=True)
class Options(TableOptions):
    """Measure a model on labelled videos, over several views of each.

    Videos that the model learned from, or a model that it was started from, are left out and counted, wherever they lie
    and whatever they are called. A video that cannot be read counts as wrong and is named.

    For a run evaluation.json and predictions.jsonl are kept: its own test videos (or else validation videos) in its
    folder, everything else in RUN/evaluations/NAME. No result replaces another one. Its page (report.html) shows all.

    Attributes:
        model: a run, a model folder, a checkpoint or a Hub id.
        data: a folder or a table of labelled videos; without it, the videos that the run was given.
        data_flag: the same.
        split: evaluate these samples alone; test, or else val, by default if the data has splits. train is evaluated
            although the model learned from it.
        include_learned: measure on videos that the model learned from as well; the result says how many there are.
        resample: sample videos of another frame rate than the model's by their timestamps; --no-resample takes their
            frames by number.
        group_column: column of the table whose groups (a person, a source video) are drawn together for the intervals.
        views: 4x3 is 4 clips spread over each video, 3 crops of each; dense:16 a clip every 16 frames; whole the whole
            video in one clip.
        average: of the views: logits (the paper), or probabilities.
        calibrate_on: split to fit a temperature on, which is then measured on the others; val for instance.
        probe: temporal evaluates with frames shuffled, reversed, and a single one too: does time matter to the model?
        stored: compute the figures of these predictions again, without a model: a folder, or a predictions.jsonl.
        classes: for --from, a JSON file with the names of the classes of each head, where nothing beside it has them.
        out: folder for the results; in the run by default.
        overwrite: replace an evaluation in --out.
        device: auto (the first GPU, else the CPU), cpu, cuda, cuda:1, mps.
        precision: of matrix products; auto is bfloat16 on GPUs that are made for it.
        batch_size: views of a video that go through the model at once.
        workers: processes that decode; 0 decodes in this one.
        seed: of the random orders of --probe.
        devices: share the videos between so many processes of this machine, each with a GPU of its own or a part of the
            CPU; the results are those of one. --probe runs in one.
    """

    model: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[MODEL]")] = None
    data: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[DATA]")] = None
    data_flag: Annotated[str | None, tyro.conf.arg(name="data", metavar="DATA")] = None
    split: Annotated[str | None, tyro.conf.arg(metavar="SPLIT")] = None
    include_learned: bool = False
    resample: bool = True
    group_column: Annotated[str | None, tyro.conf.arg(metavar="COLUMN")] = None
    views: str = "1x1"
    average: Literal["logits", "probabilities"] = "logits"
    calibrate_on: Annotated[str | None, tyro.conf.arg(metavar="SPLIT")] = None
    probe: Literal["temporal"] | None = None
    stored: Annotated[Path | None, tyro.conf.arg(name="from", metavar="PREDICTIONS")] = None
    classes: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    overwrite: bool = False
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    batch_size: int = 4
    workers: int = 0
    seed: int = 0
    devices: Annotated[int | None, tyro.conf.arg(metavar="N")] = None


FOR_STORED = ("stored", "classes", "split", "out", "overwrite", "json", "quiet")
"""Options that mean something with `--from`."""


def run(options: Options, output: Output) -> int:
    """Evaluate, store, print."""
    options = dataclasses.replace(
        options, data=one_source(options.data, options.data_flag, "evaluate MODEL"), data_flag=None
    )
    if options.overwrite and options.out is None:
        raise ConfigError("--overwrite belongs to --out; the evaluations of a run are kept beside one another")
    if options.stored is not None:
        return _again(options, output)
    if options.model is None:
        raise ConfigError("name a model to evaluate: tubelet evaluate MODEL; or stored predictions: --from RUN")
    if options.classes is not None:
        raise ConfigError("--classes belongs to --from; a model knows its classes itself")
    if options.seed and options.probe is None:
        raise ConfigError("--seed is of the random orders of --probe; nothing else here is random")
    require_source(options.model)
    if options.data is not None:
        require_data(options.data)
    if options.out is not None and options.out.exists():
        require_free(options.out / EVALUATION_FILE, overwrite=options.overwrite)
    from tubelet.distributed.process import require_alone
    from tubelet.distributed.world import joined
    from tubelet.evaluation import plan_views

    if options.probe is not None:
        require_alone("--probe")
    plan_views(options.views)  # before the model is loaded, which takes seconds
    with joined() as world:
        return _run(options, options.model, output, world)


def _run(options: Options, source: str, output: Output, world: World) -> int:
    from tubelet.evaluation.evaluator import own_split
    from tubelet.evaluation.keeping import staging

    own = options.data is None
    warn_of_unfinished(source, output)
    table = read_or_own(options, source, options.data, options.group_column, "tubelet evaluate MODEL DATA")
    for note in () if own else table.notes:
        output.warn(note)
    split = options.split or own_split(table)
    model = load_model(source, output)
    home = _home(options, source) if world.first else None
    with staging(home) if home is not None else nullcontext() as staged:
        evaluation = _measured(options, model, table, split, staged, output, world)
        if staged is not None:
            evaluation.save(staged)
        code = 0
        if options.calibrate_on is not None:
            try:
                evaluation = _calibrated(options, model, evaluation, table, staged, output, world)
            except DataError as error:  # what was measured is kept
                output.warn(f"no temperature was fitted: {error}")
                code = 1
        folder = None if staged is None else _kept(options, Path(source), staged, own=own)
    return max(_finish(evaluation, folder, home, output), code)


def _home(options: Options, source: str) -> Path | None:
    """Where results are kept: --out, or else the run; None for a model that is no run."""
    if options.out is not None:
        return options.out
    return Path(source) if (Path(source) / RUN_FILE).is_file() else None


def _kept(options: Options, source: Path, staged: Path, *, own: bool) -> Path:
    from tubelet.evaluation.keeping import keep, keep_in

    if options.out is not None:
        return keep_in(staged, options.out, overwrite=options.overwrite)
    return keep(staged, source, own=own)


def _measured(
    options: Options, model: ViViT, table: Table, split: str | None, staged: Path | None, output: Output, world: World
) -> Evaluation:
    """The evaluation that the options ask for, the probe included."""
    from tubelet.evaluation import evaluate, probe_temporal

    how: dict[str, Any] = {
        "split": split,
        "views": options.views,
        "average": options.average,
        "include_learned": options.include_learned,
        "resample": options.resample,
        "views_per_forward": options.batch_size,
        "workers": options.workers,
        "device": options.device,
        "precision": options.precision,
    }
    with output.progress("evaluating") as progress:
        if options.probe == "temporal":
            found = probe_temporal(model, table, seed=options.seed, out=staged, progress=progress, **how)
        else:
            found = evaluate(model, table, progress=progress, world=world, **how)
    return found if options.data is None else dataclasses.replace(found, data=os.path.abspath(options.data))


def _calibrated(
    options: Options,
    model: ViViT,
    evaluation: Evaluation,
    table: Table,
    staged: Path | None,
    output: Output,
    world: World,
) -> Evaluation:
    """The evaluation with temperatures fitted on another split, whose predictions are stored too."""
    from tubelet.evaluation.stored import CALIBRATION_FOLDER

    wanted = _other_split(table, options.calibrate_on, evaluation.split)
    if wanted == "train":
        output.warn("a model is surer of videos that it was trained on: a temperature fitted on them comes out too low")
    other = _measured(dataclasses.replace(options, probe=None), model, table, wanted, None, output, world)
    if staged is not None:
        other.save(staged / CALIBRATION_FOLDER)
    evaluation = evaluation.calibrated(other)
    if staged is not None:
        evaluation.save(staged)
    return evaluation


def _again(options: Options, output: Output) -> int:
    """The figures of stored predictions."""
    from tubelet.evaluation import evaluate_stored
    from tubelet.evaluation.predictions import PREDICTIONS_FILE

    defaults = {field.name: field.default for field in dataclasses.fields(Options)}
    unused = [
        name.replace("_", "-")
        for name, default in defaults.items()
        if name not in FOR_STORED and getattr(options, name) != default
    ]
    if unused:
        raise ConfigError(
            f"with --from nothing is predicted, so these mean nothing: {', '.join(unused)}; leave them out"
        )
    stored = options.stored
    assert stored is not None
    beside = stored if stored.is_dir() else stored.parent
    out = options.out or beside
    if options.out is None and stored.is_file() and stored.name != PREDICTIONS_FILE:
        raise ConfigError(f"--from {stored}: name a folder for the figures, --out FOLDER")
    classes = None if options.classes is None else _class_names(options.classes)
    if options.out is not None and options.out.exists():
        require_free(options.out / EVALUATION_FILE, overwrite=options.overwrite)
    evaluation = evaluate_stored(stored, classes=classes, split=options.split)
    evaluation.save(out, predictions=out.resolve() != beside.resolve())
    return _finish(evaluation, out, out, output)


def _class_names(path: Path) -> dict[str, list[str]]:
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--classes {path}: cannot be read as JSON ({error})") from error
    fits = isinstance(names, dict) and all(
        isinstance(one, list) and all(isinstance(name, str) for name in one) for one in names.values()
    )
    if not fits:
        raise ConfigError(f'--classes {path}: expected head to names, {{"label": ["run", "jump"]}}')
    return names


def _finish(evaluation: Evaluation, folder: Path | None, home: Path | None, output: Output) -> int:
    """Write the page, name what failed, print; 1 if a video could not be read.

    Args:
        folder: where the evaluation is kept.
        home: folder whose page shows it.
    """
    from tubelet.report import write_report

    has_page = home is not None and any((home / name).is_file() for name in (RUN_FILE, EVALUATION_FILE))
    page = write_report(home) if home is not None and has_page else None
    for failure in evaluation.failures:
        output.warn(f"{failure.path}: could not be read and counts as wrong: {failure.reason}")
    if not output.as_json:
        _show(evaluation, output)
        for name, path in (("results", folder), ("report ", page)):
            if path is not None:
                output.console.print(f"{name}  {path}", markup=False, soft_wrap=True)
        if folder is None:
            output.warn("the results are not stored, since the model is no run: --out FOLDER stores them")
    written = None if folder is None else str(folder / EVALUATION_FILE)
    output.data({**evaluation.to_dict(), "file": written, "report": None if page is None else str(page)})
    return 1 if evaluation.failures else 0


def _other_split(table: Table, wanted: str | None, split: str | None) -> str:
    """The split to fit a temperature on."""
    from tubelet.data.table import split_name

    if wanted is None or split is None or split_name(wanted) == split_name(split):
        raise ConfigError(
            f"--calibrate-on {wanted}: a temperature is fitted on other videos than it is measured on; "
            "the data needs two splits, --split test --calibrate-on val for instance"
        )
    return split_name(wanted)


def _show(evaluation: Evaluation, output: Output) -> None:
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
