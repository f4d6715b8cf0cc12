"""`tubelet train`: from labelled videos to a run folder and its page.

The flags' defaults are those of the recipe (or of the run that is resumed), so `--help` shows what will happen.
"""

from __future__ import annotations

import dataclasses
import shlex
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from tubelet.cli.arguments import SETTINGS, CommonOptions, one_source
from tubelet.cli.arguments import parse as parse_options
from tubelet.cli.flags import in_flags, training_changes, training_flags
from tubelet.cli.output import Output
from tubelet.config import ModelConfig, PretrainConfig, TrainConfig, from_dict
from tubelet.config.presets import preset as preset_config
from tubelet.config.recipes import recipes, train_config
from tubelet.config.run_state import read_run_file
from tubelet.errors import ConfigError, TubeletError
from tubelet.paths import require_data, require_model

if TYPE_CHECKING:
    from tubelet.distributed.world import World
    from tubelet.evaluation import Evaluation
    from tubelet.training import Reporter, TrainResult


TOP = ("preset", "init", "seed")
"""Settings of `TrainConfig` that are in no group."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The words that settle the defaults of the others."""

    out: Path | None = None
    resume: bool = False
    recipe: str | None = None
    config: tuple[Path, ...] = ()
    preset: str | None = None
    init: str | None = None
    epochs: int | None = None
    warmup_epochs: float | None = None

    def given(self) -> dict[str, Any]:
        """The settings among them that were typed."""
        names = ("preset", "init", "epochs", "warmup_epochs")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


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
        recipe: a whole configuration to start from: RECIPES, or a TOML file. Without one, the one that fits.
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
    config: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="[FILE.toml ...]")] = ()
    preset: Annotated[str | None, tyro.conf.arg(metavar="PRESET")] = None
    init: Annotated[str | None, tyro.conf.arg(metavar="SOURCE")] = None
    seed: int = 0
    devices: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    no_report: bool = False


def parse(words: Sequence[str], prog: str) -> Any:
    """Options with a flag for every setting of a training."""
    require_first_there(words)
    return parse_with_flags(Options, words, prog)


def parse_with_flags(cls: type, words: Sequence[str], prog: str) -> Any:
    """`cls`, which has the fields of `Sources` and `preset` and `seed`, out of words, with a flag for every setting.

    Returns:
        an instance of a subclass of `cls`; its `base` is the configuration that the flags change.
    """
    sources = sources_of(words, prog)
    with errors_in_flags():
        base = base_config(sources)
    fields: list[Any] = training_flags(base, shown_model(base))
    hints = typing.get_type_hints(cls, include_extras=True)
    fields += [(name, hints[name], dataclasses.field(default=getattr(base, name))) for name in TOP]
    fields.append(("base", tyro.conf.Suppress[tyro.conf.Fixed[TrainConfig]], dataclasses.field(default=base)))
    fields.append(("sources", tyro.conf.Suppress[tyro.conf.Fixed[Sources]], dataclasses.field(default=sources)))
    made = dataclasses.make_dataclass("Options", fields, bases=(cls,), frozen=True, kw_only=True)
    made.__doc__ = str(cls.__doc__).replace("RECIPES", ", ".join(recipes()))
    return parse_options(made, words, prog=prog)


def sources_of(words: Sequence[str], prog: str) -> Sources:
    """The words that settle the defaults of the others."""
    found = tyro.cli(Sources, args=list(words), prog=prog, config=SETTINGS, return_unknown_args=True, add_help=False)
    return found[0]


def base_config(sources: Sources) -> TrainConfig:
    """The configuration that the flags change: the recipe's with its files, or that of the run that is resumed."""
    if sources.resume:
        run = None if sources.out is None else sources.out / "run.json"
        if run is None or not run.is_file():
            return train_config()  # resuming says what is missing
        stored = read_run_file(run.parent, "config")
        return from_dict(TrainConfig, stored["config"], where=f"{run}: config")
    return train_config(sources.recipe, *sources.config, **sources.given())


def changes_of(options: Any) -> dict[str, Any]:
    """Everything that the flags change, as `tubelet.train` takes it."""
    changes = training_changes(options, options.base)
    return changes | {
        name: getattr(options, name) for name in TOP if getattr(options, name) != getattr(options.base, name)
    }


def config_of(options: Any) -> TrainConfig:
    """The configuration of a new training: recipe, files and flags together, so that each knows what the others say."""
    sources: Sources = options.sources
    return train_config(sources.recipe, *sources.config, **{**sources.given(), **changes_of(options)})


def run(options: Any, output: Output) -> int:
    """Train, evaluate, write the page."""
    options = dataclasses.replace(options, source=one_source(options.source, options.data_flag, "train"))
    require_startable(options, "train")
    from tubelet.distributed.world import joined

    with errors_in_flags(), joined() as world:
        return _run(options, output, world)


