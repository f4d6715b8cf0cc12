"""Evaluations that are kept: those of a run in its folder, none in place of another, and its page written again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tubelet.config.run_state import RUN_FILE
from tubelet.config.split_names import split_name
from tubelet.data import Table, read_table
from tubelet.data.run_table import require_any, run_table
from tubelet.distributed.world import ALONE, World
from tubelet.errors import ConfigError, DataError
from tubelet.evaluation import Evaluation, evaluate, evaluate_stored, probe_temporal
from tubelet.evaluation.evaluator import own_split
from tubelet.evaluation.keeping import keep, keep_in, staging
from tubelet.evaluation.operating_points import fit_operating_points
from tubelet.evaluation.predictions import PREDICTIONS_FILE
from tubelet.evaluation.results import EVALUATION_FILE
from tubelet.evaluation.stored import CALIBRATION_FOLDER
from tubelet.model import ViViT
from tubelet.paths import require_free
from tubelet.report import write_report
from tubelet.weights import load
from tubelet.weights.native import CONFIG_FILE, keep_operating_points

SURE_OF_LEARNED = "a model is surer of videos that it was trained on: a temperature fitted on them comes out too low"


@dataclass(frozen=True)
class KeptEvaluation:
    """An evaluation and where it is.

    Attributes:
        evaluation: what was measured.
        folder: with evaluation.json and predictions.jsonl; None where a model that is no run was measured without
            `out`, and in all processes but the first.
        report: the page that shows it; None without one.
        problem: why no temperature was fitted; None if one was, or if that was not asked.
        notes: what to know of the figures.
    """

    evaluation: Evaluation
    folder: Path | None
    report: Path | None
    problem: str | None = None
    notes: tuple[str, ...] = ()


def evaluate_and_keep(
    source: str | os.PathLike[str],
    data: Table | str | os.PathLike[str] | None = None,
    *,
    own: bool | None = None,
    model: ViViT | None = None,
    split: str | None = None,
    calibrate_on: str | None = None,
    abstain: float | None = None,
    keep_thresholds: bool = False,
    temporal: bool = False,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    named: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    world: World = ALONE,
    **how: Any,
) -> KeptEvaluation:
    """Evaluate a run, keep the result, and write its page.

    The result for the run's own test videos (or else validation videos) is kept in its folder, every other one in
    RUN/evaluations/NAME. No result replaces another one.

    Args:
        source: the run; or a model folder, a checkpoint, a Hub id, for which nothing is kept without `out`.
        data: a table, or what `tubelet.data.read_table` reads; None is the videos that the run was given.
        own: whether these are videos that the run was given; by default they are where `data` is None.
        model: of the source, if it is loaded already.
        split: evaluate these samples alone; test, or else val, by default if the data has splits.
        calibrate_on: split to fit temperatures, and thresholds of multi-label heads, on, which are then measured on the
            others.
        abstain: share of right answers of heads with one class per video; the probability below which a video is
            `unknown` is fitted on `calibrate_on` too.
        keep_thresholds: make the thresholds that were fitted those of the run (`operating_points` in its config.json).
        temporal: evaluate with frames shuffled, reversed, and a single one too (`tubelet.evaluation.probe_temporal`).
        seed: of the shuffled orders.
        out: folder for the result, instead of the run.
        overwrite: replace an evaluation in `out`.
        named: what the result calls the data; by default its folder or table.
        progress: called with (videos done, videos in all).
        world: processes that share the videos.
        how: views, average, include_learned, resample, views_per_forward, workers, device, precision, as of
            `tubelet.evaluate`.

    Raises:
        ConfigError: `out` is taken, or `calibrate_on` is the split that is measured.
        DataError: no videos to measure on.
    """
    table = _own_videos(source) if data is None else data if isinstance(data, Table) else read_table(os.fspath(data))
    if data is not None and not isinstance(data, Table):
        named = named or os.path.abspath(data)
    split = split or own_split(table)
    other = None if calibrate_on is None else _other_split(calibrate_on, split)
    _require_fitting(source, other, abstain, keep_thresholds)
    loaded = load(os.fspath(source)) if model is None else model

    def measured(split: str | None, folder: Path | None, temporal: bool) -> Evaluation:
        if temporal:
            found: Evaluation = probe_temporal(
                loaded, table, split=split, seed=seed, out=folder, progress=progress, **how
            )
        else:
            found = evaluate(loaded, table, split=split, progress=progress, world=world, **how)
        return found if named is None else replace(found, data=named)

    home = _home(source, out) if world.first else None
    with nullcontext() if home is None else staging(home) as staged:
        evaluation, problem, doubts = measured(split, staged, temporal), None, list[str]()
        if staged is not None:
            evaluation.save(staged)
        if other is not None:
            try:
                fitted_on = measured(other, None, False)
                if staged is not None:
                    fitted_on.save(staged / CALIBRATION_FOLDER)
                points, doubts = fit_operating_points(fitted_on, abstain=abstain, background=_background(loaded))
                evaluation = evaluation.at({**evaluation.operating_points, **points})
                evaluation = evaluation.calibrated(fitted_on)
                if staged is not None:
                    evaluation.save(staged)
            except DataError as error:  # what was measured is kept
                problem = str(error)
        folder = None
        if staged is not None and out is not None:
            folder = keep_in(staged, Path(out), overwrite=overwrite)
        elif staged is not None:
            folder = keep(staged, Path(source), own=data is None if own is None else own)
    if keep_thresholds and world.first and evaluation.operating_points:
        loaded.operating_points = evaluation.operating_points
        keep_operating_points(loaded, Path(source))
    notes = (*((SURE_OF_LEARNED,) if other == "train" else ()), *doubts)
    return KeptEvaluation(evaluation, folder, _page_of(home), problem, notes)


def evaluate_stored_and_keep(
    stored: str | os.PathLike[str],
    *,
    classes: Mapping[str, Sequence[str]] | Path | None = None,
    split: str | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> KeptEvaluation:
    """Compute the figures of stored predictions again, without a model, keep them, and write the page.

    Args:
        stored: the folder of an evaluation, or a file like its predictions.jsonl.
        classes: head to class names, or a JSON file with them; split: both as of `tubelet.evaluation.evaluate_stored`.
        out: folder for the figures; by default beside the predictions.
        overwrite: replace an evaluation in `out`.

    Raises:
        ConfigError: `out` is taken, or is needed.
        DataError: no predictions, or nothing that names the classes.
    """
    path = Path(stored)
    beside = path if path.is_dir() else path.parent
    if out is None and path.is_file() and path.name != PREDICTIONS_FILE:
        raise ConfigError(f"{path}: name a folder for the figures, --out FOLDER")
    if out is not None and Path(out).exists():
        require_free(Path(out) / EVALUATION_FILE, overwrite=overwrite)
    folder = beside if out is None else Path(out)
    classes = read_class_names(classes) if isinstance(classes, Path) else classes
    evaluation = evaluate_stored(path, classes=classes, split=split)
    evaluation.save(folder, predictions=folder.resolve() != beside.resolve())
    return KeptEvaluation(evaluation, folder, _page_of(folder))


def read_class_names(path: Path) -> dict[str, list[str]]:
    """The class names of each head that a JSON file holds.

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--classes {path}: cannot be read as JSON ({error})") from error
    fits = isinstance(names, dict) and all(
        isinstance(one, list) and all(isinstance(name, str) for name in one) for one in names.values()
    )
    if not fits:
        raise ConfigError(f'--classes {path}: expected head to names, {{"label": ["run", "jump"]}}')
    return names


