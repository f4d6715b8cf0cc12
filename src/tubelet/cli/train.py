"""`tubelet train`: from labelled videos to a run folder and its page.

The flags' defaults are those of the recipe (or of the run that is resumed), so `--help` shows what will happen.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tubelet.cli import training_options as shared
from tubelet.cli.arguments import CommonOptions, one_source
from tubelet.cli.durations import minutes_of
from tubelet.cli.output import Output
from tubelet.errors import ConfigError

if TYPE_CHECKING:
    from tubelet.config import TrainConfig
    from tubelet.runs import RunResult
    from tubelet.training import Reporter


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Train a model on labelled videos.

    DATA is a folder with a folder of videos for each class, perhaps below train, val and test; or a CSV, TSV or JSONL
    table with path and label. The result is a folder with the model, its metrics, checkpoints and a page to look at
    (report.html). Ctrl-C stops after writing a checkpoint, and --resume goes on from there.

    Settings come from the recipe, then from each --config file, then from the flags.

    Attributes:
        source: a folder or a table of labelled videos. A resumed run knows it already.
        data_flag: the same as DATA.
        out: folder of the run; runs/NAME of the data by default. A run is never overwritten.
        resume: go on with the run in --out.
        recipe: a whole configuration to start from: RECIPES, or a TOML file. Without one, the one that fits. auto
            fits it to the videos by short trials first, as `tubelet tune` does.
        budget: with --recipe auto, time for the trials, as 30m; by default two fifths of what the training takes.
        config: TOML files with settings to change.
        preset: the model; `tubelet models` lists them.
        init: a run, a checkpoint, a Hub id or an image ViT to start from; without it the weights are random.
        seed: random seed of everything that is drawn.
        devices: train in so many processes of this machine, each with a GPU of its own or a part of the CPU. They
            divide the batch, so nothing else need be changed. Under torchrun it is left out.
        no_report: leave out the evaluation on the validation videos at the end, and the page.
    """

    source: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[DATA]")] = None
    data_flag: Annotated[str | None, tyro.conf.arg(name="data", metavar="DATA")] = None
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    resume: bool = False
    recipe: Annotated[str | None, tyro.conf.arg(metavar="RECIPE")] = None
    budget: Annotated[str | None, tyro.conf.arg(metavar="TIME")] = None
    config: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="[FILE.toml ...]")] = ()
    preset: Annotated[str | None, tyro.conf.arg(metavar="PRESET")] = None
    init: Annotated[str | None, tyro.conf.arg(metavar="SOURCE")] = None
    seed: int = 0
    devices: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    no_report: bool = False


def parse(words: Sequence[str], prog: str) -> Any:
    """Options with a flag for every setting of a training."""
    shared.require_first_there(words)
    return shared.parse_training(Options, words, prog, command=shlex.join([*prog.split(), *words]))


def run(options: Any, output: Output) -> int:
    """Train, evaluate, write the page."""
    options = dataclasses.replace(options, source=one_source(options.source, options.data_flag, "train"))
    shared.require_startable(options, "train")
    if options.budget is not None and options.recipe != shared.AUTO:
        raise ConfigError(
            "--budget is the time for the trials of --recipe auto; for the training's own time, --minutes"
        )
    from tubelet.runs import train

    out = options.out or shared.default_out(options)
    with shared.errors_in_flags():
        reporter = shared.console_reporter(output)
        if options.resume:
            changes = shared.changes_of(options)
        elif options.recipe == shared.AUTO:
            changes = {"config": _tuned(options, out, reporter)}
        else:
            changes = {"config": shared.config_of(options)}
        how = {"resume": options.resume, "reporter": reporter, "report": not options.no_report}
        result = train(options.source, out, **how, **changes)
    for note in result.notes if output.quiet else ():
        output.warn(note)
    _show(result, output)
    return 1 if result.num_failures or (result.final is not None and result.final.failures) else 0


def _tuned(options: Any, out: Path, reporter: Reporter) -> TrainConfig:
    """The configuration that a tuning beside the run came to."""
    from tubelet.training.run_folder import RunFolder
    from tubelet.tuning import tune

    RunFolder(out).require_unused()
    folder = out.with_name(f"{out.name}-tuning")
    how = {"budget": minutes_of(options.budget), "reporter": reporter, "command": options.command}
    config, typed = shared.config_of(options), shared.changes_of(options)
    result = tune(options.source or options.base.data.source, folder, config=config, **how, **typed)
    for note in (*result.notes, f"recipe: {result.best.label}; {result.page} says why"):
        reporter.message(note)
    return dataclasses.replace(result.config, recipe=str(result.recipe))


def _show(result: RunResult, output: Output) -> None:
    if not output.as_json:
        run = shlex.quote(str(result.folder))
        lines = [str(result.final)] if result.final is not None else []
        lines += [result.learning.sentence] if result.learning is not None else []
        lines += [f"model   {result.folder}"]
        lines += [f"report  {result.report}"] if result.report is not None else []
        lines += [f"next    tubelet evaluate {run}; tubelet predict {run} VIDEO"]
        for line in lines:
            output.console.print(line, markup=False, soft_wrap=True)
    if result.num_failures:
        output.warn(f"{result.num_failures} videos could not be read; {result.folder / 'failures.jsonl'} names them")
    output.data(
        {
            "run": str(result.folder),
            "steps": result.steps,
            "ended": result.ended,
            "seconds": round(result.seconds, 3),
            "best": None if result.best is None else dataclasses.asdict(result.best),
            "evaluation": None if result.final is None else result.final.to_dict(),
            "learning": None if result.learning is None else dataclasses.asdict(result.learning),
            "num_failures": result.num_failures,
            "report": result.report,
            "sample_clips": result.sample_clips,
        }
    )
