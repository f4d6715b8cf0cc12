"""What is printed: names as they are, errors in one line, JSON alone on standard output, and nothing overwritten."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch

import tubelet
from tubelet.cli import main as command
from tubelet.cli.main import main
from tubelet.config import PreprocessingConfig
from tubelet.errors import VideoError
from tubelet.training.step import DivergedError

LABELS = ["Holding [something]", "x[/b] [red]y[/red]", "ev\x1b[31mil\u202e"]
OBEYED = set("\x1b\u202e\x07\x9b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose labels and videos whose names a terminal would obey."""
    root = tmp_path_factory.mktemp("names")
    model = tubelet.create(
        "vivit_tiny_16x2",
        labels=LABELS,
        num_frames=4,
        image_size=16,
        tubelet_size=(2, 8, 8),
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        mlp_dim=16,
    )
    model.preprocessing = PreprocessingConfig(num_frames=4, frame_stride=1, resize=16, crop_size=(16, 16))
    tubelet.save(model, root / "model")
    rows = ["path\tlabel"]
    for number, name in enumerate((*LABELS, LABELS[0])):
        place = root / "clips" / name.replace("/", "_")
        place.mkdir(parents=True, exist_ok=True)
        frames = torch.full((8, 3, 16, 16), 20 * number, dtype=torch.uint8)
        video = tubelet.write_video(place / f"[b]{number}\x1b[2J.mp4", frames, 10.0)
        rows.append(f"{video}\t{name}")
    (root / "clips.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def test_predict_prints_names_as_they_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(folder / "model"), str(folder / "clips")]) == 0
    printed = capsys.readouterr()
    for said in ("Holding [something]", "x[/b] [red]y[/red]", "ev\\x1b[31mil\\u202e", "[b]0\\x1b[2J.mp4", "4 videos: "):
        assert said in printed.out
    assert not OBEYED & set(printed.out + printed.err)


def test_json_has_the_names_themselves(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(folder / "model"), str(folder / "clips"), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {top["label"] for top in lines[0]["top"]} == set(LABELS)


def test_no_verb_prints_what_a_terminal_would_obey(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, clips, odd = str(folder / "model"), str(folder / "clips"), str(tmp_path / "[b]\x1b[2J")
    table = str(folder / "clips.tsv")
    for words in (
        ["predict", model, clips, "--timeline", odd],
        ["predict", model, odd + ".mp4"],
        ["data", "check", clips],
        ["data", "check", odd + "gone"],
        ["data", "preview", clips, "--out", odd + ".png", "--clips", "2", "--frames", "2", "--num-frames", "4"],
        ["data", "prepare", clips, odd + "shards"],
        ["evaluate", model, "--data", table, "--out", odd + "results"],
        ["convert", model, odd + "copy"],
        ["models", odd],
        [odd],
        ["predict", f"--{odd}"],
    ):
        assert main(words) in (0, 1, 2)
        printed = capsys.readouterr()
        assert not OBEYED & set(printed.out + printed.err), words
        assert "defect" not in printed.err, printed.err


def test_standard_output_is_json_alone_whatever_happens(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, clips = str(folder / "model"), str(folder / "clips")
    table = str(folder / "clips.tsv")
    fine = [
        ["models"],
        ["doctor", "--measure", "0"],
        ["predict", model, clips],
        ["predict", model, clips, "--timeline", str(tmp_path / "times")],
        ["data", "check", clips],
        ["data", "preview", clips, "--out", str(tmp_path / "p.png"), "--clips", "2", "--num-frames", "4"],
        ["data", "prepare", clips, str(tmp_path / "shards")],
        ["evaluate", model, "--data", table, "--out", str(tmp_path / "results")],
        ["convert", model, str(tmp_path / "copy")],
        ["study"],
    ]
    for words in fine:
        assert main([*words, "--json"]) in (0, 1)
        lines = capsys.readouterr().out.splitlines()
        assert lines
        assert all(isinstance(json.loads(line), dict) for line in lines), words
    gone = str(tmp_path / "gone")
    for verb in command.VERBS:
        for wrong in ([*verb.split(), gone, gone], [*verb.split(), "--no-such-flag"]):
            code = main([*wrong, "--json"])
            said = json.loads(capsys.readouterr().out)
            assert code == 2, wrong
            assert said["exit_code"] == 2
            assert said["error"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DivergedError("loss nan"), 1, "loss nan"),
        (VideoError("a.mp4", "is damaged"), 1, "a.mp4: is damaged"),
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/x"), 1, "MB free"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: the disk is full; make room"),
        (OSError(errno.EROFS, "Read-only file system", "/tmp/x"), 1, "/tmp/x: the disk can only be read"),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), 1, "/root/x: Permission denied"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), 1, "use a shorter one"),
        (MemoryError(), 1, "--batch-size auto"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "--batch-size auto"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 1, "--accumulate-steps"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598"), 1, "--resume"),
        (RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed."), 1, "--workers"),
    ],
)
def test_what_the_machine_refuses_is_one_line_and_no_defect(
    error: Exception,
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dispatch(words: list[str]) -> int:
        raise error

    monkeypatch.setattr(command, "_dispatch", dispatch)
    assert main(["train", "--json"]) == code
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert said in printed.err
    assert "defect" not in printed.err
    assert json.loads(printed.out)["exit_code"] == code


def test_a_broken_pipe_that_is_not_standard_output_is_an_error(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dispatch(words: list[str]) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(command, "_dispatch", dispatch)
    assert main(["train"]) == 1
    assert "Broken pipe" in capfd.readouterr().err


def test_nothing_that_exists_is_replaced_unless_that_is_asked_for(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, clips = str(folder / "model"), str(folder / "clips")
    (tmp_path / "run").mkdir()
    for words, name in (
        (["predict", model, clips, "--out"], "lines.jsonl"),
        (["predict", model, clips + "/Holding*/*0*.mp4", "--timeline"], "times.srt"),
        (["data", "preview", clips, "--clips", "2", "--num-frames", "4", "--out"], "preview.png"),
        (["report", str(tmp_path / "run"), "--out"], "page.html"),
        (["compare", str(tmp_path / "run"), str(tmp_path), "--out"], "comparison.html"),
        (["probe", model, clips, "--features"], "f.safetensors"),
    ):
        file = tmp_path / name
        file.write_text("mine")
        assert main([*words, str(file)]) == 2, words
        assert f"{file} exists and is not overwritten" in capsys.readouterr().err
        assert file.read_text() == "mine"
    assert main(["predict", model, clips, "--out", str(tmp_path / "lines.jsonl"), "--overwrite"]) == 0
    assert len((tmp_path / "lines.jsonl").read_text().splitlines()) == 4
    assert not (tmp_path / "lines.jsonl.part").exists()


def test_a_video_is_never_replaced_by_its_prediction(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = tubelet.write_video(tmp_path / "a.mp4", torch.zeros(8, 3, 16, 16, dtype=torch.uint8), 10.0)
    before = video.read_bytes()
    for source in (video, tmp_path):
        assert main(["predict", str(folder / "model"), str(source), "--out", str(video), "--overwrite"]) == 2
        assert "one of the files to be read" in capsys.readouterr().err
    assert video.read_bytes() == before


def test_a_prediction_that_is_stopped_leaves_the_old_file_and_says_where_its_lines_are(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tubelet.prediction import Predictor

    whole = Predictor._predict
    seen = []

    def stopped(self: Predictor, *arguments: object) -> object:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(arguments)
        return whole(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "_predict", stopped)
    out = tmp_path / "lines.jsonl"
    out.write_text("old")
    words = ["predict", str(folder / "model"), str(folder / "clips"), "--out", str(out), "--overwrite"]
    assert main(words) == 130
    assert out.read_text() == "old"
    assert len((tmp_path / "lines.jsonl.part").read_text().splitlines()) == 2
    assert "first 2 lines" in capsys.readouterr().err
    assert main(words[:-1]) == 2  # what was saved is not replaced either
    assert main(["predict", str(folder / "model"), str(folder / "clips"), "--out", str(tmp_path / "lines.jsonl")]) == 2
    assert len((tmp_path / "lines.jsonl.part").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["predict", "run", "a.mp4", "--output", "x"], "the flag is --out"),
        (["train", "clips", "--imgsz", "64"], "the flag is --image-size"),
        (["predict", "run", "--source", "a.mp4"], "VIDEO is a word of its own"),
        (["predict", "--model", "run", "a.mp4"], "MODEL is a word of its own"),
        (["train", "clips", "epochs=3"], "flags are written --epochs 3"),
        (["val", "run"], "the verb is 'evaluate'"),
        (["test"], "the verb is 'evaluate'"),
        (["infer"], "the verb is 'predict'"),
        (["benchmark"], "the verb is 'bench'"),
        (["--foo"], "--help and --version"),
    ],
)
def test_words_of_other_programs_are_answered_with_ours(
    words: list[str], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    assert main(words) == 2
    assert hint in capsys.readouterr().err


def test_a_mistyped_run_is_not_looked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tubelet.errors import WeightsError
    from tubelet.weights import hub

    def download(name: str) -> str:
        raise AssertionError(f"{name} was asked for")

    monkeypatch.setattr(hub, "download", download)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "typo").mkdir(parents=True)
    (tmp_path / "runs" / "other").mkdir()
    with pytest.raises(WeightsError, match="did you mean runs/typo"):
        tubelet.load("runs/tpyo")
    for words in (["predict", "runs/xyz", "a.mp4"], ["evaluate", "runs/xyz"], ["convert", "runs/xyz", "out"]):
        assert main(words) == 2
        assert "runs has: other, typo" in capsys.readouterr().err


def test_train_takes_its_data_with_or_without_a_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["train", str(tmp_path / "clps")], ["train", "--data", str(tmp_path / "clps")]):
        (tmp_path / "clips").mkdir(exist_ok=True)
        assert main(words) == 2
        assert f"did you mean {tmp_path / 'clips'}" in capsys.readouterr().err
    assert main(["train", str(tmp_path), "--data", str(tmp_path)]) == 2
    assert "two data sets were named" in capsys.readouterr().err


def test_quiet_leaves_results_and_errors_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(folder / "model"), str(folder / "clips"), "-q"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "4 videos" not in printed.out
