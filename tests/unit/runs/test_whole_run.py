"""`tubelet.train` leaves from Python what the command line leaves."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

import tubelet
from tubelet.config import MonitoringConfig, TrainConfig
from tubelet.evaluation import Evaluation
from tubelet.runs import RunResult, finish_run
from tubelet.training import SilentReporter

SILENT = SilentReporter()
AT_THE_END = ("evaluation.json", "predictions.jsonl", "report.html", "sample_clips.safetensors", "learning.json")


def test_a_training_leaves_its_evaluation_predictions_clips_and_a_page(trained: RunResult) -> None:
    run = trained.folder
    assert trained.final is not None
    assert Evaluation.load(run).predictions == trained.final.predictions
    assert trained.final.split == "val"
    assert len((run / "predictions.jsonl").read_text().splitlines()) == 6
    assert "Learning curves" in (run / "report.html").read_text(encoding="utf-8")
    assert trained.report == run / "report.html"
    assert trained.sample_clips is not None
    assert trained.sample_clips.samefile(run / "sample_clips.safetensors")


def test_a_complete_run_is_not_evaluated_again_and_keeps_its_clips(trained: RunResult) -> None:
    before = {file: file.stat().st_mtime_ns for file in map(trained.folder.joinpath, AT_THE_END)}
    again = tubelet.train(out=trained.folder, resume=True, reporter=SILENT)
    assert again.final is None
    assert "nothing evaluated again" in again.notes[0]
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_what_was_lacking_at_the_end_is_made_up_for_when_the_run_is_resumed(trained: RunResult) -> None:
    """As after a Ctrl-C during the evaluation."""
    for name in AT_THE_END:
        (trained.folder / name).unlink()
    again = tubelet.train(out=trained.folder, resume=True, reporter=SILENT)
    assert again.steps_taken == 0
    assert again.final is not None
    assert all((trained.folder / name).is_file() for name in AT_THE_END)


def test_evaluation_page_and_clips_can_be_left_out(clips: Path, config: TrainConfig, tmp_path: Path) -> None:
    without = dataclasses.replace(config, monitoring=MonitoringConfig(sample_clips=False))
    result = tubelet.train(clips, tmp_path / "run", config=without, report=False, reporter=SILENT)
    assert (result.final, result.report, result.sample_clips, result.learning) == (None, None, None, None)
    names = {entry.name for entry in result.folder.iterdir()}
    assert not names & set(AT_THE_END)


def test_without_validation_videos_clips_are_of_the_training(clips: Path, config: TrainConfig, tmp_path: Path) -> None:
    result = tubelet.train(clips / "train", tmp_path / "run", config=config, fractions={"train": 1.0}, reporter=SILENT)
    assert result.final is None
    assert result.report is not None
    assert tubelet.runs.SampleClips.read(result.folder).made["split"] == "train"


def test_what_a_resumed_run_may_change_counts_at_its_end(trained: RunResult, tmp_path: Path) -> None:
    """run.json keeps the settings that the run began with."""
    run = tmp_path / "run"
    shutil.copytree(trained.folder, run)
    (run / "evaluation.json").unlink()
    again = tubelet.train(out=run, resume=True, sample_clips=False, reporter=SILENT)
    assert again.final is not None
    assert again.sample_clips is None
    assert not (run / "sample_clips.safetensors").exists()


@pytest.mark.parametrize("views", ["2x1"])
def test_a_run_is_finished_anew_with_other_views_and_the_result_before_is_kept(trained: RunResult, views: str) -> None:
    end = finish_run(trained.folder, views=views, title="Two views")
    assert end.evaluation is not None
    assert end.evaluation.views == "2x1"
    assert Evaluation.load(trained.folder).views == "2x1"
    assert Evaluation.load(trained.folder / "evaluations" / "val-1x1").views == "1x1"
    assert "Two views" in (trained.folder / "report.html").read_text(encoding="utf-8")
