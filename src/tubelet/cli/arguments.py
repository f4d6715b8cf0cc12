"""From words on the command line to a verb's options."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from tubelet.cli.hints import Misused, hints
from tubelet.cli.output import Output
from tubelet.config.data import DataFormat, TableFormat
from tubelet.config.run_state import unfinished_note
from tubelet.distributed.launch import hold_on_to_launcher, launch
from tubelet.distributed.process import process_info
from tubelet.errors import ConfigError, DataError, WeightsError
from tubelet.paths import require_data, require_model
from tubelet.text import printable, printable_lines, without_passwords

if TYPE_CHECKING:
    from tubelet.data import Table
    from tubelet.model import ViViT

T = TypeVar("T")

SETTINGS = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.HelptextFromCommentsOff)


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every verb takes.

    Attributes:
        json: print one line of JSON on standard output, and everything else on standard error.
        quiet: print results, warnings and errors alone: no progress, no notes.
    """

    json: bool = False
    quiet: Annotated[bool, tyro.conf.arg(aliases=["-q"])] = False


@dataclass(frozen=True, kw_only=True)
class TableOptions(CommonOptions, TableFormat):
    """How a data set is described, for verbs that read one.

    Attributes:
        format: auto looks; folder, table (CSV, TSV, JSONL), shards, or annotations of kinetics, something, epic,
            moments.
        labels: columns that hold labels; several make several heads.
        split_column: column that says train, val or test.
        group_column: column whose groups (a person, a source video) belong together.
        video_root: folder that the paths of a table start from.
        nested: every folder with videos is a class, not the first level alone.
        allow_missing: leave out samples whose file does not exist, and say so.
        label_separator: what stands between several labels in a cell; none takes every cell for one class.
        one_hot: the columns of --labels hold 0 or 1 and are the classes of one head.
        background: the label that means none of the classes.
    """

    format: DataFormat = "auto"
    labels: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="COLUMN ...")] = None
    group_column: Annotated[str | None, tyro.conf.arg(metavar="COLUMN")] = None
    video_root: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    label_separator: Annotated[str | None, tyro.conf.arg(metavar="TEXT")] = None
    background: Annotated[str | None, tyro.conf.arg(metavar="LABEL")] = None

    def read(self, source: str | Path, *, allow_leaks: bool = False) -> Table:
        """The table that these options describe; `allow_leaks` as in `tubelet.data.read_table`."""
        require_data(source)
        from tubelet.data.read import read_source

        return read_source(source, self, allow_leaks=allow_leaks)


def warn_of_unfinished(source: str, output: Output) -> None:
    """Say so if the weights are those of a run whose training has not come to its end."""
    note = unfinished_note(source)
    if note is not None:
        output.warn(note)


def load_model(source: str, output: Output) -> ViViT:
    """`tubelet.load`, and what its report notes: that the weights came from the Hub, for instance."""
    from tubelet.weights import load

    model = load(source)
    for note in model.load_report.notes:
        output.note(note)
    return model


def read_or_own(options: TableOptions, model: str, data: str | None, usage: str) -> Table:
    """The data set that a verb was given, or without one all videos of the run that it was given as its model.

    Raises:
        ConfigError: neither is there; `usage` says how to name videos.
    """
    if data is not None:
        return options.read(data)
    if options.group_column is not None:
        raise ConfigError("--group-column is a column of DATA; a run knows the groups that it was trained with")
    from tubelet.data.run_table import require_any, run_table

    try:
        table = run_table(model)
        require_any(table)
        return table
    except DataError as error:
        raise ConfigError(f"{error}: {usage}") from error


def run_verb(name: str, module: ModuleType, words: Sequence[str]) -> int:
    """Parse the words after a verb into its module's `Options`, and run it; the result is the exit code.

    A module whose options depend on other words (a recipe, for instance) has a function `parse` of its own.
    """
    own: Callable[[Sequence[str], str], CommonOptions] | None = getattr(module, "parse", None)
    prog = f"tubelet {name}"
    options = own(words, prog) if own is not None else parse(module.Options, words, prog=prog)
    here, devices = process_info(), getattr(options, "devices", None)
    if devices is not None:
        if here.size == 1 and devices != 1:
            return launch([sys.executable, "-m", "tubelet", *name.split(), *words], devices)
        if here.size > 1 and devices != here.local_size:
            raise ConfigError(f"--devices {devices}, but {here.local_size} processes were started here; leave it out")
    hold_on_to_launcher()
    run: Callable[[Any, Output], int] = module.run
    return run(options, Output(as_json=options.json, silent=not here.first, quiet=options.quiet))


def parse(cls: type[T], words: Sequence[str], *, prog: str) -> T:
    """The dataclass `cls` out of words; its docstring is the help.

    Raises:
        SystemExit: 0 after `--help`, 2 (a `Misused`) after words that do not fit; the reason, with the nearest option,
            was printed.
    """
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(cls, args=list(words), prog=prog, config=SETTINGS)
    except SystemExit as end:
        said = printable_lines(without_passwords(box.getvalue()))
        meant = [printable(without_passwords(hint)) for hint in hints(words, cls)] if end.code else []
        print(said, *(f"tubelet: {hint}" for hint in meant), sep="\n" if meant else "", end="", file=sys.stderr)
        if not end.code:
            raise
        raise Misused("; ".join([_without_frame(said), *meant])) from None


def _without_frame(box: str) -> str:
    """The words of a box that tyro draws, on one line."""
    lines = (line.strip(" │╭╮╰╯─") for line in box.splitlines())
    return " ".join(line for line in lines if line)


def one_source(positional: str | None, flag: str | None, verb: str) -> str | None:
    """The data set of a verb that takes it as the word DATA and as `--data` alike; None if neither was given.

    Raises:
        ConfigError: both were.
    """
    if positional is not None and flag is not None:
        raise ConfigError(
            f"two data sets were named, {positional} and --data {flag}; name one: tubelet {verb} ... {positional}"
        )
    return flag if positional is None else positional


def require_source(name: str) -> None:
    """Hold that there may be a model of this name, before torch is imported.

    Raises:
        WeightsError: there is none, or it is a preset, which has no weights.
    """
    from tubelet.presets import presets

    if not os.path.exists(name) and name in presets():
        raise WeightsError(
            f"{name} is a preset, which has no weights; train it: tubelet train DATA --preset {name}; or name a run"
        )
    require_model(name)
