"""The reading of a training's curves, from figures made up."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from tubelet.cli import train as train_verb
from tubelet.cli.training_options import config_of
from tubelet.config import TrainConfig, to_dict, train_config
from tubelet.report import advice
from tubelet.report.advice import Settings
from tubelet.report.learning import Accuracy, Measured, Reading, read_curves
from tubelet.report.trend import trend

SETTINGS = Settings(to_dict(TrainConfig()), {"hidden_size": 64})
CHANCE = math.log(10)


def accuracy(top1: float, videos: int = 100) -> Accuracy:
    return Accuracy(top1, math.sqrt(max(top1 * (1 - top1), 0.04) / videos), videos, loss=3 * (1 - top1))


def events(
    losses: list[float], top1: list[float], losses_of_validation: list[float] | None = None, reason: str = "finished"
) -> list[dict[str, Any]]:
    """A step of the training for each loss, under a rate that goes down to 0; validations in equal distances."""
    last, every = len(losses), len(losses) // max(len(top1), 1)
    made: list[dict[str, Any]] = [
        {"event": "train", "step": step, "epoch": step, "loss": loss, "lr": 1e-3 * (1 - step / last)}
        for step, loss in enumerate(losses, 1)
    ]
    for number, share in enumerate(top1, 1):
        loss = losses_of_validation[number - 1] if losses_of_validation else 1 - share
        made.append(
            {"event": "validation", "step": number * every, "epoch": number * every, "top1": share, "loss": loss}
        )
    return [*made, {"event": "end", "reason": reason}]


def read(
    training: Accuracy, validation: Accuracy | None, what: list[dict[str, Any]], settings: Settings = SETTINGS
) -> Reading:
    reading = read_curves(Measured(training, validation, 0.1, CHANCE), what, settings)
    assert reading is not None
    return reading


def noisy(values: list[float], size: float = 0.05) -> list[float]:
    generator = random.Random(0)
    return [value + generator.gauss(0, size) for value in values]


SETTLED = noisy([CHANCE * math.exp(-step / 20) + 0.1 for step in range(200)])
FALLING = noisy([CHANCE - 1.2 * step / 200 for step in range(200)])


def test_a_line_knows_its_own_error() -> None:
    straight = trend([(step, 2.0 + 0.1 * step) for step in range(10)])
    assert straight is not None
    assert (straight.change, straight.error, straight.end) == pytest.approx((0.9, 0.0, 2.9), abs=1e-9)
    flat = [trend(list(enumerate(noisy([1.0] * 100, 1.0)))), trend(list(enumerate(noisy([1.0] * 10_000, 1.0))))]
    assert flat[0] is not None
    assert flat[1] is not None
    assert abs(flat[0].change) < 3 * flat[0].error
    assert flat[1].error == pytest.approx(flat[0].error / 10, rel=0.5)
    assert trend([(1, 1.0), (2, 2.0), (3, 3.0)]) is None


def test_few_validation_videos_say_nothing_and_that_is_said() -> None:
    what = events(SETTLED, [0.5] * 8)
    over = read(accuracy(1.0), accuracy(0.5, 40), what)
    assert over.verdict == "overfitted"
    assert "and 50 % of 40 validation videos, 50 points apart (± 16); try " in over.sentence
    unsure = read(accuracy(1.0), accuracy(0.8, 10), what)
    assert unsure.verdict == "cannot tell"
    assert "20 points apart (± 26)" in unsure.sentence
    without = read(accuracy(1.0), None, events(SETTLED, []))
    assert (without.verdict, without.suggestions) == ("cannot tell", ("--hold-out 0.2",))
    too_few = read(accuracy(1.0), accuracy(0.2, 5), what)
    assert too_few.verdict == "cannot tell"
    assert "so few validation videos" in too_few.sentence


def test_validation_that_still_rises_ended_too_early_though_it_is_behind() -> None:
    rising = noisy([0.1 * step for step in range(1, 9)], 0.01)
    reading = read(accuracy(0.8), accuracy(0.6), events(SETTLED, rising))
    assert reading.verdict == "ended too early"
    assert "validation accuracy rose by" in reading.sentence
    assert reading.suggestions[0] == "--epochs 200"
    assert read(accuracy(0.8), accuracy(0.6), events(SETTLED, [0.6] * 8)).verdict == "overfitted"


def test_patience_that_ran_out_under_a_high_learning_rate_is_named() -> None:
    settings = Settings(to_dict(train_config(patience=3)), {})
    what = [one for one in events(FALLING, [0.3] * 8, reason="early stopping") if one.get("step", 0) <= 150]
    reading = read(accuracy(0.5), accuracy(0.48), what, settings)
    assert reading.verdict == "ended too early"
    assert "the learning rate was still at 25 % of its highest" in reading.sentence
    assert reading.suggestions == ("--patience 6",)


def test_weights_of_an_early_epoch_whose_validation_grew_worse_since_are_overfitting() -> None:
    """The delivered weights are of the best epoch, in which the two accuracies were still alike."""
    top1, losses = [0.5, 0.6, 0.58, 0.55, 0.56, 0.55, 0.54, 0.55], [1.4, 1.2, 1.3, 1.45, 1.5, 1.62, 1.7, 1.85]
    reading = read(accuracy(0.65), accuracy(0.6), events(SETTLED, top1, losses))
    assert reading.verdict == "overfitted"
    assert "validation was best in epoch 50 of 200, and its loss has risen by" in reading.sentence
    assert "--patience 5" in reading.suggestions
    better = [0.5, 0.96, 0.95, 0.96, 0.95, 0.95, 0.96, 0.95]
    assert read(accuracy(1.0), accuracy(0.96), events(SETTLED, better, losses)).verdict == "fine"


def test_a_loss_near_chance_is_a_beginning_if_training_videos_are_known() -> None:
    plateau = noisy([CHANCE] * 200)
    assert read(accuracy(0.1), accuracy(0.1), events(plateau, [0.1] * 4)).verdict == "not begun"
    assert read(accuracy(0.4), accuracy(0.4), events(plateau, [0.4] * 4)).verdict == "underfitted"


def test_so_few_steps_that_nothing_shows_are_not_called_settled() -> None:
    reading = read(accuracy(0.5), accuracy(0.5), events([2.3, 1.9, 2.4, 1.6], [0.5]))
    assert "underfitted or ended too early" in reading.sentence


@pytest.mark.parametrize("init", [None, "runs/other"])
def test_every_suggestion_is_a_flag_that_changes_the_training(init: str | None, tmp_path: Path) -> None:
    base = ["--init", init] if init else []
    before = config_of(train_verb.parse([str(tmp_path), *base], "train"))
    settings = Settings(to_dict(before), {"hidden_size": 128, "drop_path": 0.1})
    every = [
        advice.against_overfitting(settings),
        advice.against_underfitting(settings),
        advice.against_ending_early(settings, "finished"),
        advice.against_ending_early(Settings(to_dict(train_config(minutes=5.0)), {}), "time"),
        advice.against_no_beginning(settings, 100, 50),
    ]
    for suggestions in every:
        flags = [flag for flag in suggestions if " with " not in flag]
        assert flags
        for flag in flags:
            assert config_of(train_verb.parse([str(tmp_path), *base, *flag.split()], "train")) != before, flag