def require_startable(options: Any, verb: str) -> None:
    """Hold the words to what can be known before anything heavy is imported.

    Raises:
        ConfigError: words that do not go together.
        DataError: the data, or what to start from, is not there.
    """
    if options.resume:
        if options.out is None:
            raise ConfigError("--resume needs the run to go on with: --out RUN")
        for flag in ("recipe", "config"):
            if getattr(options, flag):
                raise ConfigError(f"--resume goes on with the settings of the run; leave --{flag} out")
        return
    source, init = options.source or options.base.data.source, options.init
    if source is None:
        raise ConfigError(f"no data was named: tubelet {verb} DATA, a folder or a table of videos")
    require_data(source)
    if init is not None and _is_local(init):
        require_model(init)


def require_first_there(words: Sequence[str]) -> None:
    """The same for data that is the first of the words, before a flag is made for every setting."""
    if words and not words[0].startswith("-") and not {"-h", "--help"} & set(words):
        require_data(words[0])


@contextmanager
def errors_in_flags() -> Iterator[None]:
    """Inside the `with`, errors of settings name flags where the library names fields."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(in_flags(str(error))) from error


def _is_local(source: str) -> bool:
    """Whether a name of weights is that of something on this machine, rather than of the Hub."""
    parts = Path(source).parts
    suffixes = (".npz", ".pt", ".pth", ".bin", ".safetensors", ".checkpoint", ".ckpt", ".msgpack")
    return source.startswith((".", "/", "~")) or source.endswith(suffixes) or Path(parts[0]).is_dir() or len(parts) > 2


def _run(options: Any, output: Output, world: World) -> int:
    from tubelet.training import SilentReporter, train

    out = options.out
    if out is None:
        name = Path(options.source or options.base.data.source).resolve()
        out = Path("runs") / (name.name if name.is_dir() else name.stem)
    reporter = SilentReporter() if output.quiet else _reporter()
    if options.resume:
        result = train(options.source, out, resume=True, reporter=reporter, **changes_of(options))
    else:
        result = train(options.source, out, config=config_of(options), reporter=reporter)
    if options.resume and not result.steps_taken and (out / "evaluation.json").is_file():
        output.warn(f"the run was complete: nothing was trained, and nothing evaluated again; tubelet evaluate {out}")
        _show(result, None, out / "report.html", output)
        return 0
    evaluation, page = None, None
    if not options.no_report:
        evaluation = _evaluated(result, output, world)
        from tubelet.report import write_report

        page = world.broadcast(lambda: write_report(out))
    _show(result, evaluation, page, output)
    return 1 if result.num_failures or (evaluation is not None and evaluation.failures) else 0


def _reporter() -> Reporter:
    """Says flags where the library says fields."""
    from tubelet.training import ConsoleReporter

    class Flags(ConsoleReporter):
        def message(self, text: str) -> None:
            super().message(in_flags(text))

    return Flags()


def _evaluated(result: TrainResult, output: Output, world: World) -> Evaluation | None:
    """What the delivered weights do on the validation videos; kept as the run's own result."""
    from tubelet.data.known import LearnedFromAllError
    from tubelet.data.run_table import run_table
    from tubelet.evaluation import evaluate
    from tubelet.evaluation.keeping import keep_own

    run = read_run_file(result.folder, "config")
    validation, table = run["config"]["validation"], run_table(result.folder)
    split = validation["validation_split"]
    if split not in table.splits:
        return None
    try:
        evaluation = evaluate(result.model, table, split=split, views=validation["validation_views"], world=world)
    except LearnedFromAllError as error:
        output.warn(f"no evaluation: {error}")
        return None
    if world.first:
        keep_own(evaluation, result.folder)
    return evaluation


def _show(result: TrainResult, evaluation: Evaluation | None, page: Path | None, output: Output) -> None:
    best = result.best
    if not output.as_json:
        if evaluation is not None:
            output.console.print(str(evaluation), markup=False)
        output.console.print(f"model   {result.folder}", markup=False, soft_wrap=True)
        if page is not None:
            output.console.print(f"report  {page}", markup=False, soft_wrap=True)
        run = shlex.quote(str(result.folder))
        output.console.print(
            f"next    tubelet evaluate {run}; tubelet predict {run} VIDEO", markup=False, soft_wrap=True
        )
    if result.num_failures:
        output.warn(f"{result.num_failures} videos could not be read; {result.folder / 'failures.jsonl'} names them")
    output.data(
        {
            "run": str(result.folder),
            "steps": result.steps,
            "ended": result.ended,
            "seconds": round(result.seconds, 3),
            "best": None if best is None else dataclasses.asdict(best),
            "evaluation": None if evaluation is None else evaluation.to_dict(),
            "num_failures": result.num_failures,
            "report": None if page is None else str(page),
        }
    )


def shown_model(config: TrainConfig | PretrainConfig) -> ModelConfig | None:
    """The model that the configuration describes, to be shown in the help; None if only the weights know."""
    if config.preset is None or config.init is not None:
        return None
    try:
        return preset_config(config.preset, **config.model)
    except TubeletError:
        return None
