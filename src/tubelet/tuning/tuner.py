"""`tune`: look at the training videos, try what may suit them, and write down the recipe that came out best."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tubelet.config import TrainConfig, from_dict, override, to_dict, train_config
from tubelet.data import Table, hold_out, independent_unit, read_configured
from tubelet.device import usable_cores
from tubelet.errors import ConfigError
from tubelet.evaluation.intervals import Interval, Resampling
from tubelet.files import write_text
from tubelet.folder_lock import FolderLock
from tubelet.json_files import dump_json
from tubelet.studies.folder import Outcome, Run, StudyFolder, read_outcome, require_unchanged
from tubelet.studies.schedule import run_all
from tubelet.studies.study import Cell
from tubelet.training import ConsoleReporter, Reporter, TrainingInterrupted
from tubelet.training.progress import format_seconds
from tubelet.training.splits import divide
from tubelet.tuning.candidates import Candidate, candidates, rounds, shipped
from tubelet.tuning.looks import Looks, look_at
from tubelet.tuning.recipe_file import write_recipe

NAME = "tune"
HELD_OUT = 0.2
"""Share of the training units that trials are judged by; of few groups at least one."""

FEWEST_HELD_OUT = 20
"""Held-out videos without which a trial says nothing."""

TRIAL_SHARE, FEWEST_STEPS, MOST_STEPS = 1 / 7, 250, 1500
"""Steps of a trial as a share of those of the training, and their bounds."""

BUDGET_SHARE = 0.4
"""Of the time that the whole training takes at the pace of the first trial, where no budget is given."""


@dataclass(frozen=True)
class Trial:
    """A candidate that was tried.

    Attributes:
        candidate: what.
        round: in which round, from 1.
        accuracy: share of the labels of the held-out videos that it got right, mean over heads; None if it failed.
        interval: 95 %, over held-out units; None where they do not support one.
        difference: to the best before it; None for the first.
        error: standard error of that difference, paired over units.
        train_accuracy: on as many training videos.
        seconds: that it took.
        chosen: whether it became the best.
        failure: why it failed.
        folder: of its run.
    """

    candidate: Candidate
    round: int
    accuracy: float | None
    interval: Interval | None
    difference: float | None
    error: float | None
    train_accuracy: float | None
    seconds: float
    chosen: bool
    failure: str
    folder: Path


@dataclass(frozen=True)
class TuneResult:
    """What a tuning came to.

    Attributes:
        config: of the training that is to follow.
        best: the candidate that it is.
        trials: all, in their order.
        looks: at the training videos.
        steps: of each trial.
        held_out: videos that the trials were judged by.
        learned: videos that they learned from.
        seconds: of all trials.
        next: what would be tried next, in words.
        notes: for the user.
        folder: of everything.
        recipe: the TOML file.
        page: the report.
    """

    config: TrainConfig
    best: Candidate
    trials: tuple[Trial, ...]
    looks: Looks
    steps: int
    held_out: int
    learned: int
    seconds: float
    next: tuple[str, ...]
    notes: tuple[str, ...]
    folder: Path
    recipe: Path
    page: Path

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "best": self.best.name,
            "label": self.best.label,
            "recipe": str(self.recipe),
            "report": str(self.page),
            "steps": self.steps,
            "held_out": self.held_out,
            "learned": self.learned,
            "seconds": round(self.seconds, 3),
            "next": list(self.next),
            "notes": list(self.notes),
            "looks": asdict(replace(self.looks, classes={}))
            | {"classes": {h: len(c) for h, c in self.looks.classes.items()}},
            "trials": [
                {
                    "name": trial.candidate.name,
                    "label": trial.candidate.label,
                    "round": trial.round,
                    "accuracy": trial.accuracy,
                    "interval": None if trial.interval is None else list(trial.interval.range),
                    "difference": trial.difference,
                    "error": trial.error,
                    "train_accuracy": trial.train_accuracy,
                    "seconds": trial.seconds,
                    "chosen": trial.chosen,
                    "failure": trial.failure,
                    "run": str(trial.folder),
                }
                for trial in self.trials
            ],
        }


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
    from tubelet.tuning.page import write_tuning_page

    reporter, folder = reporter or ConsoleReporter(), StudyFolder(Path(out))
    base = override(config, **fields) if config is not None else train_config(**fields)
    if isinstance(data, str | os.PathLike):
        base = replace(base, data=replace(base.data, source=os.path.abspath(data)))
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
        search = _Search(folder, base, fields, table, looks, jobs, reporter)
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


class _Search:
    """The rounds: what was tried, and the best so far."""

    def __init__(
        self,
        folder: StudyFolder,
        base: TrainConfig,
        typed: Mapping[str, Any],
        table: Table,
        looks: Looks,
        jobs: int,
        reporter: Reporter,
    ) -> None:
        self.folder, self.base, self.typed = folder, base, typed
        self.table, self.looks, self.jobs, self.reporter = table, looks, jobs, reporter
        self.trials: list[Trial] = []
        self.best = shipped(base)
        self.right: list[float] = []
        self.notes: list[str] = []
        held = [sample for sample in self.table.samples if sample.split == "val"]
        self.held_out = len(held)
        units = [independent_unit(sample) for sample in held]
        self.resampling = Resampling.over_units(units, any(sample.group is not None for sample in held))
        self.steps_per_epoch = math.ceil(len(self.table.split("train")) / base.optimisation.batch_size)
        self.all_steps = max(
            base.optimisation.epochs * math.ceil(looks.videos / base.optimisation.batch_size),
            base.optimisation.min_steps or 0,
        )
        wanted = min(MOST_STEPS, max(FEWEST_STEPS, round(self.all_steps * TRIAL_SHARE)))
        self.epochs = max(1, round(wanted / self.steps_per_epoch))

    @property
    def seconds(self) -> float:
        """That trials took, those that ran side by side counted once."""
        by_round: dict[int, list[float]] = {}
        for trial in self.trials:
            by_round.setdefault(trial.round, []).append(trial.seconds)
        return sum(max(*times, sum(times) / self.jobs) for times in by_round.values())

    def run(self, budget: float | None) -> list[str]:
        """Round after round, while there is time; returns what is left to try, in words."""
        plan = rounds(self.looks)
        if self.held_out < FEWEST_HELD_OUT:
            self.notes.append(
                f"{self.held_out} held-out videos cannot tell one recipe from another (at least {FEWEST_HELD_OUT} "
                "can): nothing was tried"
            )
            return [move.label for moves in plan for move in moves]
        for number, moves in enumerate(plan, start=1):
            tried = candidates(moves, self.best, self.looks, self.typed)
            if number == 1:
                tried = [self.best, *tried]
            elif tried and not self._has_time(len(tried), budget):
                return [move.label for later in plan[number - 1 :] for move in later]
            if tried:
                self._round(number, tried)
        return []

    def _has_time(self, count: int, budget: float | None) -> bool:
        longest = max(trial.seconds for trial in self.trials)
        first = next(trial.seconds for trial in self.trials)
        if budget is None:
            pace = first / (self.epochs * self.steps_per_epoch)
            allowed = BUDGET_SHARE * pace * self.all_steps
        else:
            allowed = 60 * budget
        return self.seconds + longest * math.ceil(count / self.jobs) <= allowed

    def _round(self, number: int, tried: list[Candidate]) -> None:
        runs = {candidate.name: self.folder.run(self._cell(candidate), self.base.seed) for candidate in tried}
        require_unchanged(runs.values())
        waiting = [run for run in runs.values() if read_outcome(run).status != "done"]
        self.reporter.message(f"round {number}: {', '.join(candidate.label for candidate in tried)}")
        run_all(self.folder, waiting, self.jobs, self._say)
        before, best = self.best, self.best
        found: list[Trial] = []
        for candidate in tried:
            trial = self._trial(candidate, number, runs[candidate.name])
            found.append(trial)
        for trial in sorted(found, key=lambda trial: trial.accuracy or 0.0):
            better = trial.difference is not None and trial.error is not None and trial.difference > trial.error
            if trial.accuracy is not None and (better or (number == 1 and trial.candidate is before)):
                best = trial.candidate if better or best is before else best
        self.best = best
        self.right = read_outcome(self.folder.run(self._cell(best), self.base.seed)).right.get("1x1", [])
        self.trials += [replace(trial, chosen=trial.candidate is best) for trial in found]

    def _trial(self, candidate: Candidate, number: int, run: Run) -> Trial:
        outcome = read_outcome(run)
        if outcome.status != "done":
            return Trial(
                candidate, number, None, None, None, None, None, outcome.seconds, False, outcome.error, run.folder
            )
        right = torch.tensor(outcome.right["1x1"], dtype=torch.float64)
        if number == 1 and candidate is self.best:
            self.right = outcome.right["1x1"]
        difference, error = None, None
        if candidate is not self.best and self.right:
            change = right - torch.tensor(self.right, dtype=torch.float64)
            difference, error = float(change.mean()), self._error(change)
        return Trial(
            candidate,
            number,
            float(right.mean()),
            self.resampling.share(right),
            difference,
            error,
            outcome.train_top1,
            outcome.seconds,
            False,
            "",
            run.folder,
        )

    def _error(self, change: torch.Tensor) -> float:
        """Standard error of a mean change, over units."""
        units = self.resampling.unit_of
        count = int(units.max()) + 1
        if count < 2:
            return float(change.std(correction=1)) / math.sqrt(len(change)) if len(change) > 1 else math.inf
        sums = torch.zeros(count, dtype=torch.float64).index_add(0, units, change - change.mean())
        return float((sums.square().sum() * count / (count - 1)).sqrt()) / len(change)

    def _say(self, run: Run, outcome: Outcome) -> None:
        if outcome.status == "failed":
            self.reporter.message(f"{run.task.label}: FAILED: {outcome.error}")
            return
        self.reporter.message(
            f"{run.task.label}: {outcome.top1['1x1']:.1%} of the held-out labels, {outcome.train_top1:.1%} of the "
            f"training ones; {format_seconds(outcome.seconds)}"
        )

    def _cell(self, candidate: Candidate) -> Cell:
        config = override(candidate.config, epochs=self.epochs, minutes=None, warmup_epochs=None)
        watched = replace(
            config.validation,
            validation_split="val",
            hold_out=None,
            hold_out_groups=(),
            validation_views="1x1",
            validate_every=self.epochs,
            patience=None,
            keep="last",
        )
        return Cell(name=candidate.name, label=candidate.label, config=replace(config, validation=watched), split="val")

    def result(self, left: list[str]) -> TuneResult:
        """What came out."""
        path = self.folder.path
        return TuneResult(
            self.best.config,
            self.best,
            tuple(self.trials),
            self.looks,
            self.epochs * self.steps_per_epoch,
            self.held_out,
            len(self.table) - self.held_out,
            self.seconds,
            tuple(left),
            tuple(self.notes),
            path,
            path / "recipe.toml",
            path / "report.html",
        )


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
        return from_dict(Looks, json.loads(file.read_text(encoding="utf-8")), where=str(file))
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
