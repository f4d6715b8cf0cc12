"""What decided in a run's mistakes: beside each of them on the run's page, and of that very prediction."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import tubelet
from tubelet.cli.main import main
from tubelet.errors import DataError
from tubelet.json_files import read_json_lines
from tubelet.report import write_report
from tubelet.report.run_files import EXPLANATIONS_FILE
from tubelet.runs import explain_mistakes


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """With an evaluation of all videos, one class of which is always called another."""
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    for file in ("evaluation.json", "predictions.jsonl"):
        (run / file).unlink()
    tubelet.evaluate(run, include_learned=True, split="train").save(run)
    return run


def mistakes_of(run: Path) -> dict[str, tuple[dict, float]]:
    """By path: each wrong prediction, and its logit over that of the true class."""
    found = {}
    for _, row in read_json_lines(run / "predictions.jsonl"):
        logits, truth = row["logits"]["label"], row["labels"]["label"]
        if max(logits) != logits[truth]:
            found[row["path"]] = row, max(logits) - logits[truth]
    return found


def test_each_mistake_on_the_page_has_the_picture_of_what_decided(run: Path) -> None:
    wrong = mistakes_of(run)
    assert 1 <= len(wrong) <= 8
    assert "--mistakes" in write_report(run).read_text()
    found = explain_mistakes(run, method="balanced")
    assert found.count == len(wrong)
    assert not found.missing
    rows = [row for _, row in read_json_lines(run / EXPLANATIONS_FILE)]
    page = found.report.read_text()
    assert "--mistakes" not in page
    assert page.count('class="explained"') == len(rows) == len(wrong)
    for row in rows:
        assert row["difference"] == pytest.approx(wrong[row["path"]][1], abs=1e-4)
        assert row["picture"] in page
        with Image.open(io.BytesIO(base64.b64decode(row["picture"].partition(",")[2]))) as picture:
            assert picture.format == "JPEG"
            assert picture.width > picture.height


def test_the_picture_of_an_earlier_evaluation_is_not_shown(run: Path) -> None:
    explain_mistakes(run, method="balanced")
    rows = [row for _, row in read_json_lines(run / "predictions.jsonl")]
    for row in rows:
        row["logits"]["label"] = [2 * value for value in row["logits"]["label"]]
    (run / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert 'class="explained"' not in write_report(run).read_text()


def test_the_verb_explains_mistakes_and_names_videos_that_are_gone(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for _, row in read_json_lines(run / "predictions.jsonl")]
    gone = next(iter(mistakes_of(run)))
    for row in rows:
        if row["path"] == gone:
            row["path"] = str(run / "gone.mp4")
    (run / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["explain", str(run), "--mistakes", "--method", "rollout"]) == 1
    printed = capsys.readouterr()
    assert "gone.mp4" in printed.err
    assert "explained, by rollout" in printed.out
    assert str(run / "report.html") in printed.out
    assert main(["explain", str(run), gone, "--mistakes"]) == 2
    assert "tubelet explain RUN --mistakes" in capsys.readouterr().err


def test_a_run_without_predictions_says_how_to_make_them(run: Path) -> None:
    (run / "predictions.jsonl").unlink()
    with pytest.raises(DataError, match="tubelet evaluate"):
        explain_mistakes(run)
