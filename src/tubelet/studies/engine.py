"""`run_study`: plan the runs, bring those that are not done to their end, write the page."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tubelet.config import TrainConfig, override, to_dict, train_config
from tubelet.errors import ConfigError
from tubelet.folder_lock import FolderLock
from tubelet.studies.catalogue import find_study
from tubelet.studies.folder import Outcome, Run, StudyFolder, read_outcome, require_unchanged
from tubelet.studies.outcomes import rows_of
from tubelet.studies.page import Written, write_pages
from tubelet.studies.results import Verdict, judge, results_dict, summarise
from tubelet.studies.rows import Row
from tubelet.studies.schedule import run_all
from tubelet.studies.study import Plan, Setting, Study, StudyOptions, Task
from tubelet.studies.videos import GeneratedClips, generated_config, study_table, with_watching, write_generated
from tubelet.training import ConsoleReporter, Reporter, TrainingInterrupted
from tubelet.training.environment import describe_environment
from tubelet.training.progress import format_seconds
from tubelet.training.setup import with_source


@dataclass(frozen=True)
class StudyResult:
    """What came out.

    Attributes:
        study: its name.
        folder: of everything.
        page: the page.
        rows: the table.
        verdicts: on each hypothesis.
        verdict: the answer in a few sentences.
    """

    study: str
    folder: Path
    page: Path
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    verdict: tuple[str, ...]

    @property
    def num_failures(self) -> int:
        """Runs that failed."""
        return sum(len(failures) for failures in {row.title: row.failures for row in self.rows}.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "study": self.study,
            "folder": str(self.folder),
            "report": str(self.page),
            "verdict": list(self.verdict),
            **results_dict(self.rows, self.verdicts),
        }


def run_study(
    name: str,
    out: str | os.PathLike[str] | None = None,
    *,
    data: str | os.PathLike[str] | None = None,
    config: TrainConfig | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    jobs: int = 1,
    train_split: str = "train",
    test_split: str | None = None,
    options: StudyOptions | None = None,
    clips: GeneratedClips | None = None,
    command: str = "",
    publish: str | os.PathLike[str] | None = None,
    reporter: Reporter | None = None,
    **fields: Any,
) -> StudyResult:
    """Answer one of the paper's questions by training and evaluating what it compares.

        out/cells/NAME/seed-0/   each cell an ordinary run: `tubelet.load`, `tubelet evaluate`, report.html
        out/cells/NAME/seed-0.json   what it was to be, and what came out
        out/report.html, results.md, results.json, plot.png   the answer
        out/data.csv, study.json   the videos with their splits, and everything that was set

    A call that was stopped is gone on with by the same call: runs that are done are not done again, a run that was half
    done is resumed exactly. A run that fails is named in the table, and the others go on.

    Args:
        name: of the study; `tubelet study` lists them.
        out: folder; `studies/NAME` by default. One that holds anything else is refused.
        data: what `tubelet.data.read_table` reads; None generates videos that only time tells apart.
        config: what all cells share; by default a small one for the generated videos, or the recipe that fits.
        seeds: of the runs of each cell.
        jobs: runs at a time. More than one: each in a process of its own with one thread.
        train_split: videos to learn from.
        test_split: videos to test on; `test`, or `val` where there is none. They never choose anything.
        options: what is varied.
        clips: how many videos are generated.
        command: what the user typed, for the page.
        publish: a folder that gets the answer once more, without links to the runs, to be kept or shown without them.
        reporter: of the progress.
        fields: of the configuration, by their own names: `epochs=5, batch_size=4`.

    Raises:
        ConfigError: an unknown study, settings that do not fit, or a folder that was begun with others; `publish`
            holds pages of something else.
        DataError: no usable data.
        InUseError: another process works in the folder.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; the page shows what there is.
    """
    study, options, reporter = find_study(name), options or StudyOptions(), reporter or ConsoleReporter()
    options.require_only(name, study.options)
    if jobs < 1 or not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"jobs={jobs} must be at least 1, and seeds={tuple(seeds)} different ones, at least one")
    folder = StudyFolder(Path("studies") / name if out is None else Path(out))
    base = _base(study, data, config, fields)
    generated = base.data.source is None
    if clips is not None and not generated:
        raise ConfigError("train_clips, test_clips and clip_seed say how many videos are generated; data was given")
    published = None if publish is None else StudyFolder(Path(publish))
    if published is not None:
        published.claim_for_pages(name)
    folder.claim(name)
    with FolderLock() as lock:
        lock.hold(folder.path)
        if generated:
            write_generated(folder.path / "clips", clips or GeneratedClips())
        table = study_table(base, folder.path / "clips" if generated else None, train_split, test_split)
        base = with_watching(base, table)
        plan = study.plan(Setting(base, options, table))
        tasks: list[Task] = [*plan.sources, *plan.cells]
        runs = [folder.run(task, seed) for seed in seeds for task in tasks]
        require_unchanged(runs)
        folder.store_table(table)
        folder.write_study(_description(study, base, options, seeds, command, generated))
        for note in (*table.notes, *plan.notes):
            reporter.message(note)
        written = Written(study, plan, base, table, tuple(seeds), command)
        try:
            _bring_to_end(folder, runs, jobs, reporter)
        except KeyboardInterrupt as interrupt:  # a training's own, with the signal that it was, among them
            _finish(folder, written, published)
            raise TrainingInterrupted(
                f"stopped, nothing is lost; the same command goes on, and {folder.page} shows what there is",
                getattr(interrupt, "signal_number", signal.SIGINT),
            ) from None
        return _finish(folder, written, published)


def _base(
    study: Study, data: str | os.PathLike[str] | None, config: TrainConfig | None, fields: dict[str, Any]
) -> TrainConfig:
    if config is not None:
        base = override(config, **fields)
    elif data is None:
        base = override(generated_config(study), **fields)
    else:
        base = train_config(**fields)
    return with_source(base, data)


def _bring_to_end(folder: StudyFolder, runs: list[Run], jobs: int, reporter: Reporter) -> None:
    left = [run for run in runs if read_outcome(run).status != "done"]
    count = len(runs) - len(left)
    reporter.message(f"{len(runs)} runs, {count} of them done before" if count else f"{len(runs)} runs")

    def report(run: Run, outcome: Outcome) -> None:
        nonlocal count
        count += 1
        reporter.message(f"{count}/{len(runs)}  {run.name}: {_in_words(outcome)}")

    run_all(folder, left, jobs, report)


def _in_words(outcome: Outcome) -> str:
    if outcome.status == "failed":
        return f"FAILED: {outcome.error}"
    took = format_seconds(outcome.seconds)
    if not outcome.top1:
        return f"loss {outcome.loss:.3f}, {took}"
    scores = ", ".join(
        f"{top1:.1%}" + (f" ({views})" if len(outcome.top1) > 1 else "") for views, top1 in outcome.top1.items()
    )
    return f"top-1 {scores}; of training videos {outcome.train_top1:.1%}; {took}"


def _finish(folder: StudyFolder, written: Written, published: StudyFolder | None) -> StudyResult:
    plan: Plan = written.plan
    outcomes = {
        cell.name: {seed: read_outcome(folder.run(cell, seed)) for seed in written.seeds} for cell in plan.cells
    }
    rows = rows_of(plan.cells, outcomes)
    by_key = {row.key: row for row in rows}
    verdicts = [judge(hypothesis, by_key) for hypothesis in plan.hypotheses]
    verdict = [*summarise(rows, verdicts), *written.study.remarks(rows)]
    for target in filter(None, (folder, published)):
        write_pages(target, written, rows, verdicts, verdict)
    return StudyResult(written.study.name, folder.path, folder.page, tuple(rows), tuple(verdicts), tuple(verdict))


def _description(
    study: Study, base: TrainConfig, options: StudyOptions, seeds: Sequence[int], command: str, generated: bool
) -> dict[str, Any]:
    return {
        "study": study.name,
        "command": command,
        "seeds": list(seeds),
        "generated": generated,
        "options": asdict(options),
        "base": to_dict(base),
        "environment": describe_environment(torch.device("cpu")),
    }
