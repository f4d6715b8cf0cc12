"""`tubelet tune`: a recipe fitted to the training videos by short trials."""

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

if TYPE_CHECKING:
    from tubelet.tuning import TuneResult


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Fit a recipe to the videos: what to augment how strongly, how many frames, which part of the picture.

    Short trainings on a part of the training videos are judged by the rest of them; validation and test videos are not
    used. The result is a recipe for `tubelet train`, and a page with what was tried. The same command goes on with a
    tuning that was stopped.

    Attributes:
        source: a folder or a table of labelled videos.
        data_flag: the same as DATA.
        out: folder; runs/NAME-tuning of the data by default.
        budget: time for the trials, as 30m or 2h; by default two fifths of what the training takes.
        jobs: trials at a time, each in a process with one thread; by default one for each core, at most 2.
        recipe: to start from: RECIPES, or a TOML file.
        config: TOML files with settings; a trial may change them, but no flag.
        preset: the model; `tubelet models` lists them.
        init: weights to start from.
        seed: of everything that is drawn.
        open: open the page in a browser.
    """

    source: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[DATA]")] = None
    data_flag: Annotated[str | None, tyro.conf.arg(name="data", metavar="DATA")] = None
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    budget: Annotated[str | None, tyro.conf.arg(metavar="TIME")] = None
    jobs: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    recipe: Annotated[str | None, tyro.conf.arg(metavar="RECIPE")] = None
    config: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="[FILE.toml ...]")] = ()
    preset: Annotated[str | None, tyro.conf.arg(metavar="PRESET")] = None
    init: Annotated[str | None, tyro.conf.arg(metavar="SOURCE")] = None
    seed: int = 0
    open: bool = False


def parse(words: Sequence[str], prog: str) -> Any:
    """Options with a flag for every setting of a training."""
    shared.require_first_there(words)
    return shared.parse_training(Options, words, prog, command=shlex.join([*prog.split(), *words]))


def run(options: Any, output: Output) -> int:
    """Tune, and name the command that trains."""
    options = dataclasses.replace(options, source=one_source(options.source, options.data_flag, "tune"))
    shared.require_sources(options, "tune")
    source = options.source or options.base.data.source
    budget = minutes_of(options.budget)
    from tubelet.tuning import tune

    out = options.out or shared.default_out(options, "-tuning")
    with shared.errors_in_flags():
        result = tune(
            source,
            out,
            config=shared.config_of(options),
            budget=budget,
            jobs=options.jobs,
            reporter=shared.console_reporter(output),
            command=options.command,
            **shared.changes_of(options),
        )
    _show(result, output)
    output.data(result.to_dict())
    output.next_command(f"tubelet train {shlex.quote(str(source))} --recipe {shlex.quote(str(result.recipe))}")
    if options.open:
        output.open_page(result.page)
    return 1 if any(trial.failure for trial in result.trials) else 0


def _show(result: TuneResult, output: Output) -> None:
    """The trials as a table, and where the page is."""
    if output.as_json:
        return
    for trial in result.trials:
        figure = trial.failure or f"{trial.accuracy:6.1%} of the held-out labels"
        output.console.print(
            f"{'*' if trial.chosen else ' '} {trial.round}  {figure}  {trial.candidate.label}",
            markup=False,
            soft_wrap=True,
        )
    for note in result.notes:
        output.warn(note)
    output.console.print(f"recipe  {result.recipe}", markup=False, soft_wrap=True)
    output.console.print(f"page    {result.page}", markup=False, soft_wrap=True)
