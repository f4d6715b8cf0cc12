"""The figures of the demonstration; tests/integration/test_demo.py runs it."""

from __future__ import annotations

from tubelet.data.generated import CLASSES
from tubelet.demo.result import scores_of
from tubelet.evaluation import Evaluation, VideoPrediction

NAMES = [motion.name for motion in CLASSES]


def called(truth: int, label: int) -> VideoPrediction:
    logits = tuple(float(label == place) for place in range(len(NAMES)))
    return VideoPrediction(f"{truth}-{label}.mp4", {"label": truth}, {"label": logits})


def test_a_class_that_is_wrong_in_one_part_is_right_in_the_others() -> None:
    first, other_colours = CLASSES[0], CLASSES[1]
    assert (first.direction, first.speed) == (other_colours.direction, other_colours.speed)
    opposite = next(n for n, motion in enumerate(CLASSES) if motion.direction != first.direction)
    predictions = [called(0, 0), called(0, 1), called(opposite, opposite), called(0, opposite)]
    scores = scores_of(Evaluation.of(predictions, {"label": NAMES}, resamples=0))
    assert scores.top1 == 2 / 4
    assert scores.direction == 3 / 4
    assert scores.colours == (3 if CLASSES[opposite].colours == first.colours else 2) / 4


def test_a_video_that_could_not_be_read_is_wrong_in_every_part() -> None:
    unread = VideoPrediction("broken.mp4", {"label": 0}, None, error="no video")
    scores = scores_of(Evaluation.of([called(0, 0), unread], {"label": NAMES}, resamples=0))
    assert (scores.top1, scores.direction, scores.speed, scores.colours) == (0.5, 0.5, 0.5, 0.5)
