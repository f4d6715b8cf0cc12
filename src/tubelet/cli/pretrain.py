"""`tubelet pretrain`: from videos without labels to weights that a training starts from."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from tubelet.cli.arguments import CommonOptions
from tubelet.cli.arguments import parse as parse_options
from tubelet.cli.flags import training_changes, training_flags
from tubelet.cli.output import Output
from tubelet.cli.train import Sources, errors_in_flags, require_first_there, require_startable, shown_model, sources_of
from tubelet.config import PretrainConfig, from_dict
from tubelet.config.pretraining import REGULARISERS, WITHOUT_LABELS
from tubelet.config.recipes import pretrain_config, recipes
from tubelet.config.run_state import read_run_file

TOP = ("preset", "init", "splits", "seed")
"""Settings of `PretrainConfig` that are in no group."""

NO_FLAGS = {*REGULARISERS, *(name for group in WITHOUT_LABELS.values() for name in group)}
"""What has no meaning without labels, or is off."""


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Let a model learn from videos without labels, to start a training from: tubelet train DATA --init RUN.

    DATA is a folder of videos, or a CSV, TSV or JSONL table with their paths; labels are not read, and test videos not
    touched. Most of each clip is hidden, and the model learns by guessing it (masked tubelet modelling, VideoMAE). The
    result is a folder with the model, and a picture of what it guesses (reconstructions.png). Ctrl-C stops after
    writing a checkpoint, and --resume goes on from there.

    The model is that of the recipe for trainings, then each --config file and the flags change it.

    Attributes:
        source: a folder or a table of videos. A resumed run knows it already.
        out: folder of the run; runs/NAME-pretrained of the data by default. A run is never overwritten.
        resume: go on with the run in --out.
        recipe: the recipe of the training that will start from the result: RECIPES, or a TOML file.
        config: TOML files with settings to change.
        preset: the model; `tubelet models` lists them.
        init: a run, a checkpoint, a Hub id or an image ViT to go on from; without it the weights are random.
        splits: of a table with splits, those to learn from; test is refused.
        seed: random seed of everything that is drawn.
        devices: train in so many processes of this machine, with a GPU each (CPU: gloo). torchrun does the same.
    """

    source: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[DATA]")] = None
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    resume: bool = False
    recipe: Annotated[str | None, tyro.conf.arg(metavar="RECIPE")] = None
    config: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="[FILE.toml ...]")] = ()
    preset: Annotated[str | None, tyro.conf.arg(metavar="PRESET")] = None
    init: Annotated[str | None, tyro.conf.arg(metavar="SOURCE")] = None
    splits: tuple[str, ...] = ("train",)
    seed: int = 0
    devices: Annotated[int | None, tyro.conf.arg(metavar="N")] = None


def parse(words: Sequence[str], prog: str) -> Any:
    """Options with a flag for every setting of a pretraining; their defaults are those of the recipe or the run."""
    require_first_there(words)
    sources = sources_of(words, prog)
    with errors_in_flags():
        base = base_config(sources)
    fields: list[Any] = training_flags(base, shown_model(base), NO_FLAGS)
    hints = typing.get_type_hints(Options, include_extras=True)
    fields += [(name, hints[name], dataclasses.field(default=getattr(base, name))) for name in TOP]
    fields.append(("base", tyro.conf.Suppress[tyro.conf.Fixed[PretrainConfig]], dataclasses.field(default=base)))
    fields.append(("sources", tyro.conf.Suppress[tyro.conf.Fixed[Sources]], dataclasses.field(default=sources)))
    made = dataclasses.make_dataclass("Options", fields, bases=(Options,), frozen=True, kw_only=True)
    made.__doc__ = str(Options.__doc__).replace("RECIPES", ", ".join(recipes()))
    return parse_options(made, words, prog=prog)


def base_config(sources: Sources) -> PretrainConfig:
    """The configuration that the flags change: the recipe's with its files, or that of the run that is resumed."""
    if sources.resume and sources.out is not None and (sources.out / "run.json").is_file():
        stored = read_run_file(sources.out, "config")
        if "masking" in stored["config"]:  # otherwise it is a training, and resuming says so
            return from_dict(PretrainConfig, stored["config"], where=f"{sources.out / 'run.json'}: config")
    return pretrain_config(sources.recipe, *sources.config, **sources.given())


def run(options: Any, output: Output) -> int:
    """Pretrain, and say how to go on."""
    require_startable(options, "pretrain")
    from tubelet.pretraining import pretrain
    from tubelet.training import SilentReporter

    out, base = options.out, options.base
    if out is None:
        name = Path(options.source or base.data.source).resolve()
        out = Path("runs") / f"{name.name if name.is_dir() else name.stem}-pretrained"
    changes = training_changes(options, base)
    changes |= {name: getattr(options, name) for name in TOP if getattr(options, name) != getattr(base, name)}
    reporter = SilentReporter() if output.quiet else None
    with errors_in_flags():
        if options.resume:
            result = pretrain(options.source, out, resume=True, reporter=reporter, **changes)
        else:
            sources: Sources = options.sources
            config = pretrain_config(sources.recipe, *sources.config, **{**sources.given(), **changes})
            result = pretrain(options.source, out, config=config, reporter=reporter)
    if not output.as_json:
        output.console.print(f"model    {result.folder}", markup=False, soft_wrap=True)
        if result.picture is not None:
            output.console.print(f"picture  {result.picture}", markup=False, soft_wrap=True)
        recipe = f" --recipe {base.recipe}" if base.recipe is not None else ""
        output.console.print(f"next     tubelet train DATA --init {out}{recipe}", markup=False, soft_wrap=True)
    if result.num_failures:
        output.warn(f"{result.num_failures} videos could not be read; {result.folder / 'failures.jsonl'}")
    output.data(
        {
            "run": str(result.folder),
            "loss": None if result.loss != result.loss else result.loss,
            "steps": result.steps,
            "seconds": round(result.seconds, 3),
            "picture": None if result.picture is None else str(result.picture),
            "num_failures": result.num_failures,
        }
    )
    return 1 if result.num_failures else 0
