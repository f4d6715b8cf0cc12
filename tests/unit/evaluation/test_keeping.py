"""Evaluations of a run are kept beside one another: none replaces another."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from tubelet.errors import ConfigError
from tubelet.evaluation import Evaluation, VideoPrediction
from tubelet.evaluation.keeping import keep, keep_in, staging


def evaluation(
    split: str | None, *, right: int = 3, data: str = "/clips", views: str = "1x1", **uses: Any
) -> Evaluation:
    rows = [
        VideoPrediction(f"/clips/{split}/{n}.mp4", {"label": 0}, {"label": (1.0, 0.0) if n < right else (0.0, 1.0)})
        for n in range(4)
    ]
    made = Evaluation.of(rows, {"label": ["a", "b"]}, views=views, resamples=0)
    return made.measured_on([uses.get("use")] * 4, data=data, split=split)


def kept(run: Path, made: Evaluation, *, own: bool) -> Path:
    with staging(run) as staged:
        made.save(staged)
        return keep(staged, run, own=own)


def test_the_first_result_of_its_own_videos_is_that_of_the_run(tmp_path: Path) -> None:
    assert kept(tmp_path, evaluation("val"), own=True) == tmp_path
    assert Evaluation.load(tmp_path).split == "val"
    assert {path.name for path in tmp_path.iterdir()} == {"evaluation.json", "predictions.jsonl"}


def test_other_data_other_views_and_training_videos_go_beside_it(tmp_path: Path) -> None:
    kept(tmp_path, evaluation("val"), own=True)
    before = (tmp_path / "evaluation.json").read_bytes()
    other = kept(tmp_path, evaluation(None, data="/other/my clips.csv"), own=False)
    views = kept(tmp_path, evaluation("val", views="4x3"), own=True)
    train = kept(tmp_path, evaluation("train", use="learned"), own=True)
    assert (tmp_path / "evaluation.json").read_bytes() == before
    assert [path.relative_to(tmp_path).as_posix() for path in (other, views, train)] == [
        "evaluations/my-clips-all-1x1",
        "evaluations/val-4x3",
        "evaluations/train-1x1",
    ]


def test_a_test_result_takes_the_place_of_validation_which_is_kept(tmp_path: Path) -> None:
    kept(tmp_path, evaluation("val"), own=True)
    kept(tmp_path, evaluation("test"), own=True)
    assert Evaluation.load(tmp_path).split == "test"
    assert Evaluation.load(tmp_path / "evaluations" / "val-1x1").split == "val"
    kept(tmp_path, evaluation("val", right=1), own=True)
    assert Evaluation.load(tmp_path).split == "test"
    assert Evaluation.load(tmp_path / "evaluations" / "val-1x1").top1 == 0.75
    assert Evaluation.load(tmp_path / "evaluations" / "val-1x1-2").top1 == 0.25


def test_the_same_figures_again_need_no_second_place(tmp_path: Path) -> None:
    for _ in range(3):
        kept(tmp_path, evaluation(None, data="/other"), own=False)
    assert [path.name for path in (tmp_path / "evaluations").iterdir()] == ["other-all-1x1"]


def test_the_same_figures_again_keep_a_temperature_that_was_fitted(tmp_path: Path) -> None:
    test, val = evaluation("test"), evaluation("val", right=3)
    kept(tmp_path, test.calibrated(val), own=True)
    kept(tmp_path, test, own=True)
    assert Evaluation.load(tmp_path).calibration["label"].fitted_on == 4


def test_a_folder_of_the_user_s_is_replaced_only_if_that_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for overwrite in (False, True):
        with staging(tmp_path) as staged:
            evaluation("test", right=3 if not overwrite else 1).save(staged)
            keep_in(staged, out, overwrite=overwrite)
    assert Evaluation.load(out).top1 == 0.25
    with staging(tmp_path) as staged:
        evaluation("test").save(staged)
        with pytest.raises(ConfigError, match="--overwrite"):
            keep_in(staged, out, overwrite=False)
    assert json.loads((out / "evaluation.json").read_text())["top1"] == 0.25
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_evaluation_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    with contextlib.suppress(KeyboardInterrupt), staging(tmp_path / "out") as staged:
        evaluation("test").save(staged)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
