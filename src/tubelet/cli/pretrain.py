"""`tubelet pretrain`: from videos without labels to weights that a training starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from tubelet.cli import training_options as shared
from tubelet.cli.arguments import CommonOptions
from tubelet.cli.output import Output
from tubelet.config import PretrainConfig, from_dict
from tubelet.config.pretraining import REGULARISERS, WITHOUT_LABELS
from tubelet.config.recipes import pretrain_config
from tubelet.config.run_state import read_run_file

TOP = ("preset", "init", "splits", "seed")
"""Settings of `PretrainConfig` that are in no group."""

NO_FLAGS = {*REGULARISERS, *(name for group in WITHOUT_LABELS.values() for name in group), "sample_clips"}
"""What has no meaning without labels or without logits, or is off."""


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Let a model learn from videos without labels, to start a training from: tubelet train DATA --init RUN.

    DATA is a folder of videos, or a CSV, TSV or JSONL table with their paths; labels are not read, and test videos not
    touched. Most of each clip is hidden, and the model learns by predicting it (masked tubelet modelling,
    VideoMAE). The result is a folder with the model, and a picture of what it predicts (reconstructions.png). Ctrl-C
    stops after writing a checkpoint, and --resume goes on from there.

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
    shared.require_first_there(words)
    sources = shared.sources_of(words, prog)
    with shared.errors_in_flags():
        base = base_config(sources)
    return shared.with_flags(Options, words, prog, base, TOP, NO_FLAGS, sources=sources)


def base_config(sources: shared.Sources) -> PretrainConfig:
    """The configuration that the flags change: the recipe's with its files, or that of the run that is resumed."""
    if sources.resume and sources.out is not None and (sources.out / "run.json").is_file():
        stored = read_run_file(sources.out, "config")
        if "masking" in stored["config"]:  # otherwise it is a training, and resuming says so
            return from_dict(PretrainConfig, stored["config"], where=f"{sources.out / 'run.json'}: config")
    return pretrain_config(sources.recipe, *sources.config, **sources.given())


def run(options: Any, output: Output) -> int:
    """Pretrain, and say how to go on."""
    shared.require_startable(options, "pretrain")
    from tubelet.pretraining import pretrain
    from tubelet.training import SilentReporter

    out, changes = options.out or shared.default_out(options, "-pretrained"), shared.changes_of(options)
    with shared.errors_in_flags():
        if not options.resume:
            chosen: shared.Sources = options.sources
            changes = {"config": pretrain_config(chosen.recipe, *chosen.config, **{**chosen.given(), **changes})}
        reporter = SilentReporter() if output.quiet else None
        result = pretrain(options.source, out, resume=options.resume, reporter=reporter, **changes)
    if not output.as_json:
        output.console.print(f"model    {result.folder}", markup=False, soft_wrap=True)
        if result.picture is not None:
            output.console.print(f"picture  {result.picture}", markup=False, soft_wrap=True)
        recipe = f" --recipe {options.base.recipe}" if options.base.recipe is not None else ""
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
