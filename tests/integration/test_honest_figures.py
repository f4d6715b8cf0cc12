"""No figure is measured on videos that the model, or one that it was started from, learned from, unless it says so.

The videos are noise and their labels are random, so whoever learned them by heart would look good on them.
"""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import tubelet
from tubelet.cli.main import main

TINY = [
    *("--num-frames", "4", "--image-size", "16", "--tubelet-size", "2", "8", "8", "--hidden-size", "16"),
    *("--num-layers", "1", "--num-heads", "2", "--mlp-dim", "16", "--temporal-layers", "1", "--workers", "0"),
    *("--epochs", "1", "--batch-size", "8"),
]


def called(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> dict[str, Any]:
    """Run a verb with --json; what it printed."""
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def train(*words: object) -> None:
    assert main(["train", *map(str, words), *TINY, "--no-report"]) == 0


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty videos of noise in two folders of classes."""
    return write_noise(tmp_path_factory.mktemp("data") / "noise", 20, seed=0)


def write_noise(folder: Path, count: int, *, seed: int) -> Path:
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        label = folder / "ab"[number % 2]
        label.mkdir(parents=True, exist_ok=True)
        frames = torch.randint(0, 256, (8, 3, 24, 24), generator=generator, dtype=torch.uint8)
        tubelet.write_video(label / f"{number}.mp4", frames, 8.0)
    return folder


@pytest.fixture(scope="module")
def run(noise: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on four fifths of the noise."""
    out = tmp_path_factory.mktemp("runs") / "mine"
    train(noise, "--out", out)
    return out


def split_of(run: Path) -> dict[str, set[str]]:
    """The names of the files of each split of a run."""
    found: dict[str, set[str]] = {}
    for line in (run / "splits.csv").read_text().splitlines()[1:]:
        path, _, split = line.split(",")[:3]
        found.setdefault(split, set()).add(Path(path).name)
    return found


def evaluated(said: dict[str, Any]) -> set[str]:
    """The names of the files that a figure is of."""
    lines = (Path(said["file"]).parent / "predictions.jsonl").read_text().splitlines()
    return {Path(json.loads(line)["path"]).name for line in lines}


def test_evaluating_on_the_training_data_measures_only_what_was_not_learned_from(
    run: Path, noise: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = called(capsys, "evaluate", run, "--data", noise)
    assert (said["num_videos"], said["left_out"], said["learned_from"], said["chosen_on"]) == (4, 16, 0, 4)
    assert evaluated(said) == split_of(run)["val"]
    assert main(["evaluate", str(run), "--data", str(noise)]) == 0
    printed = capsys.readouterr().out
    assert "left out 16 videos that the model learned from" in printed
    assert "4 of these 4 videos chose the weights" in printed
    assert str(noise) in printed


def test_it_is_the_same_from_python(run: Path, noise: Path) -> None:
    evaluation = tubelet.evaluate(tubelet.load(run), noise)
    assert (evaluation.num_videos, evaluation.left_out) == (4, 16)
    assert "left out 16 videos" in str(evaluation)
    own = tubelet.evaluate(run)
    assert {one.path for one in own.predictions} == {one.path for one in evaluation.predictions}
    asked_for = tubelet.evaluate(run, noise, include_learned=True)
    assert (asked_for.num_videos, asked_for.learned_from) == (20, 16)
    assert "learned from 16 of these 20 videos" in str(asked_for)


def test_training_videos_are_measured_if_they_are_asked_for_and_the_figure_says_so(
    run: Path, noise: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_split = called(capsys, "evaluate", run, "--data", noise, "--split", "train")
    assert (by_split["num_videos"], by_split["learned_from"]) == (16, 16)
    by_flag = called(capsys, "evaluate", run, "--data", noise, "--include-learned")
    assert (by_flag["num_videos"], by_flag["learned_from"], by_flag["left_out"]) == (20, 16, 0)


def test_copies_under_other_names_links_and_a_moved_folder_are_known(
    run: Path, noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved"
    for label in ("a", "b"):
        (moved / label).mkdir(parents=True)
        for number, video in enumerate(sorted((noise / label).iterdir())):
            copy = moved / label / f"copy of {video.name}"
            copy.symlink_to(video) if number % 2 else shutil.copy(video, copy)
    said = called(capsys, "evaluate", run, "--data", moved)
    assert (said["num_videos"], said["left_out"]) == (4, 16)
    by_split = called(capsys, "evaluate", run, "--data", moved, "--split", "val")
    assert evaluated(by_split) == evaluated(said)


def test_parts_of_a_training_video_are_no_new_videos(
    run: Path, noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{path},{path.parent.name},{k / 2},{k / 2 + 0.5}" for path in noise.glob("*/*.mp4") for k in (0, 1)]
    table = tmp_path / "parts.csv"
    table.write_text("\n".join(["path,label,start,end", *rows]) + "\n")
    said = called(capsys, "evaluate", run, "--data", table)
    assert (said["num_videos"], said["left_out"]) == (8, 32)
    assert evaluated(said) == split_of(run)["val"]


def test_shards_of_the_training_videos_are_known(
    run: Path, noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called(capsys, "data", "prepare", noise, tmp_path / "shards")
    said = called(capsys, "evaluate", run, "--data", tmp_path / "shards")
    assert (said["num_videos"], said["left_out"]) == (4, 16)


def test_what_a_run_was_started_from_is_remembered(
    run: Path, noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run on other videos, started from one that learned the test videos, has nothing to be tested on here."""
    other = tmp_path / "other"
    generator = torch.Generator().manual_seed(1)
    for label in ("a", "b"):
        (other / label).mkdir(parents=True)
        for number in range(5):
            frames = torch.randint(0, 256, (8, 3, 24, 24), generator=generator, dtype=torch.uint8)
            tubelet.write_video(other / label / f"new {number}.mp4", frames, 8.0)
    child = tmp_path / "child"
    train(other, "--init", run, "--out", child)
    grandchild = tmp_path / "grandchild"
    tubelet.convert(child, tmp_path / "copy")
    train(other, "--init", tmp_path / "copy", "--out", grandchild)
    for model in (child, grandchild):
        said = called(capsys, "evaluate", model, "--data", noise)
        assert (said["num_videos"], said["left_out"]) == (4, 16)


def test_pretraining_on_the_test_videos_is_remembered(
    noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pretrain", str(noise), "--out", str(tmp_path / "pre"), *TINY]) == 0
    capsys.readouterr()
    train(noise, "--init", tmp_path / "pre", "--recipe", "small-data", "--out", tmp_path / "run")
    assert "4 of 4 val videos were learned from" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "run")]) == 2
    assert "learned from all 4 videos of 'val'" in capsys.readouterr().err
    said = called(capsys, "evaluate", tmp_path / "run", "--include-learned")
    assert (said["num_videos"], said["learned_from"]) == (4, 4)


def test_a_probe_of_another_seed_tests_on_no_video_that_was_learned_from(
    run: Path, noise: Path, tmp_path: Path
) -> None:
    for seed in (0, 7):
        result = tubelet.probe(run, noise, seed=seed, feature_folder=tmp_path, workers=0)
        assert (result.num_train, result.num_test, result.learned_from, result.chosen_on) == (16, 4, 0, 4)
        assert str(noise) in str(result)


def test_a_comparison_leaves_out_what_one_of_the_runs_learned_from(
    run: Path, noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(noise, "--seed", "3", "--out", tmp_path / "other")
    for name, model in (("first", run), ("second", tmp_path / "other")):
        called(capsys, "evaluate", model, "--data", noise, "--include-learned", "--out", tmp_path / name)
    both = split_of(run)["val"] & split_of(tmp_path / "other")["val"]
    words = ["compare", tmp_path / "first", tmp_path / "second", "--out", tmp_path / "page.html"]
    if not both:
        assert main([str(word) for word in words]) == 2
        return
    said = called(capsys, *words)
    assert (said["num_videos"], said["learned_from"]) == (len(both), 20 - len(both))


def test_a_comparison_on_validation_videos_names_the_one_on_other_videos_that_the_runs_have(
    run: Path, noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [shutil.copytree(run, tmp_path / name) for name in ("first", "second")]
    others = write_noise(tmp_path / "others", 6, seed=1)
    words = ["compare", *map(str, runs), "--out", str(tmp_path / "page.html"), "--overwrite"]
    for model in runs:
        called(capsys, "evaluate", model)
        called(capsys, "evaluate", model, "--data", noise)
        called(capsys, "evaluate", model, "--split", "train", "--include-learned")
    assert main(words) == 0
    assert "next" not in capsys.readouterr().out
    for model in runs:
        called(capsys, "evaluate", model, "--data", others)
    capsys.readouterr()
    assert main(words) == 0
    command = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("next"))
    assert main([*shlex.split(command)[2:], "--out", str(tmp_path / "page.html"), "--overwrite"]) == 0
    assert "chose the weights" not in capsys.readouterr().err


def test_a_run_s_own_result_is_never_replaced(run: Path, noise: Path, capsys: pytest.CaptureFixture[str]) -> None:
    called(capsys, "evaluate", run)
    kept = [(run / name, (run / name).read_bytes()) for name in ("evaluation.json", "predictions.jsonl")]
    for words in (("--data", noise), ("--split", "train"), ("--views", "2x1"), ("--data", noise, "--split", "val")):
        said = called(capsys, "evaluate", run, *words)
        assert Path(said["file"]).parents[1] == run / "evaluations"
    assert [(path, path.read_bytes()) for path, _ in kept] == kept


def test_a_model_folder_that_is_no_run_is_not_written_to(
    run: Path, noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tubelet.convert(run, tmp_path / "model")
    before = {path.name for path in (tmp_path / "model").iterdir()}
    said = called(capsys, "evaluate", tmp_path / "model", "--data", noise)
    assert said["file"] is None
    assert said["left_out"] == 16
    assert {path.name for path in (tmp_path / "model").iterdir()} == before


def test_videos_that_were_moved_are_found_where_they_are_now(
    noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(noise, tmp_path / "clips")
    train(tmp_path / "clips", "--out", tmp_path / "run")
    shutil.move(tmp_path / "clips", tmp_path / "elsewhere")
    assert main(["evaluate", str(tmp_path / "run")]) == 2
    assert "known by their content" in capsys.readouterr().err
    said = called(capsys, "evaluate", tmp_path / "run", "--data", tmp_path / "elsewhere", "--split", "val")
    assert evaluated(said) == split_of(tmp_path / "run")["val"]


def test_predictions_of_training_videos_say_so(run: Path, noise: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(run), str(noise), "--json"]) == 0
    captured = capsys.readouterr()
    uses = {Path(row["path"]).name: row["use"] for row in map(json.loads, captured.out.splitlines())}
    splits = split_of(run)
    assert uses == {**dict.fromkeys(splits["train"], "learned"), **dict.fromkeys(splits["val"], "chose")}
    assert "the model learned from 16 of 20 videos" in captured.err
