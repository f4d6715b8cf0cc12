"""A run that has not come to its end is called so before its weights are used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tubelet.cli.arguments import warn_of_unfinished
from tubelet.cli.output import Output


def run_with(folder: Path, *events: dict[str, Any]) -> Path:
    (folder / "run.json").write_text(json.dumps({"steps_per_epoch": 4, "total_steps": 80}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return folder


def said(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    warn_of_unfinished(str(folder), Output())
    return capsys.readouterr().err


def test_a_stopped_run_is_named_with_its_epochs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_with(tmp_path, {"event": "train", "step": 9}, {"event": "interrupted", "step": 9, "epoch": 2})
    assert "not finished: 2 of 20 epochs, interrupted" in said(run, capsys)


def test_a_finished_run_and_a_model_folder_are_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(tmp_path, capsys) == ""
    assert said(run_with(tmp_path, {"event": "end", "step": 80, "epoch": 20, "reason": "finished"}), capsys) == ""


def test_a_damaged_log_is_no_reason_to_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_with(tmp_path)
    (tmp_path / "run.json").write_text("{")
    assert "not known whether" in said(tmp_path, capsys)
