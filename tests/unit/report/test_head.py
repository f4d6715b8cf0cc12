"""The head of a page: nobody may take validation for a test, learned videos for new ones, stopped for finished."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tubelet.evaluation import Evaluation, VideoPrediction
from tubelet.report import write_report
from unit.report.html_page import Page


def change(path: Path, **fields: Any) -> None:
    data = json.loads(path.read_text())
    data.update(fields)
    path.write_text(json.dumps(data))


def head_of(run: Path) -> str:
    """What stands above the first section but for other evaluations."""
    text = Page(write_report(run)).text
    return text[: text.index("Learning curves")]


@pytest.fixture
def stopped(run_folder: Path) -> Path:
    """26 of 572 epochs."""
    run = json.loads((run_folder / "run.json").read_text())
    run["config"]["optimisation"]["epochs"] = 572
    run["config"]["recipe"] = "small-data"
    run["config"]["data"]["source"] = "clips/"
    (run_folder / "run.json").write_text(json.dumps(run))
    events = [{"event": "train", "step": step, "epoch": (step - 1) // 4 + 1, "loss": 1.0} for step in range(1, 27 * 4)]
    events.insert(40, {"event": "validation", "step": 40, "epoch": 10, "loss": 1.0, "top1": 0.5, "best": True})
    events.append({"event": "interrupted", "step": 26 * 4, "epoch": 26})
    (run_folder / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return run_folder


def test_a_stopped_training_is_called_stopped(stopped: Path) -> None:
    text = head_of(stopped)
    assert "This training is not finished: it was stopped after 26 of 572 epochs." in text
    assert "of epoch 10, the best in validation" in text
    with (stopped / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"event": "end", "step": 572 * 4, "epoch": 572, "seconds": 4210.0}) + "\n")
    text = head_of(stopped)
    assert "not finished" not in text
    assert "finished, 572 of 572 epochs" in text
    assert "70 min" in text


def test_a_training_that_ended_without_a_word_may_still_run(stopped: Path) -> None:
    lines = (stopped / "metrics.jsonl").read_text().splitlines(keepends=True)
    (stopped / "metrics.jsonl").write_text("".join(lines[:-1]))
    assert "it still runs, or was ended from outside, after 26 of 572 epochs." in head_of(stopped)


@pytest.mark.parametrize("reason", ["early stopping", "time"])
def test_a_training_that_ended_early_on_purpose_is_finished_and_says_why(stopped: Path, reason: str) -> None:
    with (stopped / "metrics.jsonl").open("a") as file:
        end = {"event": "end", "step": 26 * 4, "epoch": 26, "seconds": 10.0, "reason": reason}
        file.write(json.dumps(end) + "\n")
    text = head_of(stopped)
    assert "not finished" not in text
    assert f"ended early by {reason}, after 26 of 572 epochs" in text


def test_videos_that_chose_the_weights_are_no_test(stopped: Path) -> None:
    evaluation = stopped / "evaluation.json"
    change(evaluation, split="test")
    text = head_of(stopped)
    assert "The figures are of 6 videos of the test split." in text
    assert "top-1, test" in text
    assert "chose the weights" not in text
    change(evaluation, split="val")
    text = head_of(stopped)
    assert "These videos chose the weights, so the figures are likely too good: this is not a test." in text
    assert "top-1, validation" in text
    assert "top-1, test" not in text


def test_a_run_that_was_not_evaluated_says_so_and_how_it_can_be(stopped: Path) -> None:
    assert "Not evaluated yet" not in head_of(stopped)
    (stopped / "evaluation.json").unlink()
    assert "Not evaluated yet: tubelet evaluate measures" in head_of(stopped)


def test_videos_that_were_learned_from_are_counted_first(stopped: Path) -> None:
    evaluation = stopped / "evaluation.json"
    change(evaluation, learned_from=4, left_out=52, data="clips/", date="2026-11-29T21:14:00+00:00")
    text = head_of(stopped)
    warning = text.index("learned from 4 of these 6 videos")
    assert warning < text.index("66.7%")
    assert "52 more videos were left out of the figures" in text
    assert "all 6 videos of clips/ on 2026-11-29 21:14" in text
    change(evaluation, learned_from=0, provenance_unknown="the model came without its run")
    text = head_of(stopped)
    assert "It is not known whether the model had learned from these videos: the model came without its run." in text


def test_an_older_evaluation_is_held_against_the_splits_of_its_run(run_folder: Path) -> None:
    assert "learned from 0 of these 6 videos" in head_of(run_folder)
    splits = run_folder / "splits.csv"
    splits.write_text(splits.read_text().replace(",test", ",train", 2))
    assert "learned from 2 of these 6 videos" in head_of(run_folder)


@pytest.fixture
def other(stopped: Path) -> Path:
    """Another evaluation of the run: new data, all videos."""
    rows = [VideoPrediction(f"n{n}.mp4", {"label": n % 3}, {"label": (2.0, 0.0, 0.0)}) for n in range(31)]
    folder = stopped / "evaluations" / "new_camera"
    names = json.loads((stopped / "config.json").read_text())["labels"]
    path = Evaluation.of(rows, names, split="test").save(folder)
    change(path, data="/data/camera-2", learned_from=7)
    return folder


def test_other_evaluations_are_in_a_table_and_not_in_the_headline(stopped: Path, other: Path) -> None:
    page = Page(write_report(stopped))
    assert page.headings[0] == "Other evaluations"
    row = page.text[page.text.index("new_camera") :]
    for words in ("/data/camera-2", "test", "31", "35.5%", "95% bootstrap over 31 videos", "7"):
        assert words in row[:300]
    assert "35.5%" not in page.text[: page.text.index("Other evaluations")]


def test_another_evaluation_has_a_page_of_its_own_that_knows_its_run(stopped: Path, other: Path) -> None:
    page = Page(write_report(other))
    assert "run: new_camera" in page.text
    assert "learned from 7 of these 31 videos" in page.text
    assert "stopped after 26 of 572 epochs" in page.text
    assert "Learning curves" not in page.headings, "they are the run's"
    moved = shutil.copytree(other, stopped.parent / "alone")
    page = Page(write_report(moved))
    assert "learned from 7 of these 31 videos" in page.text
    assert "epochs" not in page.text


def test_one_video_is_not_a_recall(run_folder: Path) -> None:
    text = Page(write_report(run_folder)).text
    assert "recognised" not in text
    assert "This is the model’s probability for one video, not how often it is right" in text
    assert "this video: correct, p > 0.99" in text or "this video: correct, p = 0." in text


def test_the_first_classes_are_said_to_be_the_first(run_folder: Path) -> None:
    rows = "".join(f"v{n}.mp4,class {n:02},test\n" for n in range(27))
    (run_folder / "predictions.jsonl").unlink()
    (run_folder / "splits.csv").write_text("path,label,split\n" + rows)
    assert "The first 12 of 27 classes" in Page(write_report(run_folder)).text


def test_training_videos_that_cannot_be_read_are_not_said_to_count_as_wrong(run_folder: Path) -> None:
    (run_folder / "failures.jsonl").write_text(json.dumps({"path": "t.mp4", "reason": "is cut off"}) + "\n")
    text = Page(write_report(run_folder)).text
    trained = text.index("They were left out of the training.")
    evaluated = text.index("In the evaluation; they count as wrong.")
    assert evaluated < text.index("broken.mp4") < trained < text.index("t.mp4", trained)


def test_few_groups_have_words_in_place_of_an_interval(run_folder: Path) -> None:
    lines = [json.loads(line) for line in (run_folder / "predictions.jsonl").read_text().splitlines()]
    rows = [
        VideoPrediction(one["path"], one["labels"], {"label": tuple(one["logits"]["label"])}, group=f"s{number % 2}")
        for number, one in enumerate(lines)
    ]
    names = json.loads((run_folder / "config.json").read_text())["labels"]
    Evaluation.of(rows, names, split="test").save(run_folder)
    text = head_of(run_folder)
    assert "2 groups: too few for an interval" in text
    assert " to 1" not in text


def test_a_clip_can_be_seen_before_it_plays(run_folder: Path) -> None:
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert html.count('poster="data:image/jpeg') == html.count("<video ") > 0
