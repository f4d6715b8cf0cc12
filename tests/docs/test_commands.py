"""Every command and every Python example of README and docs is run, in the order in which it stands, in a new folder.

The folder holds what the text takes for granted: videos, tables, weights, and a run that was trained before. Models are
made tiny and trainings short by a command `tubelet` that adds flags; everything else is typed as it stands.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import tubelet
from own_process import run
from tubelet.cli.main import main
from tubelet.weights.image_vit_save import save_image_vit

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^ *```(?P<language>\w*|\{\w+\}.*?)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)

SKIPPED = {
    r"^make ": "sets up the environment that this test runs in; CI runs it",
    r"^source .venv": "the same",
    r"^pip install": "CI installs the package in .ci/smoke",
    r"^python -m benchmarks": "measurements of minutes on real videos",
    r"^tubelet study (regularisers|variants)": "many trainings; tests/unit/studies runs them",
    r"run_study\(": "the same",
    r"--nnodes|^#SBATCH|^head=|^srun|^    --rdzv|^    -m tubelet": "needs several machines",
    r"strategy=\"fsdp\"": "needs torchrun; tests/integration/test_distributed.py runs it",
    r"rtsp://|camera:0": "needs a camera",
    r"^ray |^serve run|s3://": "needs a cluster and an object store; tests/unit has both in small",
    r"\$SIZE|\$UTD|SIZE=|UTD=|runs/with |^    --recipe small-data --epochs": "needs a data set that is not here",
    r"tubelet\.export\(": "traces, which run-time checks of signatures prevent; tests/unit/exporting runs it",
    r"push_to_hub|from_pretrained\(\"me": "needs the Hub",
    r"PreprocessingConfig\(\.\.\.\)": "a placeholder",
    r"^tubelet serve": "runs until a signal; tests/integration/test_serve.py runs it",
    r"^python examples/|motions": "tests/docs/test_examples.py runs it in small",
    r"^tubelet demo": "takes minutes; tests/integration/test_demo.py runs it in small",
    r"^source <|completion bash >": "of an interactive shell; tests/unit/cli/test_completion.py runs it",
}
"""Lines of a shell, and Python examples that hold such a line, that are not run, and why."""

MADE = re.compile(r"(?:--out |tubelet\.(?:train|pretrain)\([^)]*\")(runs/[\w-]+)")
"""Runs that a page makes itself."""

TINY = [
    *("--num-frames", "4", "--image-size", "32", "--tubelet-size", "2", "16", "16", "--hidden-size", "16"),
    *("--num-layers", "1", "--num-heads", "2", "--mlp-dim", "16", "--temporal-layers", "1"),
]
SIZES: dict[str, Any] = {
    **{"num_frames": 4, "image_size": 32, "tubelet_size": (2, 16, 16), "hidden_size": 16},
    **{"num_layers": 1, "num_heads": 2, "mlp_dim": 16},
}
TORCHRUN = '#!/usr/bin/env bash\nexec "$PYTHON" -m torch.distributed.run "$@"\n'


def in_two(words: list[str]) -> list[str]:
    """The words, with two processes where they ask for more: each imports torch."""
    return ["2" if before in ("--devices", "--nproc-per-node") else word for before, word in pairwise(["", *words])]


def made_short(words: list[str]) -> list[str]:
    """The words of a command with those that make its model tiny and its training short."""
    words = in_two(words)
    if words[0] not in ("train", "pretrain") or "--resume" in words:
        return words
    keeps_sizes = "--init" in words and "small-data" not in words
    sizes = ["--batch-size", "4"] if keeps_sizes else TINY[:-2] if "kinetics400" in words else TINY  # of model 1
    epochs = "2" if "--freeze-epochs" in words else "1"
    words = ["1" if before == "--freeze-epochs" else word for before, word in pairwise(["", *words])]
    return [*words, "--epochs", epochs, "--warmup-epochs", "0", "--workers", "0", *sizes]


def write_clips(folder: Path, count: int, seed: int) -> None:
    """A dark and a bright class."""
    generator = torch.Generator().manual_seed(seed)
    for label, level in (("dark", 30), ("bright", 200)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            frames = (torch.randint(0, 40, (12, 3, 36, 40), generator=generator) + level).to(torch.uint8)
            tubelet.write_video(folder / label / f"{number}.mp4", frames, 12.0)


def write_kinetics(folder: Path) -> None:
    """The clips as Kinetics names them, with its annotation files."""
    (folder / "videos").mkdir()
    (folder / "K400").mkdir()
    rows: dict[str, list[str]] = {"train": [], "validate": []}
    for number, clip in enumerate(sorted((folder / "clips").glob("*/*.mp4"))):
        name, split = f"video{number:06d}", "validate" if number % 5 == 0 else "train"
        shutil.copy(clip, folder / "videos" / f"{name}_000000_000001.mp4")
        rows[split].append(f"{clip.parent.name},{name},0,1,{split}")
    for split, lines in rows.items():
        header = "label,youtube_id,time_start,time_end,split"
        (folder / "K400" / f"{split}.csv").write_text("\n".join([header, *lines]) + "\n")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the texts take for granted: a folder `here`, made anew for each page from `pristine` beside it."""
    folder = tmp_path_factory.mktemp("docs") / "here"
    write_clips(folder / "clips", 5, seed=0)
    write_clips(folder / "others", 2, seed=1)
    for name in ("video.mp4", "clip.mp4", "evening.mp4"):
        shutil.copy(folder / "others" / "dark" / "0.mp4", folder / name)
    for name, source in (("clips.csv", "clips"), ("videos.csv", "clips"), ("test.csv", "others")):
        rows = [f"{path.relative_to(folder)},{path.parent.name}" for path in sorted((folder / source).glob("*/*.mp4"))]
        (folder / name).write_text("\n".join(["path,label", *rows]) + "\n")
    write_kinetics(folder)
    for number, name in enumerate(("other", "gestures", "kinetics")):
        tubelet.train(
            folder / "clips",
            folder / "runs" / name,
            preset="vivit_tiny_16x2_fe",
            model={**SIZES, "temporal_layers": 1},
            fractions={"train": 0.6, "val": 0.2, "test": 0.2},
            epochs=1,
            workers=0,
            seed=number,
        )
        tubelet.evaluate(folder / "runs" / name, workers=0).save(folder / "runs" / name)
    published = tubelet.create("vivit_tiny_16x2", **{**SIZES, "image_size": 224}, num_classes=2)
    published.preprocessing = tubelet.load(folder / "runs" / "other").preprocessing
    published.labels = {"label": ["dark", "bright"]}
    for name in ("google/vivit-b-16x2-kinetics400", "folder"):
        tubelet.convert(published, folder / name, format="transformers")
    original = tubelet.create("vivit_tiny_16x2", **{**SIZES, "num_frames": 32, "image_size": 224}, num_classes=2)
    tubelet.convert(original, folder / "checkpoint", format="scenic")
    picture = {**SIZES, "embedding": "uniform_frames", "num_frames": 1, "tubelet_size": (1, 16, 16)}
    picture["image_size"] = 224
    image = tubelet.create("vivit_tiny_16x2", **picture, sampled_frames=1, num_classes=2)
    save_image_vit(image, folder / "vit.npz")
    folder.rename(folder.with_name("pristine"))
    return folder


