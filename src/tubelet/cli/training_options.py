"""Options of the verbs that train: a flag for every setting, with the defaults of the recipe or the run."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from tubelet.cli.arguments import SETTINGS
from tubelet.cli.arguments import parse as parse_options
from tubelet.cli.flags import in_flags, training_changes, training_flags
from tubelet.config import ModelConfig, PretrainConfig, TrainConfig, from_dict
from tubelet.config.preset_table import preset as preset_config
from tubelet.config.recipes import recipes, train_config
from tubelet.config.run_state import read_run_file
from tubelet.errors import ConfigError, TubeletError
from tubelet.paths import require_data, require_model

if TYPE_CHECKING:
    from tubelet.cli.output import Output
    from tubelet.training import Reporter


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

    @property
    def base(self) -> str | None:
        """The recipe that the configuration starts from; None is the one that fits."""
        return None if self.recipe == AUTO else self.recipe

    def given(self) -> dict[str, Any]:
        """The settings among them that were typed."""
        names = ("preset", "init", "epochs", "warmup_epochs")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


AUTO = "auto"
"""The recipe that is fitted to the videos first (`tubelet tune`)."""

TOP = ("preset", "init", "seed")
"""Settings of `TrainConfig` that are in no group."""


def parse_training(cls: type, words: Sequence[str], prog: str, **kept: Any) -> Any:
    """`cls`, which has the fields of `Sources` and of `TOP`, with a flag for every setting of a training."""
    sources = sources_of(words, prog)
    with errors_in_flags():
        base = base_config(sources)
    return with_flags(cls, words, prog, base, TOP, sources=sources, **kept)


def config_of(options: Any) -> TrainConfig:
    """The configuration of a new training: recipe, files and flags together, so that each knows what the others say."""
    sources: Sources = options.sources
    return train_config(sources.base, *sources.config, **{**sources.given(), **changes_of(options)})


def with_flags(
    cls: type,
    words: Sequence[str],
    prog: str,
    base: Any,
    top: Sequence[str],
    without: Collection[str] = (),
    **kept: Any,
) -> Any:
    """`cls` out of words, with a flag for every setting of a training.

    Args:
        cls: the options of the verb; RECIPES in its help becomes their names.
        words: of the command line.
        prog: the verb, for the help.
        base: the configuration that the flags change; their defaults are its values.
        top: settings of it that are in no group, and are fields of `cls`.
        without: settings that are no flags.
        kept: besides `base` and `top`, what the options have and no flag changes.
    """
    fields: list[Any] = training_flags(base, shown_model(base), without)
    hints = typing.get_type_hints(cls, include_extras=True)
    fields += [(name, hints[name], dataclasses.field(default=getattr(base, name))) for name in top]
    marks: Any = tyro.conf
    for name, value in {"base": base, "top": tuple(top), **kept}.items():
        fields.append((name, marks.Suppress[marks.Fixed[type(value)]], dataclasses.field(default=value)))
    made = dataclasses.make_dataclass("Options", fields, bases=(cls,), frozen=True, kw_only=True)
    made.__doc__ = str(cls.__doc__).replace("RECIPES", ", ".join(recipes()))
    return parse_options(made, words, prog=prog)


def changes_of(options: Any) -> dict[str, Any]:
    """Everything that the flags change, as `tubelet.train` takes it."""
    base = options.base
    top = {name: getattr(options, name) for name in options.top if getattr(options, name) != getattr(base, name)}
    return training_changes(options, base) | top


def default_out(options: Any, ending: str = "") -> Path:
    """The folder of a run that was given none: called like its data, in `runs`."""
    data = Path(options.source or options.base.data.source).resolve()
    return Path("runs") / f"{data.name if data.is_dir() else data.stem}{ending}"


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
    return train_config(sources.base, *sources.config, **sources.given())


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
    require_sources(options, verb)


def require_sources(options: Any, verb: str) -> None:
    """Hold that the data, and what to start from, are there.

    Raises:
        ConfigError: no data was named.
        DataError: one of the two is not there.
    """
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


def console_reporter(output: Output) -> Reporter:
    """Says flags where the library says fields; nothing with `--quiet`."""
    from tubelet.training import ConsoleReporter, SilentReporter

    if output.quiet:
        return SilentReporter()

    class Flags(ConsoleReporter):
        def message(self, text: str) -> None:
            super().message(in_flags(text))

    return Flags()


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


def shown_model(config: TrainConfig | PretrainConfig) -> ModelConfig | None:
    """The model that the configuration describes, to be shown in the help; None if only the weights know."""
    if config.preset is None or config.init is not None:
        return None
    try:
        return preset_config(config.preset, **config.model)
    except TubeletError:
        return None
