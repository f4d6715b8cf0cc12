"""Thresholds fitted on validation videos: which classes are reported, and when the answer is `unknown`."""

from __future__ import annotations

from tubelet.config import OperatingPoint
from tubelet.config.operating_point import UNFITTED
from tubelet.errors import DataError
from tubelet.evaluation.abstention import fit_abstention
from tubelet.evaluation.multi_label import label_scores
from tubelet.evaluation.results import Evaluation
from tubelet.evaluation.scores import scores_of
from tubelet.evaluation.thresholds import FEWEST, fit_thresholds
from tubelet.text import count, listing


def fit_operating_points(
    evaluation: Evaluation, *, abstain: float | None = None, background: str | None = None
) -> tuple[dict[str, OperatingPoint], list[str]]:
    """The operating points of a model, and what there is to know of them.

    Args:
        evaluation: of validation videos, with their predictions.
        abstain: accuracy that the answers of heads with one class per video are to have; None answers always.
        background: class that means none of the others, in the heads that have it.
    """
    points: dict[str, OperatingPoint] = {}
    notes: list[str] = []
    for head, names in evaluation.classes.items():
        where = "" if head == "label" else f"{head}: "
        if head in evaluation.multi_label:
            labels = label_scores(evaluation.predictions, head, len(names))
            fitted = fit_thresholds(labels.logits.sigmoid(), labels.truth)
            left = [name for name, value in zip(names, fitted, strict=True) if value is None]
            if left:
                notes.append(
                    f"{where}threshold {UNFITTED:g} for {count(len(left), 'class', 'classes')} with fewer than "
                    f"{FEWEST} videos in {evaluation.split or 'the data'} that show it, or do not: {listing(left, 5)}"
                )
            if len(left) < len(names):
                thresholds = tuple(UNFITTED if value is None else value for value in fitted)
                points[head] = OperatingPoint(
                    thresholds=thresholds, fitted_on=len(labels.truth), split=evaluation.split
                )
            continue
        own_background = background if background in names else None
        if abstain is None and own_background is None:
            continue
        scores = scores_of(evaluation.predictions, head, len(names))
        temperature, below = 1.0, 0.0
        if abstain is not None:
            index = None if own_background is None else names.index(own_background)
            try:
                temperature, below = fit_abstention(scores.logits, scores.target, abstain, index)
            except DataError as error:
                notes.append(f"{where}every video is answered: {error}")
        points[head] = OperatingPoint(
            temperature=temperature,
            unknown_below=below,
            background=own_background,
            fitted_on=len(scores.target),
            split=evaluation.split,
        )
    return points, notes
