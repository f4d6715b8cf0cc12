"""Where the evaluations of a run are kept: its own result in the run folder, all others beside it, none replaced.

RUN/evaluation.json, predictions.jsonl     the run's own result: of its test videos, or else of its validation videos
RUN/evaluations/NAME/...                   every other one: other data, another split, other views
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tubelet.evaluation.frame_order import ORDERS_FOLDER
from tubelet.evaluation.predictions import PREDICTIONS_FILE
from tubelet.evaluation.results import EVALUATION_FILE, Evaluation
from tubelet.evaluation.stored import CALIBRATION_FOLDER
from tubelet.files import process_name, remove_leftovers
from tubelet.paths import require_free

EVALUATIONS_FOLDER = "evaluations"
FILES = (PREDICTIONS_FILE, CALIBRATION_FOLDER, ORDERS_FOLDER, EVALUATION_FILE)
"""What an evaluation consists of; the file that names it is moved last."""


STAGING = ".evaluation-"
"""Begins the name of a hidden folder; then come its process and a few random letters."""


@contextmanager
def staging(beside: Path) -> Iterator[Path]:
    """A hidden folder to write an evaluation to before it is given its place by `keep` or `keep_in`."""
    is_new = not beside.exists()
    beside.mkdir(parents=True, exist_ok=True)
    remove_leftovers(beside, STAGING)
    folder = Path(tempfile.mkdtemp(prefix=f"{STAGING}{process_name()}-", dir=beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if is_new and not any(beside.iterdir()):
            beside.rmdir()


def keep(staged: Path, run: Path, *, own: bool) -> Path:
    """Give an evaluation its place in a run's folder.

    Args:
        staged: folder that it was saved to; empty afterwards.
        run: the run.
        own: it is of videos that the run was given, and not of other data.

    Returns:
        the folder where it is now.
    """
    new = Evaluation.load(staged)
    before = Evaluation.load(run) if (run / EVALUATION_FILE).is_file() else None
    leads = own and new.split in ("test", "val") and not new.learned_from
    if leads and (before is None or (before.split == new.split and _same_figures(before, new))):
        return _settle(staged, run, before)
    if leads and before is not None and (before.split, new.split) == ("val", "test"):
        set_aside(run)
        return _settle(staged, run, None)
    name = _name(new)
    if not own and new.data is not None:
        name = f"{_slug(new.data)}-{name}"
    folder = _place(run, name, new)
    older = Evaluation.load(folder) if folder.is_dir() else None
    return _settle(staged, folder, older)


def keep_own(evaluation: Evaluation, run: Path) -> Path:
    """Keep the evaluation at the end of a training as the run's own result; one of earlier weights is set aside."""
    with staging(run) as staged:
        evaluation.save(staged)
        before = Evaluation.load(run) if (run / EVALUATION_FILE).is_file() else None
        if before is not None and not _same_figures(before, evaluation):
            set_aside(run)
            before = None
        return _settle(staged, run, before)


def keep_in(staged: Path, folder: Path, *, overwrite: bool) -> Path:
    """Move an evaluation to a folder of the user's.

    Raises:
        ConfigError: an evaluation is there, and `overwrite` is False.
    """
    folder.mkdir(parents=True, exist_ok=True)
    require_free(folder / EVALUATION_FILE, overwrite=overwrite)
    if (folder / EVALUATION_FILE).exists():
        for name in FILES:
            _remove(folder / name)
    return _settle(staged, folder, None)


def set_aside(run: Path) -> Path | None:
    """Move the evaluation in a run's folder to `evaluations/`, for another one to take its place."""
    if not (run / EVALUATION_FILE).is_file():
        return None
    before = Evaluation.load(run)
    return _settle(run, _place(run, _name(before), before), None)


def _name(evaluation: Evaluation) -> str:
    """What the folder of an evaluation is called: split and views."""
    return f"{evaluation.split or 'all'}-{re.sub('[^A-Za-z0-9]+', '-', evaluation.views).strip('-')}"


def _place(run: Path, name: str, evaluation: Evaluation) -> Path:
    """The folder for an evaluation: the first of NAME, NAME-2, NAME-3, ... that is free or holds the same figures."""
    number = 1
    while True:
        folder = run / EVALUATIONS_FOLDER / (name if number == 1 else f"{name}-{number}")
        if not folder.exists():
            return folder
        if (folder / EVALUATION_FILE).is_file() and _same_figures(Evaluation.load(folder), evaluation):
            return folder
        number += 1


def _same_figures(one: Evaluation, other: Evaluation) -> bool:
    return (one.data, one.split, one.views, one.average, one.predictions) == (
        other.data,
        other.split,
        other.views,
        other.average,
        other.predictions,
    )


def _settle(source: Path, folder: Path, same: Evaluation | None) -> Path:
    """Move the files of an evaluation. Where the same figures are there already, what only they have is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    if same is not None:
        new = Evaluation.load(source)
        probe, calibration = new.probe or same.probe, new.calibration or same.calibration
        dataclasses.replace(new, probe=probe, calibration=calibration).save(source)
    for name in FILES:
        if (source / name).exists():
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
            os.replace(source / name, folder / name)
    return folder


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _slug(data: str) -> str:
    """The last part of a path, with nothing in it that a folder's name may not have."""
    return re.sub(r"[^\w.-]+", "-", Path(data).stem or Path(data).name).strip("-.") or "data"


def shared_evaluations(runs: Sequence[Path]) -> list[list[Path]]:
    """Evaluations that all runs have, of data that was not learned from and chose no weights, by name.

    Returns:
        of each evaluation its folders, in the order of the runs.
    """
    names = [{found.parent.name for found in run.glob(f"{EVALUATIONS_FOLDER}/*/{EVALUATION_FILE}")} for run in runs]
    folders = [[run / EVALUATIONS_FOLDER / name for run in runs] for name in sorted(set.intersection(*names))]
    found = [(one, [Evaluation.load(folder) for folder in one]) for one in folders]
    return [one for one, loaded in found if not any(each.chosen_on or each.learned_from for each in loaded)]
