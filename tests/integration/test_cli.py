"""The command line from a folder of videos to a prediction, as a user drives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import tubelet
from tubelet.cli.main import main

SOURCE = Path(tubelet.__file__).resolve().parents[1]
TINY = [
    *("--num-frames", "4", "--image-size", "32", "--tubelet-size", "2", "16", "16", "--hidden-size", "16"),
    *("--num-layers", "1", "--num-heads", "2", "--mlp-dim", "16", "--temporal-layers", "1", "--workers", "0"),
    *("--frame-stride", "1", "--sampling", "dense", "--coverage", "1", "1", "--warp", "0", "--warmup-epochs", "0"),
]


def tubelet_command(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tubelet", *map(str, words)],
        cwd=SOURCE,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def called(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """Run a verb with --json in this process; what it printed."""
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and bright videos: `train` and `val` of both."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    generator = torch.Generator().manual_seed(0)
    for split, count in (("train", 6), ("val", 3)):
        for label, level in (("dark", 30), ("bright", 200)):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                noise = torch.randint(0, 40, (6, 3, 36, 40), generator=generator)
                frames = (noise + level).to(torch.uint8)
                tubelet.write_video(folder / split / label / f"{number}.mp4", frames)
    return folder


@pytest.fixture(scope="module")
def run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, trained by the command line in a process of its own."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    done = tubelet_command(
        "train", clips, "--out", out, "--epochs", "12", "--lr", "3e-3", "--batch-size", "4", *TINY, "--json"
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["run"] == str(out)
    assert said["steps"] == 36
    assert said["evaluation"]["top1"] == 1.0
    assert "epoch 12/12" in done.stderr
    return out


def test_training_leaves_a_run_with_a_page(run: Path) -> None:
    model = tubelet.load(run)
    assert model.labels == {"label": ["bright", "dark"]}
    assert model.config.num_frames == 4
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Learning curves" in page
    assert "100.0%" in page


def test_a_run_is_never_overwritten(run: Path, clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "model.safetensors").read_bytes()
    assert main(["train", str(clips), "--out", str(run), "--epochs", "1", *TINY]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert (run / "model.safetensors").read_bytes() == before


def test_a_resumed_run_may_not_change_what_is_learned(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--resume", "--out", str(run), "--lr", "1.0"]) == 2
    assert "learning_rate" in capsys.readouterr().err


def test_evaluate_takes_the_runs_own_videos_or_others(
    run: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = called(capsys, "evaluate", run, "--views", "2x3", "--out", tmp_path / "own")
    assert own["split"] == "val"
    assert own["num_videos"] == 6
    assert own["views"] == "2x3"
    assert own["cost"]["views"] == 6
    assert own["top1"] == 1.0
    assert len((tmp_path / "own" / "predictions.jsonl").read_text().splitlines()) == 6
    others = called(capsys, "evaluate", run, "--data", clips, "--split", "train", "--out", tmp_path / "others")
    assert others["num_videos"] == 12


def test_figures_are_computed_again_and_runs_compared_without_a_model(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    own = called(capsys, "evaluate", run, "--out", first, "--views", "whole")
    called(capsys, "evaluate", run, "--out", second, "--views", "dense:1x3")
    stored = (first / "predictions.jsonl").read_bytes()
    again = called(capsys, "evaluate", "--from", first)
    assert again["metrics"] == own["metrics"]
    assert (first / "predictions.jsonl").read_bytes() == stored
    said = called(capsys, "compare", first, second, "--out", tmp_path / "page.html")
    assert said["num_videos"] == 6
    assert said["views"] == {"first": "wholex1", "second": "dense:1x3"}
    assert "Pairwise" in Path(said["page"]).read_text(encoding="utf-8")
    assert main(["evaluate", "--from", str(first), "--views", "4x3"]) == 2
    assert "these mean nothing: views" in capsys.readouterr().err
    assert main(["evaluate", "--from", str(tmp_path / "first" / "evaluation.json")]) == 2
    assert "--out FOLDER" in capsys.readouterr().err
    assert main(["compare", str(first), str(first)]) == 2


def test_a_probe_and_a_temperature_are_asked_for_by_name(
    run: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = called(capsys, "evaluate", run, "--probe", "temporal", "--out", tmp_path)
    assert set(said["probe"]["heads"]["label"]["orders"]) == {"shuffled", "reversed", "single_frame"}
    assert main(["evaluate", str(run), "--split", "val", "--calibrate-on", "val"]) == 2
    assert "two splits" in capsys.readouterr().err
    # Every video of the other split is right: no temperature is best, and what was measured is kept all the same.
    words = ["--data", str(clips), "--split", "val", "--calibrate-on", "train", "--out", str(tmp_path / "out")]
    assert main(["evaluate", str(run), *words]) == 1
    assert "no temperature was fitted" in capsys.readouterr().err
    assert (tmp_path / "out" / "evaluation.json").is_file()
    assert (tmp_path / "out" / "calibration" / "predictions.jsonl").is_file()


def test_evaluate_counts_an_unreadable_video_as_wrong_and_names_it(
    run: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    table = tmp_path / "videos.csv"
    table.write_text(f"path,label\n{clips / 'val' / 'dark' / '0.mp4'},dark\n{broken},dark\n")
    assert main(["evaluate", str(run), "--data", str(table), "--out", str(tmp_path / "out"), "--json"]) == 1
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert said["top1"] == 0.5
    assert [failure["path"] for failure in said["failures"]] == [str(broken)]
    assert str(broken) in captured.err


def test_a_training_with_an_unreadable_video_is_done_and_says_so(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("dark", "bright"):
        (tmp_path / "data" / "train" / label).mkdir(parents=True)
        for number in range(2):
            name = f"{number}.mp4"
            (tmp_path / "data" / "train" / label / name).write_bytes((clips / "train" / label / name).read_bytes())
    (tmp_path / "data" / "train" / "dark" / "0.mp4").write_bytes(b"no video")
    words = [
        "train",
        "--data",
        tmp_path / "data",
        "--out",
        tmp_path / "run",
        "--epochs",
        "1",
        "--batch-size",
        "2",
        *TINY,
    ]
    assert main([*map(str, words), "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["num_failures"] == 1
    assert tubelet.load(tmp_path / "run").labels == {"label": ["bright", "dark"]}


def test_predict_prints_the_classes(run: Path, clips: Path) -> None:
    video = clips / "val" / "bright" / "1.mp4"
    done = tubelet_command("predict", run, video, NO_COLOR="1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == str(video)
    assert lines[1].split()[1] == "bright"
    assert lines[2].split()[1] == "dark"


def test_predict_gives_a_line_of_json_a_video_and_goes_on_past_a_broken_one(
    run: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    out = tmp_path / "lines.jsonl"
    words = [
        "predict",
        run,
        tmp_path,
        clips / "val" / "dark",
        clips / "val" / "bright" / "0.mp4",
        "--json",
        "--out",
        out,
    ]
    assert main([str(word) for word in words]) == 1
    captured = capsys.readouterr()
    said = [json.loads(line) for line in captured.out.splitlines()]
    assert [one.get("label") for one in said] == [None, "dark", "dark", "dark", "bright"]
    assert said[0]["error"]
    assert "1 of 5 videos could not be read" in captured.err
    assert out.read_text() == captured.out


def test_predict_says_what_is_wrong_in_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["predict", run],
        ["predict", run, tmp_path],
        ["predict", run, "x.mp4", "--views", "many"],
        ["predict", tmp_path / "gone", "x.mp4"],
    ):
        assert main([str(word) for word in words]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("tubelet: error: ")
        assert captured.err.count("\n") == 1
        assert captured.out == ""


def test_report_writes_the_page_again(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert called(capsys, "report", run, "--out", page) == {"report": str(page)}
    assert "Confusion" in page.read_text(encoding="utf-8")


def test_convert_adapts_and_predicts_again(
    run: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "longer"
    said = called(capsys, "convert", run, out, "--num-frames", "6")
    assert said["format"] == "native"
    assert tubelet.load(out).config.num_frames == 6
    assert main(["convert", str(run), str(tmp_path / "no"), "--format", "scenic"]) == 2  # its stem is not the paper's
    assert "conv_stem" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_convert_writes_the_originals_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tubelet.create(
        "vivit_tiny_16x2_fe", num_frames=4, image_size=32, tubelet_size=(2, 16, 16), head_norm="batch", num_classes=3
    )
    model.eval().head_norm.running_mean.fill_(0.5)  # type: ignore[union-attr, operator]
    tubelet.save(model, tmp_path / "own")
    checkpoint = tmp_path / "x.checkpoint"
    called(capsys, "convert", tmp_path / "own", checkpoint, "--format", "scenic")
    video = torch.rand(1, 4, 3, 32, 32)
    back = tubelet.load(checkpoint, image_size=32, num_frames=4, num_heads=model.config.num_heads)
    with torch.no_grad():
        assert torch.allclose(back(video), model(video), atol=1e-5)


def test_data_check_finds_what_is_wrong(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(capsys, "data", "check", clips)["ok"]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    video = (clips / "val" / "dark" / "0.mp4").read_bytes()
    (tmp_path / "a" / "1.mp4").write_bytes(video)
    (tmp_path / "b" / "2.mp4").write_bytes(video)
    (tmp_path / "b" / "3.mp4").write_bytes(b"no video")
    assert main(["data", "check", str(tmp_path), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [problem["path"] for problem in said["unreadable"]] == [str(tmp_path / "b" / "3.mp4")]
    assert len(said["conflicts"]) == 1


def test_data_preview_draws_what_training_would_see(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    out = tmp_path / "sheet.png"
    said = called(capsys, "data", "preview", clips, "--out", out, "--clips", "3", "--frames", "2", "--plain", *TINY)
    assert said["clips"] == 3
    with Image.open(out) as picture:
        assert (picture.height, picture.width) == (said["height"], said["width"])
        assert picture.width >= 2 * 32
    assert main(["data", "preview", str(clips), "--out", str(out), *TINY]) == 2
    assert "is not overwritten" in capsys.readouterr().err


def test_a_configuration_file_lies_between_recipe_and_flags(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("seed = 5\n[optimisation]\nepochs = 3\nbatch_size = 5\n")
    out = tmp_path / "run"
    words = ["train", clips, "--out", out, "--config", file, "--epochs", "1", *TINY, "--no-report"]
    said = called(capsys, *words)
    assert said["evaluation"] is None
    config = json.loads((out / "run.json").read_text())["config"]
    assert (config["seed"], config["optimisation"]["epochs"], config["optimisation"]["batch_size"]) == (5, 1, 5)
    assert config["model"]["hidden_size"] == 16
    file.write_text("[optimisation]\nepcohs = 3\n")
    assert main(["train", str(clips), "--out", str(tmp_path / "other"), "--config", str(file)]) == 2
    assert "did you mean 'epochs'?" in capsys.readouterr().err


def test_ctrl_c_stops_after_a_checkpoint_and_says_how_to_go_on(clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", clips, "--out", out, "--epochs", "400", "--batch-size", "4", *TINY, "--no-report"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tubelet", *map(str, words)],
        cwd=SOURCE,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not (out / "metrics.jsonl").exists() or not (out / "metrics.jsonl").stat().st_size:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert f"tubelet train --resume --out {out}" in errors
    assert (out / "checkpoints" / "last" / "state.pt").is_file()
    tubelet.load(out)


def test_doctor_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    said = called(capsys, "doctor", "--measure", "0.05")
    assert said["versions"]["torch"] == torch.__version__.split("+")[0]
    assert said["decoders"]["pyav"] == "works"
    assert said["matrix products (GFLOP/s)"]["cpu"] > 1
    assert said["problems"] == []
