"""The files of a run, as a page reads them: a damaged one is named, and the others are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tubelet.report.run_files import read_run


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("predictions.jsonl", '{"path": "x", "logits": true}\n', "line 1: logits: expected a table, got True"),
        ("predictions.jsonl", '{"path": "x"}\n3\n', "line 2: expected a JSON object, got int"),
        ("predictions.jsonl", '{"labels": {}}\n', "line 1: path: expected str, got None"),
        ("evaluation.json", '{"metrics": {"label": {"confusion": [true]}}}', "confusion: expected a list, got True"),
        (
            "evaluation.json",
            '{"metrics": {"label": {"per_class": [{"name": "run", "support": 3, "recall": [1.0]}]}}}',
            "a class of label: recall",
        ),
        (
            "evaluation.json",
            '{"multi_label": {"label": {"per_class": [{"name": "run", "average_precision": "high"}]}}}',
            "a class of label: average_precision",
        ),
        ("evaluation.json", "[" * 100_000, "nested too deeply"),
        ("metrics.jsonl", '{"event": "train"}\n{"ev\n', "metrics.jsonl line 2: not JSON"),
        ("run.json", '{"total_steps": ' + "9" * 10_000 + "}", "run.json: not JSON"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / "config.json").write_text('{"labels": {"label": ["run", "walk"]}}')
    (tmp_path / name).write_text(text)
    files = read_run(tmp_path)
    assert files.config
    (problem,) = files.problems
    assert message in problem
