"""`tubelet train`: what it can say before anything heavy is imported, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tubelet.cli import pretrain as pretrain_verb
from tubelet.cli import train as train_verb
from tubelet.cli.flags import in_flags
from tubelet.cli.main import main
from tubelet.video import write_video

TINY = [
    *("--num-frames", "2", "--image-size", "16", "--tubelet-size", "2", "16", "16", "--hidden-size", "16"),
    *("--num-layers", "1", "--num-heads", "2", "--mlp-dim", "16", "--temporal-layers", "1", "--workers", "0"),
]

WITHOUT_TORCH = """
import sys
from tubelet.cli.main import main
code = main(sys.argv[1:])
assert "torch" not in sys.modules
sys.exit(code)
"""


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two classes of four clips; the name of one of them ends in a space."""
    for label, grey in (("dark ", 20), ("bright", 230)):
        (tmp_path / "clips" / label).mkdir(parents=True)
        for number in range(4):
            frames = torch.full((4, 3, 24, 24), grey + 2 * number, dtype=torch.uint8)
            write_video(tmp_path / "clips" / label / f"{number}.mp4", frames, 10.0)
    return tmp_path / "clips"


@pytest.mark.parametrize("verb", ["train", "pretrain"])
def test_data_and_weights_that_are_not_there_are_told_without_torch(tmp_path: Path, verb: str) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "runs").mkdir()
    for words, reason in (
        (["clipz"], "clipz does not exist; did you mean clips?"),
        (["--seed", "1", "clipz"], "clipz does not exist"),
        (["clips", "--init", "runs/nobody"], "runs/nobody: no such file or folder"),
        (["clips", "--init", "vit.npz"], "vit.npz: no such file or folder"),
        (["--resume"], "--resume needs the run"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, verb, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert reason in done.stderr


@pytest.mark.parametrize("flag", [["--config", "nowhere.toml"], ["--recipe", "fine-tune"]])
def test_a_resumed_run_has_its_settings_already(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: list[str]
) -> None:
    assert main(["train", "--resume", "--out", str(tmp_path), *flag]) == 2
    assert f"leave {flag[0]} out" in capsys.readouterr().err


def test_a_training_ends_with_a_page_and_the_next_commands_and_a_complete_run_is_left_alone(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", str(clips), "--out", str(out), "--epochs", "1", *TINY]) == 0
    printed = capsys.readouterr()
    assert f"next    tubelet evaluate {out}; tubelet predict {out} VIDEO" in printed.out
    assert "recipe: small-data" in printed.err
    evaluation = json.loads((out / "evaluation.json").read_text())
    assert sorted(evaluation["classes"]["label"]) == ["bright", "dark "]
    written = (out / "evaluation.json").stat().st_mtime_ns
    assert main(["train", "--resume", "--out", str(out)]) == 0
    assert "the run was complete" in capsys.readouterr().err
    assert (out / "evaluation.json").stat().st_mtime_ns == written


def test_a_training_with_videos_that_cannot_be_read_ends_with_1_and_everything_written(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips / "bright" / "broken.mp4").write_bytes(b"no video")
    out = tmp_path / "run"
    assert main(["train", str(clips), "--out", str(out), "--epochs", "1", *TINY, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["num_failures"], said["ended"]) == (1, "finished")
    assert (out / "report.html").is_file()


def test_a_named_preset_is_trained_and_told(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = ["--preset", "vivit_tiny_16x2", "--image-size", "32", "--num-frames", "2", "--num-layers", "1"]
    main(["train", str(clips), "--out", str(out), "--epochs", "1", *words, "--workers", "0", "--no-report"])
    run = json.loads((out / "run.json").read_text())
    assert (run["model"]["variant"], run["model"]["hidden_size"]) == ("spatio_temporal", 192)
    assert run["config"]["preset"] == "vivit_tiny_16x2"
    told = capsys.readouterr().err
    assert "preset vivit_tiny_16x2: sizes from it; from the recipe small-data: --embedding conv_stem" in told
    assert main(["train", str(clips), "--preset", "vivit_tiny_16x2", "--temporal-layers", "2"]) == 2
    assert "--preset vivit_tiny_16x2 and --temporal-layers 2 do not go together" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("hold_out=0.1 makes it", "--hold-out 0.1 makes it"),
        ("use activation_checkpointing=True, or less", "use --activation-checkpointing, or less"),
        ("(patience=3)", "(--patience 3)"),
        ("variant='factorised_encoder'; leave it", "--variant factorised_encoder; leave it"),
        ("nobody=3 says x=y", "nobody=3 says x=y"),
    ],
)
def test_the_command_line_says_flags(sentence: str, said: str) -> None:
    assert in_flags(sentence) == said


@pytest.mark.parametrize("verb", [train_verb, pretrain_verb])
def test_epochs_and_their_warm_up_are_taken_together(clips: Path, verb: ModuleType) -> None:
    """One epoch is shorter than the warm-up of the recipe, which is given too."""
    words = [str(clips), "--recipe", "kinetics400", "--epochs", "1", "--warmup-epochs", "0.5"]
    optimisation = verb.parse(words, "tubelet").base.optimisation
    assert (optimisation.epochs, optimisation.warmup_epochs) == (1, 0.5)
