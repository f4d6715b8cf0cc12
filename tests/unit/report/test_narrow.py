"""That nothing runs out of a page on a phone and its plots can be read there, measured by chromium if it is found."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tubelet.config import TrainConfig
from tubelet.data import Sample, Table
from tubelet.evaluation import Evaluation, VideoPrediction, compare, frame_order_metrics
from tubelet.report import write_comparison, write_report
from tubelet.studies.folder import Outcome, StudyFolder
from tubelet.studies.outcomes import rows_of
from tubelet.studies.page import Written, write_pages
from tubelet.studies.results import judge, summarise
from tubelet.studies.study import Cell, Hypothesis, Plan, Study
from unit.report.chromium import PHONE, measured, needs_chromium, said_by

NAMES = [f"two_hand_front_clap_and_{number}_more/things-to-do" for number in range(27)]


def predictions(turn: int, path: str = "/data/a/long/path/to/the/videos/of/everybody") -> list[VideoPrediction]:
    rows = []
    for number in range(108):
        logits = [0.0] * 27
        logits[(number + (number % 3 == turn)) % 27] = 3.0 + number / 50
        rows.append(VideoPrediction(f"{path}/{number}.mp4", {"label": number % 27}, {"label": tuple(logits)}))
    return rows


def fill(run: Path, turn: int) -> Path:
    """27 classes with long names, a probe, and a calibration, into the run of the fixture."""
    classes = {"label": NAMES}
    evaluation = Evaluation.of(predictions(turn), classes, split="test")
    changed = {order: predictions(2 - turn) for order in ("shuffled", "reversed", "single_frame")}
    evaluation = dataclasses.replace(evaluation, probe=frame_order_metrics(predictions(turn), changed, classes, seed=0))
    fitted = Evaluation.of(predictions(turn, "val"), classes, split="val", resamples=0)
    evaluation.calibrated(fitted).save(run)
    Evaluation.of(predictions(turn), classes).save(run / "evaluations" / "another_camera_in_another_room")
    splits = "".join(f"{n}.mp4,{name},{split}\n" for n, name in enumerate(NAMES) for split in ("train", "val", "test"))
    (run / "splits.csv").write_text("path,label,split\n" + splits)
    events = (run / "metrics.jsonl").read_text().splitlines()
    lines = [
        {**json.loads(line), "gradient_norm": 2.0**-n, "update_ratio": 1e-6 * 1.4**n} for n, line in enumerate(events)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def fits(page: Path) -> None:
    widths = (PHONE, 1280)
    for width, (wide, window, smallest) in zip(widths, measured(page, *widths), strict=True):
        assert window == width
        assert wide <= width, f"{page.name} is {wide} pixels wide in a window of {width}"
        assert smallest >= 11, f"type of {smallest:.1f} pixels in a plot of {page.name}, in a window of {width}"


@needs_chromium
def test_a_run_fits_on_a_phone(run_folder: Path) -> None:
    fits(write_report(fill(run_folder, 0)))


SORTED = """
  const box = document.querySelector("input[data-order]"), table = document.querySelector("table.confusion");
  const heads = () => [...table.tHead.rows[0].cells].slice(1).map(cell => cell.title);
  const sides = () => [...table.tBodies[0].rows].map(row => row.cells[0].title);
  const isHit = (row, place) => row.cells[place + 1].classList.contains("hit");
  const diagonal = () => [...table.tBodies[0].rows].every(isHit);
  const before = heads();
  box.click();
  const same = heads().every((name, place) => name === sides()[place]), moved = heads().join() !== before.join();
  const straight = diagonal();
  box.click();
  return [same, moved, straight, heads().join() === before.join(), diagonal()].join(" ");
"""


@needs_chromium
def test_a_confusion_matrix_is_sorted_by_confusion_and_back(run_folder: Path) -> None:
    assert said_by(write_report(fill(run_folder, 0)), SORTED, 1280) == ["true true true true true"]


@needs_chromium
def test_a_comparison_fits_on_a_phone(run_folder: Path, tmp_path: Path) -> None:
    runs = {"runs/gestures_with_a_long_name": run_folder, "runs/no_log": run_folder.with_name("no_log")}
    fill(run_folder, 0)
    Evaluation.of(predictions(1), {"label": NAMES}, split="test").save(runs["runs/no_log"])
    found = compare({name: Evaluation.load(folder) for name, folder in runs.items()}).to_dict()
    found["multiply_adds"] = dict.fromkeys(runs, 2e9) | {"runs/no_log": 5e10}
    fits(write_comparison(runs, found, out=tmp_path / "page.html"))


@needs_chromium
@pytest.mark.parametrize("costs", [[10, 10, 10], [10, 300, 9000]])
def test_a_study_fits_on_a_phone(tmp_path: Path, costs: list[int]) -> None:
    config = TrainConfig(preset="vivit_tiny_16x2_fe")
    cells = [Cell(name=f"c{n}", label=f"{n} frames of a long video", config=config) for n in range(3)]
    right = [1.0] * 60 + [0.0] * 40
    outcomes = {
        cell.name: {
            0: Outcome("done", top1={"1x1": 0.6}, right={"1x1": right}, train_top1=0.9, multiply_adds=cost * 10**6)
        }
        for cell, cost in zip(cells, costs, strict=True)
    }
    rows = rows_of(cells, outcomes)
    by_key = {row.key: row for row in rows}
    verdicts = [judge(Hypothesis("More frames are better than fewer", rows[1].key, rows[0].key, "2 to 1"), by_key)]
    samples = [Sample(f"{n}.mp4", {"label": 0}, split="test" if n % 2 else "train") for n in range(200)]
    study = Study("frames", "How many frames a model should see", "Do more help?", "They do.", lambda _: Plan((), ()))
    written = Written(
        study, Plan(tuple(cells), ()), config, Table(tuple(samples), {"label": ["a"]}, ""), (0,), "tubelet study"
    )
    folder = StudyFolder(tmp_path / "study")
    folder.path.mkdir()
    write_pages(folder, written, rows, verdicts, summarise(rows, verdicts))
    fits(folder.page)
