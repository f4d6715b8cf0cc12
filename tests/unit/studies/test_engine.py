"""A study from its first run to its page: stopped, gone on with, changed, with a cell that fails, in processes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tubelet
from tubelet.config import MonitoringConfig, TrainConfig
from tubelet.errors import ConfigError
from tubelet.studies import StudyResult, run_study
from tubelet.studies import cell as cell_module
from tubelet.studies.catalogue import STUDIES
from tubelet.studies.study import Cell, Hypothesis, Plan, Setting, Study
from tubelet.training import SilentReporter, TrainingInterrupted


def two_cells(setting: Setting) -> Plan:
    """A cell of the base, and one with another MLP, or with something that cannot be built."""
    wide = replace(setting.base, model={**setting.base.model, "mlp_dim": 32})
    cells = (
        Cell(name="narrow", label="narrow", config=setting.base, paper={"K400": 70.0}),
        Cell(name="wide", label="wide", config=wide, views=("1x1", "2x1"), paper={"K400": 71.0}),
    )
    hypotheses = (Hypothesis("Wide is better", "wide 1x1", "narrow", "71 against 70 % on Kinetics-400"),)
    return Plan(cells, hypotheses, notes=("A note for the reader.",))


WIDTHS = Study("widths", "Widths", "Is wide better?", "The paper says nothing.", two_cells, ("leave_one_out",))


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STUDIES, "widths", WIDTHS)


def start(out: Path, clips: Path, config: TrainConfig, **options: Any) -> StudyResult:
    return run_study("widths", out, data=clips, config=config, seeds=(0, 1), reporter=SilentReporter(), **options)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, clips: Path, tiny: TrainConfig) -> StudyResult:
    """A study that came to its end undisturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STUDIES, "widths", WIDTHS)
        return start(tmp_path_factory.mktemp("done") / "s", clips, tiny, command="tubelet study widths")


def test_a_study_leaves_runs_that_can_be_opened_and_a_page(done: StudyResult) -> None:
    result, folder = done, done.folder
    assert [row.key for row in result.rows] == ["narrow", "wide 1x1", "wide 2x1"]
    assert result.rows[2].multiply_adds == 2 * result.rows[1].multiply_adds
    run = folder / "cells" / "wide" / "seed-1"
    assert tubelet.load(run).config.mlp_dim == 32
    stored = json.loads((run / "evaluation.json").read_text())
    assert stored["top1"] == result.rows[1].by_seed[1]
    assert json.loads((run / "run.json").read_text())["config"]["seed"] == 1
    page = result.page.read_text()
    for text in (
        "Is wide better?",
        "Wide is better",
        "71 against 70",
        "A note for the reader.",
        "tubelet study widths",
    ):
        assert text in page
    assert (run / "report.html").is_file()
    assert 'href="cells/wide/seed-1/report.html"' in page
    assert not re.search(r"(src|href)=\"(https?:)?//", page)  # works without a network
    assert "| narrow |" in (folder / "results.md").read_text()
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_published_page_stands_alone_and_takes_no_one_else_s_place(
    done: StudyResult, tmp_path: Path, clips: Path, tiny: TrainConfig
) -> None:
    public = tmp_path / "docs"
    for _ in range(2):  # the second time it is renewed
        start(done.folder, clips, tiny, command="tubelet study widths", publish=public)
    assert {path.name for path in public.iterdir()} == {"report.html", "results.md", "results.json", "plot.png"}
    page = (public / "report.html").read_text()
    assert "Wide is better" in page
    assert "<a href" not in page
    assert str(clips) not in page
    assert "<a href" in (done.folder / "report.html").read_text()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "results.md").write_text("mine")
    with pytest.raises(ConfigError, match="another folder to publish in"):
        start(done.folder, clips, tiny, publish=tmp_path / "mine")
    assert (tmp_path / "mine" / "results.md").read_text() == "mine"
    (tmp_path / "mine" / "results.json").write_text("[1, 2]")  # JSON, but no study's
    with pytest.raises(ConfigError, match="another folder to publish in"):
        start(done.folder, clips, tiny, publish=tmp_path / "mine")


