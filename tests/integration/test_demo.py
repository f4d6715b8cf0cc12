"""`tubelet demo`: small and quick here; `make test-slow` runs the one that users run, and holds its bars."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from own_process import run
from tubelet.cli.main import main
from tubelet.demo.in_use import export_model
from tubelet.errors import ConfigError
from unit.report.chromium import PHONE, measured, needs_chromium

SMALL = ["--train-clips", "2", "--test-clips", "1", "--epochs", "1"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    said = run("-m", "tubelet", "demo", "--out", folder, *SMALL).stdout  # it exports, which is not traced with checks
    assert f"tubelet explain {folder}/runs/factorised-encoder" in said
    return folder


def test_it_leaves_clips_two_runs_and_a_page(demo: Path) -> None:
    assert len(list((demo / "clips" / "train").rglob("*.mp4"))) == 16
    assert len(list((demo / "clips-shuffled" / "test").rglob("*.mp4"))) == 8
    for name in ("factorised-encoder", "average-pool"):
        assert (demo / "runs" / name / "model.safetensors").is_file()
    page = (demo / "report.html").read_text(encoding="utf-8")
    for words in (
        "What only time can tell",
        "One scene, eight classes",
        "A prediction",
        "Learning curves",
        "Confusion",
    ):
        assert words in page
    assert page.count("data:video/mp4") >= 9


def test_the_baseline_has_no_temporal_encoder_and_is_the_same_otherwise(demo: Path) -> None:
    models = [
        json.loads((demo / "runs" / name / "config.json").read_text())["model"]
        for name in ("factorised-encoder", "average-pool")
    ]
    assert models[0].pop("temporal_layers") > 0
    assert models[1].pop("temporal_layers") == 0
    assert models[0] == models[1]


def test_the_model_is_explained_and_exported_with_its_proof(demo: Path) -> None:
    said = json.loads((demo / "demo.json").read_text())
    assert said["exported"]["difference"] <= 1e-4
    assert (demo / "exported" / "run.py").is_file()
    assert (demo / "explained" / "000.mp4").is_file()
    assert all(words in said["explanation"]["score"] for words in ("relevance gain", "chance", "mean over"))
    page = (demo / "report.html").read_text(encoding="utf-8")
    assert "frames that mattered most" in page
    for command in said["next"]:
        assert command in page


@needs_chromium
def test_the_page_is_as_wide_as_its_window(demo: Path) -> None:
    for page, window, _ in measured(demo / "report.html", PHONE, 1000):
        assert page <= window


def test_without_the_runtime_it_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(*_: object) -> None:
        raise ConfigError("the format onnx needs onnx, which is not installed: pip install 'tubelet[onnx]'")

    monkeypatch.setattr("tubelet.demo.in_use.export", missing)
    found = export_model(tmp_path, tmp_path / "exported")
    assert found.folder is None
    assert "pip install 'tubelet[onnx]'" in str(found.note)


def test_a_second_call_does_nothing_again(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = (demo / "runs" / "factorised-encoder" / "model.safetensors").read_bytes()
    assert main(["demo", "--out", str(demo), *SMALL, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["scores"] == json.loads((demo / "demo.json").read_text())["scores"]
    assert (demo / "runs" / "factorised-encoder" / "model.safetensors").read_bytes() == weights


def test_other_settings_or_a_folder_of_ones_own_are_refused(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--out", str(demo), *SMALL, "--seed", "1"]) == 2
    assert "other settings" in capsys.readouterr().err
    (tmp_path / "holiday.txt").write_text("mine")
    assert main(["demo", "--out", str(tmp_path), *SMALL]) == 2
    assert "is not a demonstration" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["holiday.txt"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_bars_of_the_demonstration(tmp_path: Path) -> None:
    scores = json.loads(run("-m", "tubelet", "demo", "--out", tmp_path / "demo", "--json").stdout)["scores"]
    assert scores["encoder"]["top1"] >= 0.90
    assert scores["baseline"]["top1"] <= 1 / 8 + 0.15
    assert scores["encoder_shuffled"]["top1"] <= 1 / 8 + 0.15
