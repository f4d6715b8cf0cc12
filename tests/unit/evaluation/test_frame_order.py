"""The temporal probe: which frames the model sees, and what is concluded from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from tubelet.data import read_table
from tubelet.data.draws import generator_of
from tubelet.evaluation import Evaluation, evaluate, evaluate_frame_orders, frame_order_metrics, reorder
from tubelet.evaluation.predictions import VideoPrediction
from tubelet.model import ViViT
from tubelet.video import Preprocessing, open_video

CLASSES = {"label": ["a", "b"]}


def views(clips: int = 2, crops: int = 3, frames: int = 6) -> torch.Tensor:
    """Every frame is full of its own number: 100 * clip + 10 * crop + place."""
    number = 100 * torch.arange(clips)[:, None, None] + 10 * torch.arange(crops)[:, None] + torch.arange(frames)
    return number.flatten(0, 1)[:, :, None, None, None].float().expand(-1, -1, 3, 2, 2)


def places(video: torch.Tensor) -> list[list[int]]:
    return (video[:, :, 0, 0, 0] % 10).int().tolist()


def test_crops_of_a_clip_are_shuffled_alike_and_clips_differently() -> None:
    changed = reorder(views(), None, 3, "shuffled", generator_of(0, "v.mp4"))
    orders = places(changed)
    assert orders[0] == orders[1] == orders[2]
    assert orders[3] == orders[4] == orders[5]
    assert orders[0] != orders[3]
    assert sorted(orders[0]) == sorted(orders[3]) == list(range(6))
    assert torch.equal(changed[:, 0, 0, 0, 0] // 10, views()[:, 0, 0, 0, 0] // 10)


def test_reversed_and_single_frames() -> None:
    generator = generator_of(0)
    assert places(reorder(views(1, 1), None, 1, "reversed", generator)) == [[5, 4, 3, 2, 1, 0]]
    assert places(reorder(views(1, 1), None, 1, "single_frame", generator)) == [[3] * 6]


def test_frames_that_only_fill_up_a_clip_stay_at_its_end() -> None:
    mask = torch.tensor([[True] * 4 + [False] * 2])
    assert places(reorder(views(1, 1), mask, 1, "reversed", generator_of(0))) == [[3, 2, 1, 0, 4, 5]]
    shuffled = places(reorder(views(1, 1), mask, 1, "shuffled", generator_of(0)))[0]
    assert sorted(shuffled[:4]) == [0, 1, 2, 3]
    assert shuffled[4:] == [4, 5]


def test_each_order_is_predicted_as_if_the_views_had_been_turned_round_by_hand(
    model: ViViT, folder: Path, tmp_path: Path
) -> None:
    """Clips overlap, so that a model that shares work between them has to notice that these frames are others."""
    table = read_table(folder)
    evaluation = evaluate_frame_orders(model, table, views="3x1", out=tmp_path)
    assert evaluation.probe is not None
    assert [one.logits for one in evaluation.predictions] == [
        one.logits for one in evaluate(model, table, views="3x1").predictions
    ]
    backwards = Evaluation.load(tmp_path / "probe-temporal" / "reversed")
    for sample, prediction in zip(table.samples, backwards.predictions, strict=True):
        with open_video(sample.path) as decoder, torch.no_grad():
            video = Preprocessing(model.preprocessing).views(decoder, clips=3).video
            expected = model.eval()(video.flip(1)).mean(dim=0)
        torch.testing.assert_close(torch.tensor(prediction.logits["label"]), expected, rtol=0, atol=1e-5)
    for order, figures in evaluation.probe.heads["label"].orders.items():
        assert figures.top1 == Evaluation.load(tmp_path / "probe-temporal" / order).top1


def test_a_random_order_depends_on_the_video_alone(model: ViViT, folder: Path, tmp_path: Path) -> None:
    table = read_table(folder)

    def shuffled(selection: list[int], name: str, seed: int = 0) -> dict[str, object]:
        evaluate_frame_orders(model, table.select(selection), seed=seed, out=tmp_path / name)
        stored = Evaluation.load(tmp_path / name / "probe-temporal" / "shuffled")
        return {one.path: one.logits for one in stored.predictions}

    whole = shuffled(list(range(9)), "whole")
    assert shuffled([7, 2], "part").items() <= whole.items()
    assert shuffled(list(range(9)), "other", seed=1) != whole


def predictions(hits: list[bool], people: int | None = None) -> list[VideoPrediction]:
    """Video n is of class n % 2; `people` have equally many each, one after the other."""
    rows = []
    for number, hit in enumerate(hits):
        logits = [0.0, 0.0]
        logits[number % 2 if hit else 1 - number % 2] = 1.0
        group = None if people is None else f"person {number * people // len(hits)}"
        rows.append(VideoPrediction(f"{number}.mp4", {"label": number % 2}, {"label": tuple(logits)}, group=group))
    return rows


def probed(
    ordinary: list[bool], shuffled: list[bool], backwards: list[bool], single: list[bool], people: int | None = None
) -> str:
    changed = {"shuffled": shuffled, "reversed": backwards, "single_frame": single}
    probe = frame_order_metrics(
        predictions(ordinary, people),
        {order: predictions(hits, people) for order, hits in changed.items()},
        CLASSES,
        seed=0,
    )
    return probe.heads["label"].verdict


def test_the_verdict_says_that_time_matters_where_shuffling_costs() -> None:
    right, half = [True] * 90 + [False] * 10, [n % 2 == 0 for n in range(100)]
    said = probed(right, half, right, half)
    assert said.startswith("Accuracy 90.0 %, majority class 50.0 % (p = ")
    assert "The order of frames matters to this model: shuffling costs 40.0 points (" in said
    assert "It is not shown that the direction matters: playing backwards changes +0.0 points" in said
    assert "One frame is not enough: accuracy on the middle frame alone is 50.0 %" in said


def test_the_verdict_does_not_say_that_time_matters_where_nothing_shows_it() -> None:
    right = [True] * 90 + [False] * 10
    said = probed(right, right, right, right)
    assert "It is not shown that the order of frames matters" in said
    assert "It is not shown that one frame is not enough" in said


def test_a_model_at_chance_says_nothing_about_time() -> None:
    half = [n % 4 < 2 for n in range(100)]
    assert "says nothing about time" in probed(half, half, half, half)


def test_a_perfect_model_on_two_people_beats_the_majority_class_and_the_few_people_are_named() -> None:
    """p is 0.0005 for these 24 videos, so no sentence may say that they show nothing."""
    right, half = [True] * 24, [n % 2 == 0 for n in range(24)]
    said = probed(right, half, half, half, people=2)
    assert "says nothing about time" not in said
    assert "Accuracy 100.0 %, majority class 50.0 % (p = 0.00049)" in said
    assert "shuffling costs 50.0 points (p = 0.00049)" in said
    assert said.endswith("It is of 2 groups: too few to say whether it holds for other groups.")


def test_nothing_is_shown_by_five_videos_however_narrow_the_interval() -> None:
    """Five of five that only one gets right are p = 0.06."""
    right, worse = [True] * 40, [False] * 5 + [True] * 35
    said = probed(right, worse, right, right)
    assert "It is not shown that the order of frames matters: shuffling changes -12.5 points" in said
    assert "p = 0.062" in said


def test_where_people_differ_the_interval_over_people_has_the_last_word() -> None:
    """20 videos of one person of ten are lost: very unlikely for single videos, and nothing about other people."""
    right = [True] * 200
    worse = [False] * 20 + [True] * 180
    said = probed(right, worse, right, right, people=10)
    assert "It is not shown that the order of frames matters" in said
    assert "but the interval reaches 0" in said


def test_what_becomes_of_a_class_that_is_played_backwards_is_named() -> None:
    right = [True] * 40
    turned = [n % 2 == 1 for n in range(40)]
    changed = {order: predictions(right) for order in ("shuffled", "single_frame")} | {"reversed": predictions(turned)}
    head = frame_order_metrics(predictions(right), changed, CLASSES, seed=0).heads["label"]
    assert [dataclasses.astuple(one) for one in head.turned] == [("a", "b", 20)]
    assert [(one.name, one.ordinary, one.reversed) for one in head.per_class] == [("a", 1.0, 0.0), ("b", 1.0, 1.0)]
