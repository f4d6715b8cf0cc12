"""`tubelet evaluate`: how well a model does on labelled videos."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from tubelet.cli.arguments import TableOptions, load_model, one_source, read_or_own, require_source, warn_of_unfinished
from tubelet.cli.evaluation_tables import show
from tubelet.cli.output import Output
from tubelet.errors import ConfigError
from tubelet.paths import require_data, require_free

if TYPE_CHECKING:
    from tubelet.runs import KeptEvaluation

EVALUATION_FILE = "evaluation.json"


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
        calibrate_on: split to fit a temperature on (thresholds for a multi-label head), which is then measured on the
            others; val for instance.
        abstain: with --calibrate-on: share of right answers, 0.95 for instance; a video that is too doubtful for it is
            unknown.
        keep_thresholds: with --calibrate-on: make the thresholds those of the model, for predict, serve and export.
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
    abstain: Annotated[float | None, tyro.conf.arg(metavar="SHARE")] = None
    keep_thresholds: bool = False
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
    kept = _measured(options, output) if options.stored is None else _again(options)
    evaluation, folder, page = kept.evaluation, kept.folder, kept.report
    for note in kept.notes:
        output.warn(note)
    if kept.problem is not None:
        output.warn(f"no temperature was fitted: {kept.problem}")
    for failure in evaluation.failures:
        output.warn(f"{failure.path}: could not be read and counts as wrong: {failure.reason}")
    if not output.as_json:
        show(evaluation, output)
        for name, path in (("results", folder), ("report ", page)):
            if path is not None:
                output.console.print(f"{name}  {path}", markup=False, soft_wrap=True)
        if folder is None:
            output.warn("the results are not stored, since the model is no run: --out FOLDER stores them")
    written = None if folder is None else str(folder / EVALUATION_FILE)
    output.data({**evaluation.to_dict(), "file": written, "report": page})
    return 1 if evaluation.failures or kept.problem is not None else 0


def _measured(options: Options, output: Output) -> KeptEvaluation:
    """What a model does on videos."""
    _require_measurable(options)
    from tubelet.distributed.world import joined
    from tubelet.evaluation import plan_views
    from tubelet.runs import evaluate_and_keep

    assert options.model is not None
    plan_views(options.views)  # before the model is loaded, which takes seconds
    with joined() as world, output.progress("evaluating") as progress:
        warn_of_unfinished(options.model, output)
        table = read_or_own(options, options.model, options.data, "tubelet evaluate MODEL DATA")
        for note in () if options.data is None else table.notes:
            output.warn(note)
        return evaluate_and_keep(
            options.model,
            table,
            own=options.data is None,
            model=load_model(options.model, output),
            split=options.split,
            calibrate_on=options.calibrate_on,
            abstain=options.abstain,
            keep_thresholds=options.keep_thresholds,
            temporal=options.probe == "temporal",
            seed=options.seed,
            out=options.out,
            overwrite=options.overwrite,
            named=None if options.data is None else os.path.abspath(options.data),
            progress=progress,
            world=world,
            views=options.views,
            average=options.average,
            include_learned=options.include_learned,
            resample=options.resample,
            views_per_forward=options.batch_size,
            workers=options.workers,
            device=options.device,
            precision=options.precision,
        )


def _require_measurable(options: Options) -> None:
    """What can be known before anything heavy is imported.

    Raises:
        ConfigError: words that do not go together.
        DataError, WeightsError: the data, or the model, is not there.
    """
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
    if options.probe is not None:
        from tubelet.distributed.process import require_alone

        require_alone("--probe")


def _again(options: Options) -> KeptEvaluation:
    """The figures of stored predictions."""
    from tubelet.runs import evaluate_stored_and_keep

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
    assert options.stored is not None
    return evaluate_stored_and_keep(
        options.stored, classes=options.classes, split=options.split, out=options.out, overwrite=options.overwrite
    )
