"""The rounds of a tuning: what is tried on the best so far, how it is judged, and when the time is up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from tubelet.config import TrainConfig, override
from tubelet.data import Table, independent_unit
from tubelet.evaluation.intervals import Resampling
from tubelet.studies.folder import Outcome, Run, StudyFolder, read_outcome, require_unchanged
from tubelet.studies.schedule import run_all
from tubelet.studies.study import Cell
from tubelet.training import Reporter
from tubelet.training.progress import format_seconds
from tubelet.tuning.candidates import Candidate, candidates, rounds, shipped
from tubelet.tuning.looks import Looks
from tubelet.tuning.result import Trial, TuneResult

FEWEST_HELD_OUT = 20
"""Held-out videos without which a trial says nothing."""

TRIAL_SHARE, FEWEST_STEPS, MOST_STEPS = 1 / 7, 250, 1500
"""Steps of a trial as a share of those of the training, and their bounds."""

BUDGET_SHARE = 0.4
"""Of the time that the whole training takes at the pace of the first finished trial, where no budget is given."""


class Search:
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
        plan = rounds(self.looks, adapts=self.base.init is not None)
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
        if budget is None:
            finished = [trial.seconds for trial in self.trials if trial.accuracy is not None] or [longest]
            pace = finished[0] / (self.epochs * self.steps_per_epoch)
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
        found = [self._trial(candidate, number, runs[candidate.name]) for candidate in tried]
        better = [one for one in found if self._is_better(one)]
        if better:
            self.best = sorted(better, key=lambda one: one.accuracy or 0.0)[-1].candidate
            self.right = read_outcome(runs[self.best.name]).right["1x1"]
        self.trials += [replace(trial, chosen=trial.candidate is self.best) for trial in found]

    def _is_better(self, trial: Trial) -> bool:
        """Than the best so far, by more than a standard error. Where that failed, each that did not is."""
        if not self.right:
            return trial.accuracy is not None
        return trial.difference is not None and trial.difference > (trial.error or 0.0)

    def _trial(self, candidate: Candidate, number: int, run: Run) -> Trial:
        outcome = read_outcome(run)
        if outcome.status != "done":
            return Trial(
                candidate, number, None, None, None, None, None, outcome.seconds, False, outcome.error, run.folder
            )
        right = torch.tensor(outcome.right["1x1"], dtype=torch.float64)
        difference, error = None, None
        if candidate is self.best:
            self.right = outcome.right["1x1"]
        elif self.right:
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
        frozen = candidate.config.optimisation.freeze_epochs
        if frozen is not None:  # as long a part of the trial as of the training
            frozen = max(1, round(frozen * self.epochs / candidate.config.optimisation.epochs))
        config = override(candidate.config, epochs=self.epochs, minutes=None, warmup_epochs=None, freeze_epochs=frozen)
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