def test_what_is_done_is_not_done_again_and_what_changed_is_an_error(
    done: StudyResult, clips: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cell_module, "train", None)  # would fail if it were called
        again = start(done.folder, clips, tiny)
    assert again.rows == done.rows
    elsewhere = replace(tiny, monitoring=MonitoringConfig(log=("tensorboard",)))
    assert start(done.folder, clips, elsewhere).rows == done.rows
    shorter = replace(tiny, optimisation=replace(tiny.optimisation, minutes=1.0))
    with pytest.raises(ConfigError, match=r"optimisation\.minutes was None and is 1\.0 now"):
        start(done.folder, clips, shorter)
    with pytest.raises(ConfigError, match=r"optimisation\.learning_rate was 0\.001 and is 0\.01 now"):
        start(done.folder, clips, tiny, learning_rate=0.01)
    with pytest.raises(ConfigError, match="other videos, labels or splits"):
        start(done.folder, clips, tiny, train_split="test", test_split="train")
    with pytest.raises(ConfigError, match="holds the study 'widths'"):
        run_study("regularisers", done.folder, reporter=SilentReporter())


def test_a_stopped_study_goes_on_to_the_same_end(
    done: StudyResult, tmp_path: Path, clips: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = cell_module.train
    calls = []

    def stopped_after_two(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise TrainingInterrupted("stopped", 15)
        return trained(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(cell_module, "train", stopped_after_two)
        with pytest.raises(TrainingInterrupted, match="the same command goes on"):
            start(tmp_path / "b", clips, tiny)
    assert "1 done, 1 not ended" in (tmp_path / "b" / "results.md").read_text()
    resumed = start(tmp_path / "b", clips, tiny)
    assert [row.by_seed for row in resumed.rows] == [row.by_seed for row in done.rows]
    assert [row.right for row in resumed.rows] == [row.right for row in done.rows]


def test_a_cell_that_fails_is_in_the_table_and_does_not_stop_the_rest_in_processes(
    tmp_path: Path, clips: Path, tiny: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = replace(tiny, model={**tiny.model, "num_heads": 3})  # 16 is not a multiple of 3

    def one_broken(setting: Setting) -> Plan:
        plan = two_cells(setting)
        return replace(plan, cells=(replace(plan.cells[0], config=broken), plan.cells[1]))

    monkeypatch.setitem(STUDIES, "widths", replace(WIDTHS, plan=one_broken))
    result = start(tmp_path / "s", clips, tiny, jobs=2)
    assert result.num_failures == 2
    assert "hidden_size=16 is not a multiple of num_heads=3" in result.rows[0].failures[0]
    assert result.rows[0].top1 is None
    assert set(result.rows[1].by_seed) == {0, 1}
    page = result.page.read_text()
    assert "Runs that failed" in page
    assert "not a multiple of num_heads=3" in page
    assert "2 runs failed" in page


def test_options_that_mean_nothing_here_and_folders_of_others_are_refused(tmp_path: Path, tiny: TrainConfig) -> None:
    from tubelet.studies import StudyOptions

    with pytest.raises(ConfigError, match="frames means nothing in the study 'widths'"):
        run_study("widths", tmp_path / "s", options=StudyOptions(frames=(4,)))
    with pytest.raises(ConfigError, match="did you mean 'regularisers'"):
        run_study("regularizers", tmp_path / "s")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not a study"):
        run_study("widths", tmp_path / "mine", config=tiny)


def test_cells_start_from_the_image_model_that_the_study_pretrains(
    tmp_path: Path, clips: Path, tiny: TrainConfig
) -> None:
    result = run_study(
        "temporal-init", tmp_path / "s", data=clips, config=tiny, seeds=(0,), reporter=SilentReporter(), jobs=1
    )
    assert result.num_failures == 0, [row.failures for row in result.rows]
    cells = tmp_path / "s" / "cells"
    assert (cells / "image-model" / "seed-0" / "image_vit.npz").is_file()
    notes = json.loads((cells / "zero-output" / "seed-0" / "run.json").read_text())["notes"]
    assert any("image model" in note for note in notes)
    zero = tubelet.load(cells / "zero" / "seed-0").state_dict()
    moved = tubelet.load(cells / "zero-output" / "seed-0").state_dict()
    name = "encoder.blocks.0.time.qkv.weight"
    assert not zero[name].any()  # nothing can start from nothing
    assert moved[name].any()
