"""The end of a run: what the delivered weights do on the validation videos, sample clips, and the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tubelet.config import TrainConfig, from_dict
from tubelet.config.run_state import RUN_FILE, read_run_file
from tubelet.data import Table
from tubelet.data.known import LearnedFromAllError
from tubelet.data.run_table import run_table
from tubelet.device import resolve_device
from tubelet.distributed.world import ALONE, World
from tubelet.evaluation import Evaluation, evaluate
from tubelet.evaluation.keeping import keep_own
from tubelet.evaluation.operating_points import fit_operating_points
from tubelet.model import ViViT
from tubelet.report import write_report
from tubelet.report.learning import Reading
from tubelet.runs.learning import read_learning
from tubelet.runs.samples import make_sample_clips
from tubelet.weights import load
from tubelet.weights.native import keep_operating_points
from tubelet.weights.sample_clips import SAMPLES_FILE


@dataclass(frozen=True)
class RunEnd:
    """What the end of a run left.

    Attributes:
        evaluation: of the delivered weights; None without videos that they did not learn from.
        report: the page; None if it was left out.
        sample_clips: their file; None if there is none.
        notes: what was left out, and why.
        learning: what became of the training; None if it was not read: without the page, or for another split.
    """

    evaluation: Evaluation | None
    report: Path | None
    sample_clips: Path | None
    notes: tuple[str, ...]
    learning: Reading | None = None


def finish_run(
    run: str | Path,
    *,
    model: ViViT | None = None,
    split: str | None = None,
    views: str | None = None,
    title: str | None = None,
    report: bool = True,
    sample_clips: bool | None = None,
    device: str | None = None,
    world: World = ALONE,
) -> RunEnd:
    """Evaluate the weights of a run whose training is over, keep sample clips, and write the page.

        run/evaluation.json, predictions.jsonl   the run's own result; one of earlier weights goes to run/evaluations
        run/sample_clips.safetensors             real clips with the logits of these weights
        run/learning.json                        what became of the training, and what to try
        run/report.html                          the page

    Args:
        run: its folder.
        model: with the run's weights, if it is at hand; moved to the device, then back.
        split: to evaluate on; by default the validation split.
        views: by default those of the validation.
        title: of the page; by default the folder's name.
        report: evaluate, and write the page; False leaves both out.
        sample_clips: keep them; by default as the run's configuration says. Where not, those that are there go.
        device: to compute on; by default that of the training.
        world: processes that share the videos.

    Raises:
        DataError: there is no run, or a file of it is damaged.
        StorageError: the folder cannot be written.
    """
    run = Path(run)
    config = stored_config(run)
    model = load(run) if model is None else model
    before, notes = next(model.parameters()).device, list[str]()
    keeps = config.monitoring.sample_clips if sample_clips is None else sample_clips
    model.to(resolve_device(device or config.runtime.device, world))
    try:
        table = run_table(run)
        samples = world.broadcast(lambda: _keep_samples(run, model, table, config, keeps, notes))
        evaluation, learning, watched = None, None, config.validation
        if report:
            evaluation = _evaluated(
                run,
                model,
                table,
                config,
                split or watched.validation_split,
                views or watched.validation_views,
                notes,
                world,
            )
        if report and split is None:
            learning = read_learning(run, model, table, config, evaluation, world)
    finally:
        model.to(before)
    page = world.broadcast(lambda: write_report(run, title=title)) if report else None
    return RunEnd(evaluation, page, samples, tuple(notes), learning)


def stored_config(run: Path) -> TrainConfig:
    """The configuration that a run began with.

    Raises:
        DataError: there is no run, or its run.json is damaged.
    """
    return from_dict(TrainConfig, read_run_file(run, "config")["config"], where=f"{run / RUN_FILE}: config")


def _keep_samples(
    run: Path, model: ViViT, table: Table, config: TrainConfig, keeps: bool, notes: list[str]
) -> Path | None:
    model.sample_clips = None
    if not keeps:
        (run / SAMPLES_FILE).unlink(missing_ok=True)
        return None
    split = config.validation.validation_split
    samples = make_sample_clips(model, table, split=split if split in table.splits else "train")
    if samples is None:
        notes.append("no sample clips: none of the videos can be read")
        return None
    model.sample_clips = samples.write(run).absolute()
    return model.sample_clips


def _evaluated(
    run: Path,
    model: ViViT,
    table: Table,
    config: TrainConfig,
    split: str,
    views: str,
    notes: list[str],
    world: World,
) -> Evaluation | None:
    """The run's own result, kept in its folder; of the validation videos, it gives the model its operating points."""
    if split not in table.splits:
        return None
    try:
        evaluation = evaluate(model, table, split=split, views=views, world=world)
    except LearnedFromAllError as error:
        notes.append(f"no evaluation: {error}")
        return None
    if split == config.validation.validation_split:
        points, doubts = fit_operating_points(
            evaluation, abstain=config.validation.abstain, background=config.data.background
        )
        notes += doubts
        model.operating_points = points
        evaluation = evaluation.at(points)
        if world.first:
            keep_operating_points(model, run)
    if world.first:
        keep_own(evaluation, run)
    return evaluation