@pytest.fixture
def place(furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder as it was, entered."""
    shutil.rmtree(furnished, ignore_errors=True)
    shutil.copytree(furnished.with_name("pristine"), furnished)
    (tmp_path / "torchrun").write_text(TORCHRUN)
    (tmp_path / "torchrun").chmod(0o755)
    source = Path(tubelet.__file__).resolve().parents[1]
    for name, value in {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHON": sys.executable,
        "PYTHONPATH": f"{source}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "HF_HUB_OFFLINE": "1",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(furnished)
    return furnished


def is_skipped(line: str) -> bool:
    return any(re.search(one, line) for one in SKIPPED)


def short(function: Any, **model: Any) -> Any:
    """A training from Python that is short, of a tiny model unless it starts from one."""

    def call(*values: Any, **fields: Any) -> Any:
        tiny = {"model": model} if "small-data" in fields.values() else {}
        tiny |= {} if "init" in fields else {"preset": "vivit_tiny_16x2_fe", "model": model}
        return function(*values, **{**fields, **tiny, "epochs": 1, "workers": 0, "batch_size": 4})

    return call


def typed(line: str) -> None:
    """Run a line: a command of tubelet in this process, unless it starts others; anything else in a shell."""
    words = shlex.split(line, comments=True)
    if not words:
        return
    if words[:2] == ["tubelet", "export"] or words[:3] == ["tubelet", "corpus", "convert"]:
        run("-m", *words)  # tracing minds run-time checks, and Lance warns at every fork of the process that it was in
        return
    if words[0] == "tubelet":
        found = [sorted(glob.glob(word)) if "*" in word else [word] for word in made_short(words[1:])]
        code = main([word for several in found for word in several])
        assert code in (0, 1 if "--calibrate-on" in words else 0), f"{line} ended with {code}"  # too few videos for one
        return
    at = words.index("tubelet") + 1 if "tubelet" in words else len(words)
    text = shlex.join([*in_two(words[:at]), *made_short(words[at:])]) if at < len(words) else line
    done = subprocess.run(["bash", "-euc", text], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {"tubelet": tubelet, "video": torch.zeros(1, 32, 3, 224, 224)}
    names["model"] = tubelet.load("runs/gestures")
    for name in ("train", "pretrain"):
        monkeypatch.setattr(tubelet, name, short(getattr(tubelet, name), **SIZES, temporal_layers=1), raising=False)
    text = (ROOT / page).read_text(encoding="utf-8")
    for made in MADE.findall(text):
        shutil.rmtree(made, ignore_errors=True)
    for block in BLOCK.finditer(text):
        lines = block["text"].replace("\\\n", " ").splitlines()
        if block["language"] == "python" and not any(map(is_skipped, lines)):
            exec(compile(block["text"], f"{page}:{block.start()}", "exec"), names)
        elif block["language"] in ("", "bash") and not lines[0].startswith("{"):
            for line in lines:
                if not is_skipped(line):
                    typed(line)
    for file in place.rglob("evaluation.json"):
        found = json.loads(file.read_text(encoding="utf-8"))
        assert not found.get("learned_from"), f"{file} is measured on videos that were learned from"


def test_every_reason_to_skip_a_line_is_needed() -> None:
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    lines = [line for block in BLOCK.finditer(text) for line in block["text"].splitlines()]
    assert [one for one in SKIPPED if not any(re.search(one, line) for line in lines)] == []
