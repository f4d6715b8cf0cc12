"""`tune`: look at the training videos, try what may suit them, and write down the recipe that came out best."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tubelet.config import TrainConfig, from_dict, override, to_dict, train_config
from tubelet.data import Table, hold_out, read_configured
from tubelet.device import usable_cores
from tubelet.errors import ConfigError
from tubelet.files import write_text
from tubelet.folder_lock import FolderLock
from tubelet.json_files import dump_json, read_json_object
from tubelet.studies.folder import StudyFolder
from tubelet.training import ConsoleReporter, Reporter, TrainingInterrupted
from tubelet.training.setup import with_source
from tubelet.training.splits import divide
from tubelet.tuning.looks import Looks, look_at
from tubelet.tuning.page import write_tuning_page
from tubelet.tuning.recipe_file import write_recipe
from tubelet.tuning.result import TuneResult
from tubelet.tuning.search import Search

NAME = "tune"
HELD_OUT = 0.2
"""Share of the training units that trials are judged by; of few groups at least one."""


def tune(
    data: Table | str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = "tuning",
    *,
    config: TrainConfig | None = None,
    budget: float | None = None,
    jobs: int | None = None,
    reporter: Reporter | None = None,
    command: str = "",
    **fields: Any,
) -> TuneResult:
    """Fit a recipe to the videos by short trainings on a part of the training videos, judged by the rest of them.

        out/recipe.toml                 the recipe: `tubelet train DATA --recipe out/recipe.toml`
        out/report.html, tune.json      what was tried, and what would be tried next
        out/cells/NAME/seed-0           each trial, an ordinary run

    Validation and test videos are not used. What was stopped is gone on with by the same call.

    Args:
        data: what `tubelet.train` takes.
        out: the folder.
        config: what is fitted; by default the recipe that is the default of a training.
        budget: minutes for the trials; by default two fifths of what the training takes at the pace of the first trial.
            The first round is always run.
        jobs: trials at a time, each in a process with one thread; by default one for each core, at most 2.
        reporter: shows how it goes.
        command: what the user typed, for the page.
        fields: of the configuration, by their own names; a trial does not change them.

    Raises:
        ConfigError: settings that do not fit, or a folder that was begun with others.
        DataError: no usable data, or too few videos to hold some out.
        InUseError: another process works in the folder.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP.
    """
    reporter, folder = reporter or ConsoleReporter(), StudyFolder(Path(out))
    base = with_source(override(config, **fields) if config is not None else train_config(**fields), data)
    if budget is not None and not budget > 0:
        raise ConfigError(f"budget={budget} minutes must be above 0; leave it out for a share of the training's time")
    jobs = min(2, usable_cores()) if jobs is None else jobs
    if jobs < 1:
        raise ConfigError(f"jobs={jobs} must be at least 1")
    folder.claim(NAME)
    with FolderLock() as lock:
        lock.hold(folder.path)
        divided = divide(data if isinstance(data, Table) else read_configured(base.data), base)
        if divided.train.multi_label:
            raise ConfigError(
                "a tuning compares how often labels are right, and these are multi-label heads: "
                f"{', '.join(divided.train.multi_label)}; train with a recipe by its name"
            )
        table = _with_held_out(divided.train, base.seed)
        folder.store_table(table)
        looks = _looked(folder, table, reporter)
        search = Search(folder, base, fields, table, looks, jobs, reporter)
        for note in (divided.table.describe(), *_in_words(looks)):
            reporter.message(note)
        try:
            left = search.run(budget)
        except KeyboardInterrupt as interrupt:
            raise TrainingInterrupted(
                "stopped, nothing is lost; the same command goes on",
                getattr(interrupt, "signal_number", signal.SIGINT),
            ) from None
        result = search.result(left)
        write_recipe(result.config, result.recipe, f"Fitted to {divided.table.describe()}: {result.best.label}.")
        write_text(folder.path / "tune.json", dump_json(result.to_dict(), indent=2) + "\n")
        write_tuning_page(result, command)
    return result


def _with_held_out(train: Table, seed: int) -> Table:
    """The training videos in two parts, `train` and `val`, units kept whole."""
    groups = list(dict.fromkeys(sample.group for sample in train.samples if sample.group is not None))
    if 1 < len(groups) < 1 / HELD_OUT:
        return hold_out(train, groups=[groups[-1]], seed=seed)
    return hold_out(train, fraction=HELD_OUT, seed=seed)


def _looked(folder: StudyFolder, table: Table, reporter: Reporter) -> Looks:
    """What was seen of the videos that trials learn from; kept, as looking takes a minute or two."""
    file = folder.path / "looks.json"
    if file.is_file():
        return from_dict(Looks, read_json_object(file), where=str(file))
    looks = look_at(table, _each_minute(reporter))
    write_text(file, dump_json(to_dict(looks)) + "\n")
    return looks


def _each_minute(reporter: Reporter) -> Callable[[int, int], None]:
    """Says how far looking at the videos is."""
    said = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said
        if done == 1 or time.monotonic() - said > 60:
            said = time.monotonic()
            reporter.message(f"looking at the videos: {done} of {total}")

    return progress


def _in_words(looks: Looks) -> list[str]:
    lines = [f"{looks.videos} training videos of {looks.units} units, {looks.median_frames} frames (median)"]
    if looks.linear is not None:
        linear = looks.linear
        line = (
            f"a linear classifier on small grey pictures gets {linear.whole:.1%} of the labels "
            f"(chance {linear.chance:.1%})"
        )
        if linear.parts:
            smallest = linear.parts[-1]
            top, left, bottom, right = smallest.region
            line += (
                f", and {smallest.accuracy:.1%} from the part from {top:.0%} to {bottom:.0%} of the height and "
                f"{left:.0%} to {right:.0%} of the width alone"
            )
        lines.append(line)
    return lines
