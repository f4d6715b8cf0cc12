"""`tubelet study`: one of the paper's questions, answered on the user's videos or on generated ones."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tubelet.cli import training_options as shared
from tubelet.cli.arguments import SETTINGS, CommonOptions
from tubelet.cli.output import Output
from tubelet.config import TrainConfig, override
from tubelet.config.recipes import train_config
from tubelet.errors import ConfigError

if TYPE_CHECKING:
    from tubelet.studies import StudyResult

TOP = ("preset", "init")
NO_FLAGS = ("fractions", "validation_split", "keep", "validate_every")
"""`fractions` is the study's own word here; how a training is watched must not choose by the test videos."""

CLIPS = ("train_clips", "test_clips", "clip_seed")
VARIED = ("leave_one_out", "rungs", "fractions", "tubelet_lengths", "image_sizes", "frames")


@dataclass(frozen=True, kw_only=True)
class Words:
    """The flags that settle the defaults of the others."""

    data: str | None = None
    recipe: str | None = None
    config: tuple[Path, ...] = ()
    init: str | None = None


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Answer one of the paper's questions: which model, embedding, start, regulariser, how many tokens, frames, views.

    Without NAME the studies are listed. Each trains what it compares, several times with other seeds, and ends with a
    page: a table with its uncertainty, accuracy against cost, a verdict, and what the paper found. Every cell is an
    ordinary run below FOLDER/cells. The same command goes on with a study that was stopped.

    Without --data the videos are generated, and a small model learns them in minutes. With --data all cells share the
    recipe, then each --config file, then the flags.

    Attributes:
        name: of the study.
        source: a folder or a table of labelled videos.
        out: folder; studies/NAME by default.
        seeds: a run of each cell for each.
        jobs: runs at a time; more than one run in processes of their own with one thread each.
        train_split: videos to learn from.
        test_split: videos to test on: test, or val where there is none. They choose nothing.
        recipe: what all cells share: RECIPES, or a TOML file.
        config: TOML files with settings to change.
        preset: the model; `tubelet models` lists them.
        init: weights to start from.
        leave_one_out: regularisers: besides adding one after the other, leave each out alone.
        rungs: regularisers: these, in this order.
        fractions: variants: shares of the training videos to learn from, as 0.25 0.5 1.
        tubelet_lengths: tokens: frames of a tubelet.
        image_sizes: tokens: sides of the frame in pixels.
        frames: frames: frames of a clip.
        train_clips: generated videos of each class to learn from.
        test_clips: generated videos of each class to test on.
        clip_seed: of the generated videos.
        publish: a folder that gets page, table and picture once more, without links to the runs.
        open: open the page in a browser.
    """

    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[NAME]")] = None
    source: Annotated[str | None, tyro.conf.arg(name="data", metavar="DATA")] = None
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    seeds: tuple[int, ...] = (0, 1, 2)
    jobs: int = 1
    train_split: str = "train"
    test_split: str | None = None
    recipe: Annotated[str | None, tyro.conf.arg(metavar="RECIPE")] = None
    config: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="[FILE.toml ...]")] = ()
    preset: Annotated[str | None, tyro.conf.arg(metavar="PRESET")] = None
    init: Annotated[str | None, tyro.conf.arg(metavar="SOURCE")] = None
    leave_one_out: bool = False
    rungs: tuple[str, ...] = ()
    fractions: tuple[float, ...] = ()
    tubelet_lengths: tuple[int, ...] = ()
    image_sizes: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()
    train_clips: int | None = None
    test_clips: int | None = None
    clip_seed: int | None = None
    publish: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    open: bool = False


def parse(words: Sequence[str], prog: str) -> Any:
    """Options with a flag for every setting of a training; their defaults are those that the study has."""
    command = shlex.join([*prog.split(), *words])
    options = shared.with_flags(Options, words, prog, base_config(words, prog), TOP, NO_FLAGS, command=command)
    if options.name is not None and words[0] != options.name:
        raise ConfigError(f"name the study first, its settings after it: {prog} {options.name} ...")
    return options


def base_config(words: Sequence[str], prog: str) -> TrainConfig:
    """The configuration that the flags change: the recipe's with its files; for generated videos the study's own."""
    found = tyro.cli(Words, args=list(words), prog=prog, config=SETTINGS, return_unknown_args=True, add_help=False)
    chosen: Words = found[0]
    name = words[0] if words and not words[0].startswith("-") else None
    fields = {} if chosen.init is None else {"init": chosen.init}
    if chosen.data is not None or chosen.recipe is not None or chosen.config or name is None:
        return train_config(chosen.recipe, *chosen.config, **fields)
    from tubelet.studies import find_study, generated_config

    return override(generated_config(find_study(name)), **fields)


def run(options: Any, output: Output) -> int:
    """Run the study, or list them."""
    from tubelet.studies import GeneratedClips, StudyOptions, run_study

    if options.name is None:
        return _list(output)
    clips = {name: getattr(options, name) for name in CLIPS if getattr(options, name) is not None}
    result = run_study(
        options.name,
        options.out,
        data=options.source,
        config=options.base,
        seeds=options.seeds,
        jobs=options.jobs,
        train_split=options.train_split,
        test_split=options.test_split,
        options=StudyOptions(**{name: getattr(options, name) for name in VARIED}),
        clips=GeneratedClips(**clips) if clips else None,
        command=options.command,
        publish=options.publish,
        **shared.changes_of(options),
    )
    _show(result, output)
    output.data(result.to_dict())
    if options.open:
        output.open_page(result.page)
    return 1 if result.num_failures else 0


def _list(output: Output) -> int:
    from tubelet.studies import STUDIES

    if not output.as_json:
        for study in STUDIES.values():
            output.console.print(f"{study.name:<16} {study.question}", markup=False, soft_wrap=True)
    output.data(
        {"studies": [{"name": s.name, "question": s.question, "options": list(s.options)} for s in STUDIES.values()]}
    )
    return 0


def _show(result: StudyResult, output: Output) -> None:
    if output.as_json:
        return
    console = output.console
    console.print(
        (result.folder / "results.md").read_text(encoding="utf-8").split("![")[0], markup=False, soft_wrap=True
    )
    console.print(f"page  {result.page}", markup=False, soft_wrap=True)