def _own_videos(source: str | os.PathLike[str]) -> Table:
    table = run_table(source)
    require_any(table)
    return table


def _home(source: str | os.PathLike[str], out: str | os.PathLike[str] | None) -> Path | None:
    """Where a result is kept: `out`, or else the run; None for a model that is no run."""
    if out is not None:
        return Path(out)
    return Path(source) if (Path(source) / RUN_FILE).is_file() else None


def _require_fitting(source: str | os.PathLike[str], other: str | None, abstain: float | None, keep: bool) -> None:
    if other is None and (abstain is not None or keep):
        raise ConfigError(
            "--abstain and --keep-thresholds need the videos to fit on: --calibrate-on val, measured on another split"
        )
    if abstain is not None and not 0 < abstain <= 1:
        raise ConfigError(f"--abstain {abstain} is a share of right answers; use a number above 0, at most 1")
    if keep and not (Path(source) / CONFIG_FILE).is_file():
        raise ConfigError(
            f"--keep-thresholds writes into the model, and {os.fspath(source)} is no folder of one of ours"
        )


def _background(model: ViViT) -> str | None:
    return next((point.background for point in model.operating_points.values() if point.background is not None), None)


def _page_of(home: Path | None) -> Path | None:
    """The page of a folder that has something to show, written anew."""
    has_page = home is not None and any((home / name).is_file() for name in (RUN_FILE, EVALUATION_FILE))
    return write_report(home) if home is not None and has_page else None


def _other_split(wanted: str, split: str | None) -> str:
    """The split to fit a temperature on.

    Raises:
        ConfigError: it is the one that is measured.
    """
    if split is None or split_name(wanted) == split_name(split):
        raise ConfigError(
            f"--calibrate-on {wanted}: a temperature is fitted on other videos than it is measured on; "
            "the data needs two splits, --split test --calibrate-on val for instance"
        )
    return split_name(wanted)
